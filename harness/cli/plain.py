"""Progress as plain lines on stderr, for logs and pipes: one when a trial starts, one when it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.cli import failure, words
from harness.cli.output import many, say
from harness.cli.tally import Tally
from harness.errors import Problem
from harness.records.outcome import Outcome
from harness.records.plan import Trial
from harness.records.progress import Live
from harness.records.units import format_duration


@dataclass(slots=True)
class PlainLines:
    """An observer that prints lines."""

    _tally: Tally = field(default_factory=Tally)

    def planned(self, trials: Sequence[Trial], finished: Mapping[str, Outcome]) -> None:
        self._tally.planned(trials, finished)
        say(self._tally.resumed() or f"{many(self._tally.total, 'trial')} to run")

    def warned(self, problems: Sequence[Problem]) -> None:
        failure.print_problems(problems, "warning")

    def message(self, text: str) -> None:
        say(text)

    def started(self, trial: Trial, attempt: int) -> None:
        again = f" (attempt {attempt})" if attempt > 1 else ""
        say(f"{self._count(self._tally.done + 1)} {trial.name}: started{again}")

    def live(self, state: Live) -> None:
        """Nothing: a log wants starts and ends, not every step."""

    def finished(self, trial: Trial, outcome: Outcome, *, will_retry: bool) -> None:
        count = self._count(self._tally.done + 1)
        self._tally.ended(trial, outcome, will_retry=will_retry)
        say(f"{count} {words.ended(trial, outcome, will_retry=will_retry)}{self._eta()}")

    def _count(self, number: int) -> str:
        return f"[{number:>{len(str(self._tally.total))}}/{self._tally.total}]"

    def _eta(self) -> str:
        left = self._tally.durations.remaining(self._tally.waiting.values(), ())
        return f" ({format_duration(left)} left)" if left and self._tally.waiting else ""
