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
        """Mean of the finished trials of its kind and method, else of all finished trainings; None before those."""
        same = self._seconds.get(sort_of(trial))
        if same:
            return fmean(same)
        trained = [seconds for (kind, _), group in self._seconds.items() if kind != "floor" for seconds in group]
        return fmean(trained) if trained else None

    def remaining(self, waiting: Iterable[Trial], running: Iterable[Live]) -> float | None:
        """Seconds until waiting and running trials are done, one after another; None while nothing is known.

        Before any training has finished, the steps of the running one foretell its duration and the others'.
        """
        now = [(state.elapsed_s, self._whole(state)) for state in running]
        foretold = [whole for _, whole in now if whole is not None]
        otherwise = fmean(foretold) if foretold else None
        left = [None if whole is None else max(0.0, whole - elapsed) for elapsed, whole in now]
        left += [otherwise if (expected := self.expected(trial)) is None else expected for trial in waiting]
        known = [seconds for seconds in left if seconds is not None]
        return sum(known) if len(known) == len(left) else None

    def _whole(self, state: Live) -> float | None:
        """Seconds that a running trial takes from its start to its end."""
        expected = self.expected(state.trial)
        if expected is None and state.step and state.max_steps:
            return state.elapsed_s * state.max_steps / state.step
        return expected
