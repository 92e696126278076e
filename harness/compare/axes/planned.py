"""The axes of a plan, each with its levels, and what they do."""

from __future__ import annotations

from collections.abc import Sequence

from harness.compare.axes.effects import axis_effects
from harness.records.effects import AxisEffects
from harness.records.plan import Plan
from harness.records.results import TrialResult, Unlike


def effects_of(
    plan: Plan,
    trials: Sequence[TrialResult],
    *,
    metrics: Sequence[str],
    unlike: Sequence[Unlike] = (),
) -> AxisEffects:
    """What the axes of a plan do, from its trials as `summary.measured` gives them, by the margins of its suite.

    Scores that were gravely `unlike` are left out.
    """
    matrix = [trial for trial in trials if trial.kind == "cell"]
    grave = [name for one in unlike if one.grave for name in one.metrics]
    return axis_effects(matrix, axes_of(plan), metrics, margins=plan.suite.margins, unlike=grave)


def axes_of(plan: Plan) -> dict[str, tuple[str, ...]]:
    """The levels of each axis, in the suite's order but for the baseline's, which comes first.

    Where the baseline has several levels of an axis, or there is none, the suite's first level is the reference.
    """
    cells = [cell for cell in plan.cells if cell.kind == "cell"]
    made = [cell for cell in cells if not cell.origin] or cells
    if not made:
        return {}
    declared = {axis.name: [level.name for level in axis.levels] for axis in plan.suite.matrix}
    found: dict[str, tuple[str, ...]] = {}
    for axis in made[0].levels:
        seen = dict.fromkeys([*declared.get(axis, ()), *(cell.levels[axis] for cell in made if axis in cell.levels)])
        base = {cell.levels.get(axis) for cell in cells if cell.id in plan.baseline}
        first = [level for level in seen if base == {level}]
        found[axis] = tuple(dict.fromkeys([*first, *seen]))
    return found
