"""What hardly varies (memory): ratios of the most over runs, between cells that differ in one axis alone; no test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from harness.compare.axes.design import Design, Levels, Point, Term
from harness.compare.axes.fitted import ONE_RUN, Tested
from harness.records.verdict import Effect

Runs = tuple[float, ...]
Cells = Mapping[tuple[str, ...], Runs]
"""By levels in the design's order: the figures of the cell's runs, of which the most counts."""


def by_cell(design: Design, points: Sequence[Point]) -> Cells:
    """The runs of every cell."""
    found: dict[tuple[str, ...], list[float]] = {}
    for point in points:
        found.setdefault(tuple(point.levels[axis] for axis in design.axes), []).append(point.y)
    return {key: tuple(values) for key, values in found.items()}


def beside(design: Design, cells: Cells, axis: str, level: str, at: Levels) -> Iterator[tuple[Runs, Runs]]:
    """The runs of each two cells that differ in this axis alone, its first level and this one."""
    place = list(design.axes).index(axis)
    for key, found in cells.items():
        levels = dict(zip(design.axes, key, strict=True))
        if key[place] != level or any(levels[name] != one for name, one in at.items()):
            continue
        before = cells.get((*key[:place], design.axes[axis][0], *key[place + 1 :]))
        if before is not None:
            yield before, found


def exact_effect(pairs: Sequence[tuple[Runs, Runs]]) -> Effect:
    """The geometric mean of the ratios between two cells each, and the range of all ratios that their runs could form:
    one point where nothing varies, as of two cells (`judging.effects`). Where nothing is held that a ratio could be to,
    the same of differences.
    """
    before = [max(runs) for runs, _ in pairs]
    n = sum(len(runs) for runs, _ in pairs), sum(len(runs) for _, runs in pairs)
    how = f"most over runs, {len(pairs)} pairs of cells" if len(pairs) > 1 else "most over runs, one pair of cells"
    if min(min(runs) for sides in pairs for runs in sides) <= 0:
        changes = [max(runs) - most for most, (_, runs) in zip(before, pairs, strict=True)]
        return Effect(
            kind="difference",
            value=math.fsum(changes) / len(changes),
            low=min(min(after) - max(one) for one, after in pairs),
            high=max(max(after) - min(one) for one, after in pairs),
            n=n,
            reference=math.fsum(before) / len(before),
            how=how,
        )
    logs = [math.log(max(runs) / most) for most, (_, runs) in zip(before, pairs, strict=True)]
    return Effect(
        kind="ratio",
        value=math.exp(math.fsum(logs) / len(logs)),
        low=min(min(after) / max(one) for one, after in pairs),
        high=max(max(after) / min(one) for one, after in pairs),
        n=n,
        reference=math.exp(math.fsum(map(math.log, before)) / len(before)),
        how=how,
    )


def exact_interplay(design: Design, cells: Cells, pair: Term, fewest: int = 1) -> Tested:
    """How much the ratio of one axis differs between levels of the other, all else alike; on the log scale.

    By so much as the runs of a cell lie apart it may be less, or more: that takes at least `fewest` of each.
    """
    if any(len(runs) < fewest for runs in cells.values()):
        return Tested(pair=pair, why=ONE_RUN)
    if any(min(runs) <= 0 for runs in cells.values()):
        return Tested(pair=pair, why="a ratio takes figures above 0")
    one, other = (list(design.axes).index(axis) for axis in pair)
    corners: dict[tuple[str, str, str, str], list[tuple[float, float]]] = {}
    for corner, quad in _quads(design, cells, pair, one, other):
        none, first, second, both = (math.log(max(runs)) for runs in quad)
        apart = math.fsum(math.log(max(runs) / min(runs)) for runs in quad)
        corners.setdefault(corner, []).append((both - second - (first - none), apart))
    if not corners:
        return Tested(pair=pair, why="the combinations that would tell were not measured")
    told = [[abs(math.fsum(part)) / len(part) for part in zip(*found, strict=True)] for found in corners.values()]
    return Tested(
        pair=pair,
        spread=max(spread for spread, _ in told),
        least=max(spread - apart for spread, apart in told),
        bound=max(spread + apart for spread, apart in told),
    )


def _quads(
    design: Design, cells: Cells, pair: Term, one: int, other: int
) -> Iterator[tuple[tuple[str, str, str, str], tuple[Runs, Runs, Runs, Runs]]]:
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
                    first, second, both = (runs for runs in rest if runs is not None)
                    yield (key[one], a, key[other], b), (found, first, second, both)
