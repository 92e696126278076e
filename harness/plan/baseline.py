"""The cells that a suite's `baseline` chooses: there must be some, and what to write where there are none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.plan.checks import Checks
from harness.plan.doubtful import doubtful
from harness.plan.draft import Draft, in_words
from harness.plan.selectors import rule_of, shown
from harness.records.doubts import NONE, Doubts, overlap
from harness.records.suite import Axis, Selector, Suite

_MOST_SHOWN = 8


def check_baseline(suite: Suite, cells: Sequence[Draft], checks: Checks, doubts: Doubts = NONE) -> None:
    """Finds a baseline that no cell is."""
    if suite.baseline is None or not cells or _may_be_there(suite, suite.baseline, cells, doubts):
        return
    rule = rule_of(suite.baseline, checks.parts)
    missing = [rule.missing(draft, checks.training) for draft in cells]
    if not all(missing):
        return
    never = [name for name in missing[0] if all(name in names for names in missing)]
    if never:
        why, hint = None, "; ".join(_values(name, cells, checks) for name in never)
    else:
        nearest = min(zip(missing, cells, strict=True), key=lambda pair: len(pair[0]))[1]
        why = "each of these holds of some cell, but never all of them of one"
        hint = f"the nearest cell is {in_words(nearest.levels)}"
    where = suite.where("baseline", *never[:1])
    checks.findings.add(f"baseline matches no cell: {rule.words}", why=why, hint=hint, where=where)


def _may_be_there(suite: Suite, baseline: Selector, cells: Sequence[Draft], doubts: Doubts) -> bool:
    """Whether a cell that the baseline means may be missing, or not be known for it, since something was left out."""
    if any(path.partition(".")[0] in draft.wrong for draft in cells for path in baseline.fields):
        return True
    if not doubts:
        return False
    if "include" in doubts.open or ("matrix",) in doubts.losses or (doubts.levels and suite.exclude):
        return True
    lacking = [axis for axis in suite.matrix if axis.name in doubts.levels]
    if any(axis.name in baseline.levels or _sets(axis, baseline.fields) for axis in lacking):
        return True
    return any(doubtful(draft, path, loosely=True) for draft in cells for path in baseline.fields)


def _sets(axis: Axis, paths: Iterable[str]) -> bool:
    """Whether some level of the axis sets one of these fields."""
    return any(overlap(path, one) for path in paths for level in axis.levels for one in level.sets)


def ids_of_baseline(suite: Suite, cells: Sequence[Draft], checks: Checks) -> tuple[str, ...]:
    """Ids of the cells that others are compared with."""
    if suite.baseline is None:
        return ()
    rule = rule_of(suite.baseline, checks.parts)
    return tuple(draft.id for draft in cells if rule.matches(draft, checks.training))


def _values(name: str, cells: Sequence[Draft], checks: Checks) -> str:
    """What the cells have instead: `recipe is sft or dpo`."""
    values = list(dict.fromkeys(shown(draft, name, checks.training) for draft in cells))
    more = f" or one of {len(values) - _MOST_SHOWN:,} more" if len(values) > _MOST_SHOWN else ""
    return f"{name} is {' or '.join(values[:_MOST_SHOWN])}{more}"
