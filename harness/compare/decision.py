"""The suite's decision: the best cell among those that keep the bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.compare.columns import Goal
from harness.records.figures import said, title
from harness.records.results import CellSummary, Decision, Spread
from harness.records.suite import Suite
from harness.records.units import Bound, parse_bound


def decide(suite: Suite, cells: Sequence[CellSummary], goal: Goal, *, unlike: str | None = None) -> Decision | None:
    """The cell with the best mean of the goal's metric; None where no cell of the matrix has that metric.

    A bound must hold for every seed of a cell, not for their mean. The lead is `clear` when both sides have at least
    two seeds and their ranges do not overlap: a plain statement about what was seen, not a test. Where cells were not
    scored alike, which `unlike` says, no lead is clear.
    """
    bounds = {name: parse_bound(text) for name, text in suite.decide.keep.items()} if suite.decide else {}
    matrix = [cell for cell in cells if cell.kind == "cell"]
    broken = {cell.name: why for cell in matrix if cell.metrics and (why := _broken(cell, bounds))}
    able = [cell for cell in matrix if goal.metric in cell.metrics and math.isfinite(cell.metrics[goal.metric].mean)]
    if not able:
        return None
    sign = 1 if goal.better == "higher" else -1
    ranked = sorted(
        (cell for cell in able if cell.name not in broken), key=lambda cell: -sign * cell.metrics[goal.metric].mean
    )
    if not ranked:
        return _nobody(goal, broken, unlike)
    first = ranked[0].metrics[goal.metric]
    second = ranked[1].metrics[goal.metric] if len(ranked) > 1 else None
    return Decision(
        metric=goal.metric,
        better=goal.better,
        winner=ranked[0].name,
        value=first,
        runner_up=ranked[1].name if second else None,
        difference=first.mean - second.mean if second else None,
        clear=second is not None and unlike is None and apart(first, second),
        out_of_bounds=broken,
        unlike=unlike,
    )


def apart(one: Spread, other: Spread) -> bool:
    """Whether two ranges over at least two seeds each do not overlap."""
    return min(one.n, other.n) > 1 and (one.low > other.high or other.low > one.high)


def _nobody(goal: Goal, broken: dict[str, str], unlike: str | None) -> Decision:
    return Decision(
        metric=goal.metric,
        better=goal.better,
        winner=None,
        value=None,
        runner_up=None,
        difference=None,
        clear=False,
        out_of_bounds=broken,
        unlike=unlike,
    )


def _broken(cell: CellSummary, bounds: dict[str, Bound]) -> str:
    """The bounds a cell does not keep, in words; empty when it keeps all."""
    reasons = []
    for name, bound in bounds.items():
        spread = cell.metrics.get(name)
        if spread is None:
            reasons.append(f"{title(name)} was not measured (bound {bound})")
            continue
        worst = spread.high if bound.operator.startswith("<") else spread.low
        if not bound.holds(worst):
            figure, words = said(name, worst), title(name)
            reasons.append(f"{figure if figure.endswith(words) else f'{words} {figure}'} is not {bound}")
    return "; ".join(reasons)
