"""Progress as plain lines on stderr, for logs and pipes: one when a trial starts, one when it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.cli import words
from harness.cli.eta import Durations
from harness.cli.output import say
from harness.records.outcome import Outcome
from harness.records.plan import Trial
from harness.records.progress import Live
from harness.records.units import format_duration


@dataclass(slots=True)
class PlainLines:
    """An observer that prints lines."""

    _waiting: dict[str, Trial] = field(default_factory=dict)
    _durations: Durations = field(default_factory=Durations)
    _total: int = 0
    _done: int = 0

    def planned(self, trials: Sequence[Trial], finished: Mapping[str, Outcome]) -> None:
        self._total = len(trials)
        for trial in trials:
            outcome = finished.get(trial.id)
            if outcome is None:
                self._waiting[trial.id] = trial
                continue
            self._done += 1
            if outcome.outcome == "ok":
                self._durations.add(trial, outcome.duration_s)
        if self._done:
            say(f"{self._done} of {self._total} trials are finished already; {len(self._waiting)} to run")
        else:
            say(f"{self._total} trials to run")

    def message(self, text: str) -> None:
        say(text)

    def started(self, trial: Trial, attempt: int) -> None:
        again = f" (attempt {attempt})" if attempt > 1 else ""
        say(f"{self._count(self._done + 1)} {trial.name}: started{again}")

    def live(self, state: Live) -> None:
        """Nothing: a log wants starts and ends, not every step."""

    def finished(self, trial: Trial, outcome: Outcome, *, will_retry: bool) -> None:
        if not will_retry:
            self._done += 1
            self._waiting.pop(trial.id, None)
            if outcome.outcome == "ok":
                self._durations.add(trial, outcome.duration_s)
        say(f"{self._count(self._done + will_retry)} {words.ended(trial, outcome, will_retry=will_retry)}{self._eta()}")

    def _count(self, number: int) -> str:
        return f"[{number:>{len(str(self._total))}}/{self._total}]"

    def _eta(self) -> str:
        left = self._durations.remaining(self._waiting.values(), ())
        return f" ({format_duration(left)} left)" if left and self._waiting else ""
