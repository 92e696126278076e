"""How long a suite still takes, from how long its finished trials took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean

from harness.records.plan import Trial
from harness.records.progress import Live

Sort = tuple[str, str | None]


def sort_of(trial: Trial) -> Sort:
    """What decides a trial's duration first: its kind and its method."""
    method = trial.cell.config.get("method")
    return trial.cell.kind, None if method is None else str(method)


@dataclass(slots=True)
class Durations:
    """Seconds of finished trials by kind and method, and what they foretell."""

    _seconds: dict[Sort, list[float]] = field(default_factory=dict)

    def add(self, trial: Trial, seconds: float) -> None:
        """Takes one finished trial in."""
        self._seconds.setdefault(sort_of(trial), []).append(seconds)

    def expected(self, trial: Trial) -> float | None:
        """Mean of the finished trials of its kind and method, else of all finished ones; None before the first."""
        same = self._seconds.get(sort_of(trial))
        if same:
            return fmean(same)
        everything = [seconds for group in self._seconds.values() for seconds in group]
        return fmean(everything) if everything else None

    def remaining(self, waiting: Iterable[Trial], running: Iterable[Live]) -> float | None:
        """Seconds until waiting and running trials are done, one after another; None while nothing is known."""
        left = [self._left(state) for state in running]
        left += [self.expected(trial) for trial in waiting]
        known = [seconds for seconds in left if seconds is not None]
        return sum(known) if len(known) == len(left) else None

    def _left(self, state: Live) -> float | None:
        expected = self.expected(state.trial)
        if expected is None and state.step and state.max_steps:
            expected = state.elapsed_s * state.max_steps / state.step
        return None if expected is None else max(0.0, expected - state.elapsed_s)
