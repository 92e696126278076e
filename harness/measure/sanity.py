"""Looks for steps that trained on nothing, so that a speed is never made of them unsaid."""

from __future__ import annotations

from harness.measure.probe import Probe
from harness.measure.recorder import Recorder
from harness.records.events import Event


class Sanity(Probe):
    """Says once, with the step, that a step forwarded no real tokens. Comes after the counting of tokens."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._unread: list[Event] = []
        self._said = False
        recorder.before_flush.append(self._look)

    def step_end(self, event: Event) -> None:
        if not self._said:
            self._unread.append(event)

    def _look(self) -> None:
        """Counts are in the events only when these are written: until then they may lie on the device."""
        empty = next((event for event in self._unread if event.get("real_tokens") == 0), None)
        self._unread = [event for event in self._unread if "real_tokens" not in event]
        if empty is None or self._said:
            return
        self._said = True
        text = "no real tokens were forwarded in this step; its time counts all the same"
        self.recorder.add("finding", name="step_without_tokens", step=empty["step"], level="warning", text=text)
