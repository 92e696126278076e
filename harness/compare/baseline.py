"""Every cell of the matrix beside a baseline cell, with a verdict on each figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.compare.columns import Goal
from harness.compare.comparison import judged
from harness.compare.matching import Pair
from harness.records.document_scores import DocumentProvider
from harness.records.metrics import OF_A_METHOD, Direction
from harness.records.plan import Plan
from harness.records.results import CellSummary, SuiteResults, TrialResult
from harness.records.verdict import CellComparison, Selected


def baseline_of(plan: Plan, cells: Sequence[CellSummary]) -> tuple[CellSummary, ...]:
    """The baseline cells among these, in their order."""
    return tuple(cell for cell in cells if cell.kind == "cell" and cell.cell_id in plan.baseline)


def against(
    plan: Plan,
    results: SuiteResults,
    trials: Sequence[TrialResult],
    cells: Sequence[CellSummary],
    directions: Mapping[str, Direction],
    goal: Goal,
    documents: DocumentProvider | None = None,
) -> tuple[CellComparison, ...]:
    """Each other cell of the matrix beside the baseline cell that differs on the fewest axes, the first of them.

    `directions` are those of the columns of the main table, in their order; those with none are not judged. Losses and
    reward margins are compared only where they are the goal.
    """
    baseline = baseline_of(plan, cells)
    others = [cell for cell in cells if cell.kind == "cell" and cell not in baseline]
    if not baseline or not others:
        return ()
    by_cell: dict[str, list[TrialResult]] = {}
    for trial in trials:
        if trial.kind == "cell":
            by_cell.setdefault(trial.cell_id, []).append(trial)
    pairs = [
        Pair(reference=by_cell[_nearest(cell, baseline).cell_id], candidate=by_cell[cell.cell_id]) for cell in others
    ]
    side = Selected(label=plan.suite.name, results=results, trials=trials, documents=documents)
    asked = {
        name: better
        for name, better in directions.items()
        if better != "none" and (name == goal.metric or name not in OF_A_METHOD)
    }
    return judged(pairs, side, side, metrics=tuple(asked), margins=plan.suite.margins, better=asked)


def _nearest(cell: CellSummary, baseline: Sequence[CellSummary]) -> CellSummary:
    return min(baseline, key=lambda one: _apart(cell, one))


def _apart(cell: CellSummary, other: CellSummary) -> int:
    """On how many axes two cells differ."""
    return sum(cell.levels.get(axis) != other.levels.get(axis) for axis in {*cell.levels, *other.levels})
