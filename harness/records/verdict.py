"""Verdicts: what a comparison of two sides came to, metric by metric and cell by cell.

The `reference` is the side that is known (a baseline, the release before), the `candidate` the one that is asked about.
A change is always the candidate's beside the reference's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.records.document_scores import DocumentProvider, Flips, OverDocuments
from harness.records.metrics import Direction, Margin
from harness.records.plan import Kind
from harness.records.results import SuiteResults, TrialResult

Ruling = Literal["improved", "regressed", "equivalent", "inconclusive", "insufficient", "missing"]
"""`improved`, `regressed`: the interval clears the margin. `equivalent`: it lies within. `inconclusive`: neither, more
runs would tell. `insufficient`: too few runs for an interval. `missing`: a side has no such figure at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One trial's figure of one metric."""

    seed: int
    value: float
    disturbed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """A change with its 95% interval: candidate ÷ reference (`ratio`), or candidate − reference (`difference`).

    `n` are the runs behind the two sides (of the reference, of the candidate), `pairs` the seeds or documents they
    share where they were paired. `error` and `degrees` are the standard error (of a ratio: of its logarithm) and the
    degrees of freedom behind the interval; None where it is no test: the interval is then the range that was seen.
    `error` 0: all runs of both sides are equal. `reference` is the reference's own figure, in the metric's unit.
    """

    kind: Literal["ratio", "difference"]
    value: float
    low: float
    high: float
    n: tuple[int, int]
    reference: float
    how: str  # the method in words, with what it is by: "Welch's t on logs"
    pairs: int | None = None
    error: float | None = None
    degrees: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a comparison says of one metric.

    `margin` and `detectable` are as the effect counts: of a ratio as a share (0.01: one percent), of a difference in
    the metric's unit. `detectable` is the smallest true change that would be found with probability 80% by so many
    runs that vary so much; None where there is no interval by a test. `p` is the probability to see so much, were the
    true change no more than the margin (two-sided); `p_adjusted` the same, corrected for how many were asked at once.
    """

    metric: str
    ruling: Ruling
    better: Direction
    effect: Effect | None = None  # None: insufficient or missing
    margin: float | None = None
    detectable: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    why: str = ""  # a sentence where the ruling alone does not say enough
    left_out: Sequence[str] = ()  # runs that were not counted, in words
    values: tuple[Sequence[float], Sequence[float]] = ((), ())  # counted runs of the reference, of the candidate
    documents: OverDocuments | None = None  # of a score that was judged by its documents

    @property
    def decided(self) -> bool:
        """Whether more runs would not change it."""
        return self.ruling in ("improved", "regressed", "equivalent")


@dataclass(frozen=True, kw_only=True, slots=True)
class Selected:
    """One side of a comparison: chosen trials, and all that is known around them. `label` is what readers call it.

    Without `documents` its scores are judged by seeds alone.
    """

    label: str
    results: SuiteResults
    trials: Sequence[TrialResult]
    documents: DocumentProvider | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Divergence:
    """Where the logged losses of two trainings with one seed part.

    `exact` is the first of the shared `steps` (their number; `last` is the last of them) whose losses are not the very
    same, `beyond` the first whose difference is beyond the loss's margin; None where there is none.
    """

    seed: int
    steps: int
    last: int
    exact: int | None
    beyond: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CellComparison:
    """Two cells side by side, by their names on each side (alike where it is one cell at two times).

    `verdicts` by metric, in the order asked. `refused`: metrics that cannot be compared, with the reason.
    `outcomes`: how the trials of each side ended, outcome → count. `what_else`: sentences about what differs besides.
    `divergences`: of the losses, for each seed of both sides; empty where the losses are different quantities.
    `flips`: documents that were fixed and broken, by metric, of scores of 0 and 1 that were judged by their documents.
    """

    reference: str
    candidate: str
    kind: Kind
    levels: Mapping[str, str]  # those that both share
    verdicts: Mapping[str, Verdict]
    refused: Mapping[str, str] = field(default_factory=dict)
    outcomes: tuple[Mapping[str, int], Mapping[str, int]] = field(default_factory=lambda: ({}, {}))
    ended: Ruling = "equivalent"  # regressed: trials of the candidate end badly that did not before; improved: reverse
    what_else: Sequence[str] = ()
    divergences: Sequence[Divergence] = ()
    flips: Mapping[str, Flips] = field(default_factory=dict)

    @property
    def judged(self) -> bool:
        """Whether some figure is on both sides."""
        return any(verdict.ruling != "missing" for verdict in self.verdicts.values())

    @property
    def tells(self) -> bool:
        """Whether anything could be compared: a figure, or how the trials of one side alone ended."""
        return self.judged or self.ended in ("regressed", "improved")


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A whole comparison of two sides. `findings`: sentences a reader must know; `what_else`: what differs in all of
    its cells, which the cells then do not tell again.
    """

    reference: str
    candidate: str
    metrics: Sequence[str]
    cells: Sequence[CellComparison]
    margins: Mapping[str, Margin] = field(default_factory=dict)
    only_reference: Sequence[str] = ()  # names of cells that the candidate lacks
    only_candidate: Sequence[str] = ()
    findings: Sequence[str] = ()
    what_else: Sequence[str] = ()

    def count(self, ruling: Ruling) -> int:
        """How many verdicts there are of a kind."""
        return sum(verdict.ruling == ruling for cell in self.cells for verdict in cell.verdicts.values())
