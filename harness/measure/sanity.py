"""Looks for steps that trained on nothing, a window without steps, and a training without a log: none goes unsaid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.measure.probe import Probe
from harness.measure.recorder import Recorder
from harness.records.events import Event

_EMPTY = {
    "real_tokens": ("step_without_tokens", "no real tokens were forwarded in this step; its time counts all the same"),
    "loss_tokens": ("step_without_loss_tokens", "no token of this step carried loss: there was nothing to learn in it"),
}


class Sanity(Probe):
    """Says once, with the step, that a step forwarded no real tokens, or that none of a step's tokens carried loss.

    Says too that every step was warm-up: then nothing was measured; and that no loss was logged: then there is no final
    loss. Comes after the counting of tokens.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._unread: list[Event] = []
        self._last: Event | None = None
        self._has_loss = False
        self._unsaid = dict(_EMPTY)
        recorder.before_flush.append(self._look)

    def train_begin(self) -> None:
        self._last, self._has_loss = None, False

    def step_end(self, event: Event) -> None:
        self._unread.append(event)
        self._last = event

    def logged(self, step: int, values: Mapping[str, Any]) -> None:
        self._has_loss = self._has_loss or "loss" in values

    def train_end(self) -> None:
        if self._last is None:
            return
        ended = f"training ended with step {self._last['step']}"
        if not self._last["measured"]:
            self.recorder.note("info", f"no step was measured: {ended}, within its warm-up")
        if not self._has_loss:
            text = f"no loss was logged: {ended}, before its first log (train.logging_steps, train.logging_strategy)"
            self.recorder.note("info", text)

    def _look(self) -> None:
        """Counts are in the events only when these are written: until then they may lie on the device."""
        known = [event for event in self._unread if "loss_tokens" in event]
        self._unread = [event for event in self._unread if "loss_tokens" not in event]
        for event in known:
            for field in [field for field in self._unsaid if event.get(field) == 0]:
                name, text = self._unsaid.pop(field)
                self.recorder.add("finding", name=name, step=event["step"], level="warning", text=text)
