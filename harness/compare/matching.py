"""Which cells of two sides are compared with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from harness.records.results import TrialResult

Trials = Sequence[TrialResult]
"""The trials of one cell; at least one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """The trials of one cell on each side."""

    reference: Trials
    candidate: Trials


@dataclass(frozen=True, kw_only=True, slots=True)
class Matched:
    """Cells that belong together, in the reference's order, and names of those left alone."""

    pairs: tuple[Pair, ...]
    only_reference: tuple[str, ...]
    only_candidate: tuple[str, ...]


def pairs_of(reference: Iterable[TrialResult], candidate: Iterable[TrialResult]) -> Matched:
    """The same cell (by id) on both sides; else cells alike but for the axes on which the sides were chosen; else cells
    of one name; and where each side is a single cell, these two.

    An axis is what the sides were chosen by where each side has one level of it and these differ. What several cells of
    a side have in common joins none of them: which is meant would be a guess.
    """
    before, after = _cells(reference), _cells(candidate)
    order = {id(cell): number for number, cell in enumerate(before)}
    chosen_by = axes_chosen_by(before, after)
    keys: tuple[Callable[[Trials], Hashable], ...] = (
        lambda cell: (cell[0].kind, cell[0].cell_id),
        lambda cell: _levels(cell, chosen_by),
        lambda cell: (cell[0].kind, cell[0].cell_name),
    )
    found: list[Pair] = []
    single = len(before) == len(after) == 1
    for key in keys:
        _take(found, before, after, key)
    if single and before:
        found.append(Pair(reference=before.pop(), candidate=after.pop()))
    found.sort(key=lambda pair: order[id(pair.reference)])
    return Matched(
        pairs=tuple(found),
        only_reference=tuple(cell[0].cell_name for cell in before),
        only_candidate=tuple(cell[0].cell_name for cell in after),
    )


def same_measurement(one: TrialResult, other: TrialResult) -> bool:
    """Whether two results of one trial are of the very same attempt."""
    return one.counted == other.counted and dict(one.metrics) == dict(other.metrics)


def _cells(trials: Iterable[TrialResult]) -> list[list[TrialResult]]:
    cells: dict[tuple[str, str], list[TrialResult]] = {}
    for trial in trials:
        cells.setdefault((trial.kind, trial.cell_id), []).append(trial)
    return list(cells.values())


def axes_chosen_by(before: Sequence[Trials], after: Sequence[Trials]) -> frozenset[str]:
    """Axes of which each side has one level, and not the same."""
    sides = [[cell[0].levels for cell in side if cell[0].kind == "cell"] for side in (before, after)]
    if not all(sides):
        return frozenset()
    axes = {axis for side in sides for levels in side for axis in levels}
    return frozenset(
        axis
        for axis in axes
        if all(len({levels.get(axis) for levels in side}) == 1 for side in sides)
        and sides[0][0].get(axis) != sides[1][0].get(axis)
    )


def _levels(cell: Trials, but: Iterable[str]) -> Hashable:
    """The levels of a cell of the matrix without some axes; of what has no levels nothing that could join it."""
    if cell[0].kind != "cell" or not cell[0].levels:
        return None
    return tuple(sorted((axis, level) for axis, level in cell[0].levels.items() if axis not in but))


def _take(
    found: list[Pair],
    before: list[list[TrialResult]],
    after: list[list[TrialResult]],
    key: Callable[[Trials], Hashable],
) -> None:
    """Moves what one key joins, one to one, from the two lists to the pairs."""
    counts = [Counter(map(key, side)) for side in (before, after)]
    there = {key(cell): cell for cell in after}
    for cell in list(before):
        shared = key(cell)
        if shared is not None and counts[0][shared] == counts[1][shared] == 1:
            other = there[shared]
            found.append(Pair(reference=cell, candidate=other))
            before[:] = [one for one in before if one is not cell]
            after[:] = [one for one in after if one is not other]
