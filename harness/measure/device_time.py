"""How long the device worked on each step: CUDA events around it, read when they are done and never waited for."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol

from harness.measure.probe import Probe
from harness.measure.recorder import Recorder
from harness.records.events import Event


class Mark(Protocol):
    """A moment in the device's queue; `elapsed_time` is milliseconds from this one to another, both done."""

    def query(self) -> bool: ...
    def elapsed_time(self, end: Any) -> float: ...


class Marks(Protocol):
    """Puts marks into the device's queue."""

    def ready(self) -> bool: ...
    def mark(self) -> Mark: ...


class TorchMarks:
    """CUDA events on the current stream; never initialises CUDA itself."""

    def ready(self) -> bool:
        torch: Any = sys.modules.get("torch")
        return torch is not None and bool(torch.cuda.is_initialized())

    def mark(self) -> Mark:
        import torch

        event: Mark = torch.cuda.Event(enable_timing=True)
        event.record()  # type: ignore[attr-defined]  # a mark that is made is recorded; nobody else does it
        return event


class DeviceTime(Probe):
    """Fills in `device_s` of step events: from where the queue reaches a step's first batch to the optimizer's end.

    A step's event is held back until its marks have passed (the device runs behind the host), so nothing waits. What
    the device fails to tell is absent.
    """

    def __init__(self, recorder: Recorder, marks: Marks | None = None) -> None:
        super().__init__(recorder)
        self._marks = marks or TorchMarks()
        self._on = False
        self._begin: Mark | None = None
        self._pending: list[tuple[Event, Mark, Mark]] = []
        recorder.before_flush.append(self._settle)

    def train_begin(self) -> None:
        self._on = self._marks.ready()

    def batch_begin(self, batch: Mapping[str, Any]) -> None:
        if self._on and self._begin is None:
            self._begin = self._mark()

    def step_end(self, event: Event) -> None:
        begin, self._begin = self._begin, None
        end = self._mark() if begin is not None else None
        if begin is not None and end is not None:
            self._pending.append((event, begin, end))
            self.recorder.hold(event, "device_time")

    def _mark(self) -> Mark | None:
        try:
            return self._marks.mark()
        except Exception as error:
            self._give_up(error)
            return None

    def _settle(self) -> None:
        """Completes the events whose marks have passed; they pass in order."""
        try:
            while self._pending and self._pending[0][2].query():
                event, begin, end = self._pending[0]
                event["device_s"] = round(begin.elapsed_time(end) / 1000, 6)
                self.recorder.release(event, "device_time")
                del self._pending[0]
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._on = False
        for event, _, _ in self._pending:
            self.recorder.release(event, "device_time")
        self._pending.clear()
        self.recorder.note("info", f"the device's time is not measured: {type(error).__name__}: {error}")
