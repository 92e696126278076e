"""Which cells of two sides are compared with each other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from harness.records.results import TrialResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """The trials of one cell on each side."""

    reference: Sequence[TrialResult]
    candidate: Sequence[TrialResult]


@dataclass(frozen=True, kw_only=True, slots=True)
class Matched:
    """Cells that belong together, in the reference's order, and names of those left alone."""

    pairs: tuple[Pair, ...]
    only_reference: tuple[str, ...]
    only_candidate: tuple[str, ...]


def pairs_of(reference: Iterable[TrialResult], candidate: Iterable[TrialResult]) -> Matched:
    """The same cell (by id) on both sides; else cells alike but for the axes on which the sides were chosen; else cells
    of one name; and where one cell is left on each side, these two.

    An axis is what the sides were chosen by where each side has one level of it and these differ.
    """
    before, after = _cells(reference), _cells(candidate)
    order = {id(cell): number for number, cell in enumerate(before)}
    chosen_by = _chosen_by(before, after)
    found: list[Pair] = []
    keys: tuple[Callable[[Sequence[TrialResult]], Hashable], ...] = (
        lambda cell: (cell[0].kind, cell[0].cell_id),
        lambda cell: (cell[0].kind, *sorted((a, v) for a, v in cell[0].levels.items() if a not in chosen_by)),
        lambda cell: (cell[0].kind, cell[0].cell_name),
    )
    for key in keys:
        _take(found, before, after, key)
    if len(before) == len(after) == 1:
        found.append(Pair(reference=before.pop(), candidate=after.pop()))
    found.sort(key=lambda pair: order[id(pair.reference)])
    return Matched(
        pairs=tuple(found),
        only_reference=tuple(cell[0].cell_name for cell in before),
        only_candidate=tuple(cell[0].cell_name for cell in after),
    )


def _cells(trials: Iterable[TrialResult]) -> list[list[TrialResult]]:
    cells: dict[tuple[str, str], list[TrialResult]] = {}
    for trial in trials:
        cells.setdefault((trial.kind, trial.cell_id), []).append(trial)
    return list(cells.values())


def _chosen_by(before: Sequence[Sequence[TrialResult]], after: Sequence[Sequence[TrialResult]]) -> set[str]:
    sides = [[cell[0].levels for cell in side if cell[0].kind == "cell"] for side in (before, after)]
    axes = {axis for side in sides for levels in side for axis in levels}
    return {
        axis
        for axis in axes
        if all(len({levels.get(axis) for levels in side}) == 1 for side in sides)
        and sides[0][0].get(axis) != sides[1][0].get(axis)
    }


def _take(
    found: list[Pair],
    before: list[list[TrialResult]],
    after: list[list[TrialResult]],
    key: Callable[[Sequence[TrialResult]], Hashable],
) -> None:
    """Moves what one key joins, one to one, from the two lists to the pairs."""
    there = {key(cell): cell for cell in after}
    for cell in list(before):
        other = there.pop(key(cell), None)
        if other is not None:
            found.append(Pair(reference=cell, candidate=other))
            before.remove(cell)
            after.remove(other)
