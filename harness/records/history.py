"""A metric over many nights: what each attempt measured, the nights they make up, and where a series changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from harness.records.plan import Kind
from harness.records.verdict import Effect, Ruling

State = Literal["counted", "disturbed", "gap"]
"""`counted`: a figure that the search for changes goes by. `disturbed`: only disturbed figures, shown and left out of
it. `gap`: no figure at all; the outcomes say how its attempts ended."""


def moment(text: str) -> datetime:
    """An ISO 8601 time as it is recorded, in UTC where it names no zone.

    Raises:
        ValueError: it is no such time.
    """
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One attempt, and its figure of one metric; `value` is None where it has none. `run` as `Attempt.run`."""

    suite: str
    cell_id: str
    cell_name: str
    kind: Kind
    trial_id: str
    name: str
    seed: int
    attempt: int
    run: str | None
    started_at: str
    outcome: str
    environment: str | None
    disturbed: Sequence[str] = ()
    value: float | None = None

    @property
    def at(self) -> datetime:
        """When it started."""
        return moment(self.started_at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """Every attempt that has ended, with one metric of it, and the environments they ran in by their hash."""

    attempts: Sequence[Measured]
    environments: Mapping[str, Mapping[str, Any]]
    known: Sequence[str] = ()  # names of the metrics there are figures of


@dataclass(frozen=True, kw_only=True, slots=True)
class Night:
    """One cell in one run: a point of a series. `value` is over the seeds whose figures count, in the metric's unit.

    `values` are the figures by seed that `value` is made of. `outcomes`: how its attempts ended, outcome → count.
    """

    started_at: str
    runs: Sequence[str]
    environment: str | None
    state: State
    value: float | None
    values: Mapping[int, float]
    outcomes: Mapping[str, int]
    disturbed: Sequence[str] = ()  # reasons, of figures left out or of all of them

    @property
    def at(self) -> datetime:
        """When its first attempt started."""
        return moment(self.started_at)

    @property
    def low(self) -> float | None:
        """The lowest seed; None without a figure."""
        return min(self.values.values(), default=None)

    @property
    def high(self) -> float | None:
        """The highest seed; None without a figure."""
        return max(self.values.values(), default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangePoint:
    """A night from which on a series is at another level than before.

    `night` is its place among the series' nights, `after` that of the last counted night before it: with nights between
    them that do not count, the change lies somewhere in there. `effect` is the level from there to the next change
    beside the one since the change before. `ruling` is None for a metric of which neither more nor less is better.
    """

    night: int
    after: int
    effect: Effect | None
    ruling: Ruling | None
    environment: Sequence[str] = ()  # what differs between the two nights' environments
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One cell's metric on one device, oldest night first. `not_searched` says why no change was looked for."""

    suite: str
    cell_id: str
    cell: str
    kind: Kind
    device: str
    nights: Sequence[Night]
    changes: Sequence[ChangePoint] = ()
    not_searched: str | None = None
    noise: float | None = None  # standard deviation from night to night: a share for ratios, else in the unit


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """A metric over all series."""

    metric: str
    unit: str
    series: Sequence[Series]
    findings: Sequence[str] = field(default_factory=tuple)  # sentences a reader must know
