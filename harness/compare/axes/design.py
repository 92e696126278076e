"""Runs of a matrix as the rows of a linear model: one column for each level beside the reference, and for each pair.

Columns are coded against the reference level (treatment coding), so that any change is a difference of two rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Levels = Mapping[str, str]
Term = tuple[str, ...]
"""The axes whose levels a group of columns is for: one axis, or two that may change each other's effect."""

_SAME = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One run: its cell by levels, its seed, and its figure on the scale that is fitted."""

    levels: Levels
    seed: int
    y: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """The axes with their levels, the reference first; `seeds` where runs of one seed belong together."""

    axes: Mapping[str, Sequence[str]]
    seeds: Sequence[int] = ()

    def pairs(self) -> list[Term]:
        """Every two axes."""
        return list(itertools.combinations(self.axes, 2))

    def columns(self, terms: Sequence[Term]) -> list[tuple[tuple[str, str], ...]]:
        """What each column is for: pairs of axis and level that must all hold; the first is for every row."""
        found: list[tuple[tuple[str, str], ...]] = [()]
        for term in (*((axis,) for axis in self.axes), *terms):
            choices = [[(axis, level) for level in self.axes[axis][1:]] for axis in term]
            found += list(itertools.product(*choices))
        return found

    def matrix(self, rows: Sequence[Levels], terms: Sequence[Term], seeds: Sequence[int] = ()) -> Any:
        """One row per entry of `rows`; without `seeds` a row stands for no seed in particular."""
        import numpy as np

        asked = self.columns(terms)
        each = self.seeds[1:]
        made = np.zeros((len(rows), len(asked) + len(each)))
        holds = {
            (axis, level): np.array([row[axis] == level for row in rows], dtype=float)
            for axis, levels in self.axes.items()
            for level in levels
        }
        for place, column in enumerate(asked):
            made[:, place] = 1.0
            for entry in column:
                made[:, place] *= holds[entry]
        for place, seed in enumerate(each, start=len(asked)):
            if seeds:
                made[:, place] = [one == seed for one in seeds]
        return made

    def changes(self, axis: str, level: str, others: Sequence[Levels], terms: Sequence[Term]) -> Any:
        """One row per entry of `others`: what changes when `axis` goes from its reference to `level` there."""
        after = [{**other, axis: level} for other in others]
        before = [{**other, axis: self.axes[axis][0]} for other in others]
        return self.matrix(after, terms) - self.matrix(before, terms)

    def double_changes(self, pair: Term, terms: Sequence[Term]) -> tuple[list[tuple[int, int]], Any]:
        """How the effect of one axis differs between two levels of the other, for all such.

        The first part says, for each row, which two levels of the second axis were set beside each other.
        """
        one, other = pair
        base = {axis: levels[0] for axis, levels in self.axes.items()}
        sides: list[list[Levels]] = [[], [], [], []]
        which = []
        for a, b in itertools.combinations(self.axes[one], 2):
            for c, d in itertools.combinations(range(len(self.axes[other])), 2):
                for side, (x, y) in zip(sides, ((b, d), (a, d), (b, c), (a, c)), strict=True):
                    side.append({**base, one: x, other: self.axes[other][y]})
                which.append((c, d))
        rows = [self.matrix(side, terms) for side in sides]
        return which, rows[0] - rows[1] - rows[2] + rows[3]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """Ordinary least squares: coefficients, what is left over, and the pieces that intervals are made from.

    x may lack full rank: then only changes within the rows' span can be told.
    """

    beta: Any
    unscaled: Any  # (x'x)⁺
    span: Any  # projects on the space of x's rows
    ssr: float
    rank: int
    n: int

    @property
    def degrees(self) -> int:
        return self.n - self.rank

    def tells(self, changes: Any) -> Any:
        """Which of these rows the model can tell of, as booleans."""
        import numpy as np

        return np.abs(changes - changes @ self.span).max(axis=1, initial=0.0) < _SAME * 1e2

    def values(self, changes: Any) -> Any:
        """The change of y for each row."""
        return changes @ self.beta

    def errors(self, changes: Any, variance: float) -> Any:
        """The standard error of each of them."""
        import numpy as np

        squared = np.einsum("ij,jk,ik->i", changes, self.unscaled, changes)
        return np.sqrt(np.maximum(squared, 0.0) * variance)


def fit(x: Any, y: Any) -> Fit:
    """Fits y on the columns of x by statsmodels, in the space that x spans; rounding alone counts as nothing left over.

    statsmodels takes columns that follow from others by a pseudo-inverse with a bound near rounding itself; what a
    matrix cannot tell must not come out as an effect, so such directions are left out before.
    """
    import numpy as np
    from statsmodels.regression.linear_model import OLS

    _, sizes, directions = np.linalg.svd(x, full_matrices=False)
    spanned = directions[sizes > _SAME * sizes.max(initial=0.0)].T
    found = OLS(y, x @ spanned).fit()
    rounding = len(y) * (_SAME * (1.0 + float(np.abs(y).max(initial=0.0)))) ** 2
    return Fit(
        beta=spanned @ found.params,
        unscaled=spanned @ found.normalized_cov_params @ spanned.T,
        span=spanned @ spanned.T,
        ssr=0.0 if found.ssr < rounding else float(found.ssr),
        rank=spanned.shape[1],
        n=len(y),
    )


def within_cells(points: Sequence[Point], seeds: Sequence[int]) -> Fit:
    """The model that says nothing of axes: each cell its own mean. What it leaves over is how much runs vary."""
    import numpy as np

    cells = list(dict.fromkeys(_cell(point) for point in points))
    place = {cell: number for number, cell in enumerate(cells)}
    x = np.zeros((len(points), len(cells) + max(0, len(seeds) - 1)))
    for row, point in enumerate(points):
        x[row, place[_cell(point)]] = 1.0
        if point.seed in seeds[1:]:
            x[row, len(cells) + seeds[1:].index(point.seed)] = 1.0
    return fit(x, np.array([point.y for point in points]))


def cells_of(points: Sequence[Point]) -> Iterator[Levels]:
    """Each cell once."""
    seen = {_cell(point): point.levels for point in points}
    yield from seen.values()


def _cell(point: Point) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(point.levels.items()))
