"""A gate: trials beside a baseline, and whether that is good enough to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.records.plan import Kind
from harness.records.verdict import Comparison, Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What makes a gate fail besides what regressed."""

    strict: bool = False  # whatever is undecided
    fail_on_improvement: bool = False
    allow_missing: bool = False  # cells and figures of the baseline that are gone are findings alone


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One figure of one cell (by id and name) with its verdict."""

    cell_id: str
    cell: str
    metric: str
    verdict: Verdict
    kind: Kind = "cell"

    @property
    def key(self) -> tuple[str, str]:
        return self.cell_id, self.metric


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """Trials of one cell that end as they did not in the baseline: how many of how many, there and now."""

    cell_id: str
    cell: str
    outcome: str
    before: tuple[int, int]
    now: tuple[int, int]
    seeds: Sequence[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Absent:
    """A cell, or one metric of it, that the baseline has and the trials lack; `why` in words.

    `idle`: what it has now is the baseline's own, and nothing was measured since.
    """

    cell: str
    why: str
    metric: str | None = None
    idle: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """What a check came to. All lists have the worst first; `equivalent` is a count.

    `ended`: trials that newly run out of memory or diverge, which is a regression. `failed`: those that newly end badly
    otherwise, which says nothing of speed or quality. `undecided`: more runs would tell. `insufficient`: there are too
    few for any verdict, of a cell of the matrix (stages and floors are run once). `refused`: (cell, metric, why) that
    cannot be compared. `extra`: cells that the baseline lacks. `findings`: sentences that a reader must know. `added`:
    replicates that were run to be sure, seeds by cell name. `suite_file`: where the suite's file was looked at.
    """

    baseline: str
    suite: str
    rules: Rules
    comparison: Comparison
    regressed: Sequence[Judged] = ()
    improved: Sequence[Judged] = ()
    undecided: Sequence[Judged] = ()
    insufficient: Sequence[Judged] = ()
    equivalent: int = 0
    ended: Sequence[Ended] = ()
    failed: Sequence[Ended] = ()
    missing: Sequence[Absent] = ()
    extra: Sequence[str] = ()
    refused: Sequence[tuple[str, str, str]] = ()
    findings: Sequence[str] = ()
    added: Mapping[str, Sequence[int]] = field(default_factory=dict)
    suite_file: str | None = None

    @property
    def regression(self) -> bool:
        """Whether something got worse, or was to stay and is gone, or must not even improve."""
        gone = bool(self.missing) and not self.rules.allow_missing
        return bool(self.regressed or self.ended) or gone or (self.rules.fail_on_improvement and bool(self.improved))

    @property
    def unsure(self) -> list[tuple[str, str]]:
        """Cells and metrics that it could not tell of, less those of stages and floors, which are run once."""
        told = [(one.cell, one.metric) for one in (*self.undecided, *self.insufficient) if one.kind == "cell"]
        return [*told, *((cell, metric) for cell, metric, _ in self.refused)]

    @property
    def exit_code(self) -> int:
        """The design's: 1 something regressed, 5 trials failed otherwise, 3 undecided where that counts, 0."""
        if self.regression:
            return 1
        if self.failed:
            return 5
        return 3 if self.rules.strict and self.unsure else 0
