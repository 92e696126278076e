"""What a run tells whoever watches it: the CLI's live table, plain lines, or nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.errors import Problem
from harness.records.outcome import Outcome
from harness.records.plan import Trial


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """The running trial at one moment. Unknown figures are None."""

    trial: Trial
    attempt: int
    phase: str
    step: int | None = None
    max_steps: int | None = None
    tokens_per_second: float | None = None
    loss: float | None = None
    host_memory: int | None = None  # bytes
    elapsed_s: float = 0.0


class Observer(Protocol):
    """Watches a run. Every call returns quickly and never raises."""

    def planned(self, trials: Sequence[Trial], finished: Mapping[str, Outcome]) -> None:
        """The trials of this run in order, and which are finished already."""

    def warned(self, problems: Sequence[Problem]) -> None:
        """What the plan warns of, before anything runs; one at least."""

    def message(self, text: str) -> None:
        """A line for a person: what is being done outside trials (importing, scoring, …)."""

    def started(self, trial: Trial, attempt: int) -> None:
        """An attempt begins."""

    def live(self, state: Live) -> None:
        """The running trial's latest figures; a few times a second at most."""

    def finished(self, trial: Trial, outcome: Outcome, *, will_retry: bool) -> None:
        """An attempt ended."""


@dataclass(slots=True)
class Silent:
    """Watches nothing; keeps what it was told, for tests."""

    told: list[tuple[str, Any]] = field(default_factory=list)

    def planned(self, trials: Sequence[Trial], finished: Mapping[str, Outcome]) -> None:
        self.told.append(("planned", (tuple(trials), dict(finished))))

    def warned(self, problems: Sequence[Problem]) -> None:
        self.told.append(("warned", tuple(problems)))

    def message(self, text: str) -> None:
        self.told.append(("message", text))

    def started(self, trial: Trial, attempt: int) -> None:
        self.told.append(("started", (trial.name, attempt)))

    def live(self, state: Live) -> None:
        self.told.append(("live", state))

    def finished(self, trial: Trial, outcome: Outcome, *, will_retry: bool) -> None:
        self.told.append(("finished", (trial.name, outcome.outcome, will_retry)))
