"""What every observer counts: trials that wait, that are done, that failed, and how long trials took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.cli.eta import Durations
from harness.records.outcome import Outcome
from harness.records.plan import Trial


@dataclass(slots=True)
class Tally:
    """Counts over one run."""

    waiting: dict[str, Trial] = field(default_factory=dict)
    durations: Durations = field(default_factory=Durations)
    total: int = 0
    done: int = 0
    failed: int = 0
    disturbed: int = 0

    def planned(self, trials: Sequence[Trial], finished: Mapping[str, Outcome]) -> None:
        """The trials of the run, and those that are finished already. Said again when a run turns out to need more."""
        self.total, self.done, self.failed, self.disturbed = len(trials), 0, 0, 0
        self.durations = Durations()
        self.waiting = {trial.id: trial for trial in trials}
        for trial in trials:
            if trial.id in finished:
                self.ended(trial, finished[trial.id], will_retry=False)

    def ended(self, trial: Trial, outcome: Outcome, *, will_retry: bool) -> None:
        """An attempt ended; a trial that will be retried, or that was interrupted and goes on later, waits again."""
        if will_retry or outcome.outcome == "interrupted":
            self.waiting[trial.id] = trial
        else:
            self.waiting.pop(trial.id, None)
            self.done += 1
            self.failed += outcome.outcome != trial.expect
            self.disturbed += bool(outcome.disturbed)
        if outcome.outcome == "ok":
            self.durations.add(trial, outcome.duration_s)

    def resumed(self) -> str | None:
        """In words what is finished already; None at the beginning of everything."""
        if not self.done:
            return None
        return f"{self.done} of {self.total} trials are finished already; {len(self.waiting)} to run"
