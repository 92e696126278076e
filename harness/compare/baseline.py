"""Every cell of the matrix beside a baseline cell: differences and ratios of means, and no verdict on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from harness.compare.columns import OF_A_METHOD, Goal
from harness.records.metrics import metric
from harness.records.plan import Plan
from harness.records.results import Against, CellSummary, Change, Spread

_IN_RATIOS = ("tokens/s", "samples/s", "s", "bytes")


def baseline_of(plan: Plan, cells: Sequence[CellSummary]) -> tuple[CellSummary, ...]:
    """The baseline cells among these, in their order."""
    return tuple(cell for cell in cells if cell.kind == "cell" and cell.cell_id in plan.baseline)


Unlike = Callable[[CellSummary, CellSummary], Sequence[str]]
"""The metrics that two cells were not scored alike on."""


def against(
    cells: Sequence[CellSummary],
    baseline: Sequence[CellSummary],
    columns: Sequence[str],
    goal: Goal,
    unlike: Unlike = lambda one, other: (),
) -> tuple[Against, ...]:
    """Each other cell of the matrix beside the baseline cell that differs on the fewest axes, the first of them.

    Losses and reward margins are compared only where they are the goal, and only within a method.
    """
    if not baseline:
        return ()
    compared = [name for name in columns if name == goal.metric or name not in OF_A_METHOD]
    others = [cell for cell in cells if cell.kind == "cell" and cell not in baseline]
    return tuple(_beside(cell, min(baseline, key=lambda one: _apart(cell, one)), compared, unlike) for cell in others)


def _apart(cell: CellSummary, other: CellSummary) -> int:
    """On how many axes two cells differ."""
    return sum(cell.levels.get(axis) != other.levels.get(axis) for axis in {*cell.levels, *other.levels})


def _beside(cell: CellSummary, other: CellSummary, columns: Sequence[str], unlike: Unlike) -> Against:
    one_method = cell.config.get("method") == other.config.get("method")
    found = {
        name: change(name, cell.metrics[name], other.metrics[name])
        for name in columns
        if name in cell.metrics and name in other.metrics and (one_method or name not in OF_A_METHOD)
    }
    return Against(
        cell=cell.name,
        baseline=other.name,
        seeds=(cell.outcomes.get("ok", 0), other.outcomes.get("ok", 0)),
        changes={name: made for name, made in found.items() if made is not None},
        unlike=tuple(unlike(cell, other)),
    )


def change(name: str, mine: Spread, its: Spread) -> Change | None:
    """Rates, times and sizes as a ratio; scores between 0 and 1 in points of a hundred; the rest as a difference.

    None where a mean is not finite, or a ratio would be to nothing.
    """
    if not (math.isfinite(mine.mean) and math.isfinite(its.mean)):
        return None
    known = metric(name)
    unit = known.unit if known else ""
    if unit in _IN_RATIOS:
        return Change(kind="ratio", value=mine.mean / its.mean, n=mine.n, baseline_n=its.n) if its.mean > 0 else None
    difference = mine.mean - its.mean
    if unit == "score" and max(abs(mine.mean), abs(its.mean)) <= 1:
        return Change(kind="points", value=100 * difference, n=mine.n, baseline_n=its.n)
    return Change(kind="difference", value=difference, n=mine.n, baseline_n=its.n)
