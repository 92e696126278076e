"""What hardly varies (memory): exact ratios between cells that differ in one axis alone, and no test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from harness.compare.axes.design import Design, Levels, Point, Term
from harness.compare.axes.fitted import Tested
from harness.records.verdict import Effect

Cells = Mapping[tuple[str, ...], tuple[float, int]]
"""By levels in the design's order: the most over runs of the cell, and how many runs there were."""


def most_of(design: Design, points: Sequence[Point]) -> Cells:
    """The most of every cell."""
    found: dict[tuple[str, ...], list[float]] = {}
    for point in points:
        found.setdefault(tuple(point.levels[axis] for axis in design.axes), []).append(point.y)
    return {key: (max(values), len(values)) for key, values in found.items()}


def exact_effect(design: Design, cells: Cells, axis: str, level: str, at: Levels | None = None) -> Effect | str:
    """The geometric mean of the ratios between cells that differ in this axis alone, and the range of them.

    A sentence where there are no two such cells, or where nothing is held that a ratio could be to.
    """
    pairs = list(_beside(design, cells, axis, level, at or {}))
    if not pairs:
        return f"no two cells differ in {axis} alone"
    before, after = ([side[0] for side in sides] for sides in zip(*pairs, strict=True))
    n = sum(side[1] for side, _ in pairs), sum(side[1] for _, side in pairs)
    how = f"exact, over {len(pairs)} pairs of cells" if len(pairs) > 1 else "exact, one pair of cells"
    if min(before) <= 0 or min(after) <= 0:
        changes = [y - x for x, y in zip(before, after, strict=True)]
        return Effect(
            kind="difference",
            value=math.fsum(changes) / len(changes),
            low=min(changes),
            high=max(changes),
            n=n,
            reference=math.fsum(before) / len(before),
            how=how,
        )
    logs = [math.log(y / x) for x, y in zip(before, after, strict=True)]
    return Effect(
        kind="ratio",
        value=math.exp(math.fsum(logs) / len(logs)),
        low=math.exp(min(logs)),
        high=math.exp(max(logs)),
        n=n,
        reference=math.exp(math.fsum(map(math.log, before)) / len(before)),
        how=how,
    )


def exact_interplay(design: Design, cells: Cells, pair: Term) -> Tested:
    """How much the ratio of one axis differs between levels of the other, all else alike; on the log scale."""
    if any(value <= 0 for value, _ in cells.values()):
        return Tested(pair=pair, why="a ratio takes figures above 0")
    one, other = (list(design.axes).index(axis) for axis in pair)
    spread: float | None = None
    means: dict[tuple[str, str, str, str], list[float]] = {}
    for corner, quad in _quads(design, cells, pair, one, other):
        means.setdefault(corner, []).append(math.log(quad[3]) - math.log(quad[2]) - math.log(quad[1] / quad[0]))
    for found in means.values():
        spread = max(spread or 0.0, abs(math.fsum(found) / len(found)))
    if spread is None:
        return Tested(pair=pair, why="the combinations that would tell were not measured")
    return Tested(pair=pair, spread=spread, bound=spread)


def _beside(
    design: Design, cells: Cells, axis: str, level: str, at: Levels
) -> Iterator[tuple[tuple[float, int], tuple[float, int]]]:
    place = list(design.axes).index(axis)
    for key, found in cells.items():
        levels = dict(zip(design.axes, key, strict=True))
        if key[place] != level or any(levels[name] != one for name, one in at.items()):
            continue
        before = cells.get((*key[:place], design.axes[axis][0], *key[place + 1 :]))
        if before is not None:
            yield before, found


def _quads(
    design: Design, cells: Cells, pair: Term, one: int, other: int
) -> Iterator[tuple[tuple[str, str, str, str], tuple[float, float, float, float]]]:
    """Four cells that differ in the two axes alone: both as they are, the first moved, the second moved, both moved."""

    def moved(key: tuple[str, ...], **to: str) -> tuple[str, ...]:
        changed = list(key)
        for place, level in ((one, to.get("one")), (other, to.get("other"))):
            if level is not None:
                changed[place] = level
        return tuple(changed)

    order = {axis: {level: number for number, level in enumerate(design.axes[axis])} for axis in pair}
    for key, found in cells.items():
        for a in design.axes[pair[0]][order[pair[0]][key[one]] + 1 :]:
            for b in design.axes[pair[1]][order[pair[1]][key[other]] + 1 :]:
                moves = ({"one": a}, {"other": b}, {"one": a, "other": b})
                rest = [cells.get(moved(key, **move)) for move in moves]
                if None not in rest:
                    first, second, both = (value[0] for value in rest if value is not None)
                    yield (key[one], a, key[other], b), (found[0], first, second, both)
