"""Wall time of optimizer steps, data loading included, evaluation and saving left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from harness.measure.probe import Probe
from harness.measure.recorder import Recorder
from harness.records.events import Event


class StepClock(Probe):
    """A step lasts from the end of the one before (or the start of training) to its own end, less what paused it.

    So the steps of a window add up to its wall time, the trainer's logging included, and nothing hides between them.
    A step during which the clock went back has no times: how long it took is not known.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._begin_step(recorder.clock())

    def _begin_step(self, now: float) -> None:
        self._mark, self._steps_back, self._paused, self._waited = now, self.recorder.steps_back, 0.0, 0.0

    def train_begin(self) -> None:
        self._begin_step(self.recorder.clock())

    def waited(self, seconds: float) -> None:
        self._waited += seconds

    def paused(self, name: str, seconds: float) -> None:
        self._paused += seconds

    def step_end(self, event: Event) -> None:
        now = self.recorder.clock()
        if self.recorder.steps_back == self._steps_back:
            event["wall_s"] = round(now - self._mark - self._paused, 6)
            event["data_s"] = round(self._waited, 6)
        self._begin_step(now)


class TimedIterator:
    """An iterator that tells how long each of its items was waited for."""

    def __init__(self, inner: Iterator[Any], waited: Callable[[float], None], clock: Callable[[], float]) -> None:
        self._inner = inner
        self._waited = waited
        self._clock = clock

    def __iter__(self) -> TimedIterator:
        return self

    def __next__(self) -> Any:
        began = self._clock()
        try:
            return next(self._inner)
        finally:
            self._waited(self._clock() - began)
