"""One metric over a matrix, as a linear model: how much runs vary, which axes interact, what each level does.

Main effects and interactions of two axes by least squares, as in any textbook on designed experiments (Montgomery,
"Design and Analysis of Experiments", chapters 5 and 6). The error is how much runs of one cell differ. It is not what
the model leaves over as long as there is another: where three axes interact that would take what is the same in
every run of a cell for chance, and count the runs as if each told of it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.compare.axes.design import Design, Fit, Levels, Point, Term, cells_of, fit, within_cells
from harness.compare.judging.effects import CONFIDENCE, quantile

LEAST_DEGREES = 3
"""Degrees of freedom below which a larger model's leftovers are taken as the error, where they have more."""
ROUNDING = 1e-12
"""Changes below this share of the figures themselves are those of floating-point arithmetic."""
MOST_COLUMNS = 400
"""Columns above which interactions are not looked for."""
ONE_RUN = "one run a cell leaves nothing to tell it from chance by"
"""Why whether two axes interact cannot be told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Error:
    """What intervals are made from; `tests` says whether interactions can be told from it."""

    variance: float
    degrees: int
    words: str
    tests: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Tested:
    """The F test of one pair of axes. `spread` is the largest difference between what a level does here and there,
    `bound` how large it may be, both on the scale that is fitted. `least`: how small, where there is no test. `why`: it
    could not be made.
    """

    pair: Term
    f: float | None = None
    degrees: tuple[int, int] | None = None
    p: float | None = None
    spread: float = 0.0
    bound: float | None = None
    least: float = 0.0
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What a level does, on the scale that is fitted; `error` 0 where nothing varies."""

    value: float
    error: float
    degrees: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """One metric's runs with all that was fitted to them before it is known which interactions count."""

    design: Design
    points: Sequence[Point]
    error: Error | None  # None: nothing tells how much runs vary
    tested: Sequence[Tested]

    def change(
        self, axis: str, level: str, interacting: Sequence[Term], model: Fit, at: Levels | None = None
    ) -> Change | str:
        """What `level` does beside the reference of `axis`, at a level of another axis, or as the mean over all.

        A sentence where the runs cannot tell. `model` is the fit with the `interacting` pairs.
        """
        others = [dict(at or {})]
        for pair in interacting:
            partner = pair[1] if pair[0] == axis else pair[0] if pair[1] == axis else None
            if partner is not None and partner not in (at or {}):
                others = [{**other, partner: one} for other in others for one in self.design.axes[partner]]
        base = {name: levels[0] for name, levels in self.design.axes.items()}
        rows = self.design.changes(axis, level, [{**base, **other} for other in others], interacting)
        rows = rows[model.tells(rows)]
        if not len(rows):
            return _untold(self.design, self.points, axis, level)
        if self.error is None:
            return "one run a cell, and none to spare: nothing tells how much runs vary"
        mean = rows.mean(axis=0, keepdims=True)
        value = float(model.values(mean)[0])
        rounding = ROUNDING * max(abs(point.y) for point in self.points)
        return Change(
            value=value if abs(value) > rounding else 0.0,
            error=float(model.errors(mean, self.error.variance)[0]),
            degrees=self.error.degrees,
        )

    def model(self, interacting: Sequence[Term]) -> Fit:
        """The fit of all axes and these pairs of them."""
        return _fitted(self.design, self.points, interacting)


def fitted(design: Design, points: Sequence[Point]) -> Fitted:
    """Fits the runs of one metric. Every axis of the design has at least two levels among them."""
    pairs = design.pairs() if len(design.columns(design.pairs())) <= MOST_COLUMNS else []
    additive = _fitted(design, points, ())
    whole = _fitted(design, points, pairs) if pairs else additive
    error = _error(within_cells(points, design.seeds), whole, additive)
    if not pairs and len(design.axes) > 1:
        why = "there are too many levels to look for it"
        tested = [Tested(pair=pair, why=why) for pair in design.pairs()]
    else:
        tested = [_tested(design, points, pair, pairs, whole, error) for pair in pairs]
    return Fitted(design=design, points=points, error=error, tested=tested)


def _fitted(design: Design, points: Sequence[Point], terms: Sequence[Term]) -> Fit:
    import numpy as np

    x = design.matrix([point.levels for point in points], terms, [point.seed for point in points])
    return fit(x, np.array([point.y for point in points]))


def _error(cells: Fit, whole: Fit, additive: Fit) -> Error | None:
    """How much runs of a cell vary; where hardly any cell ran twice, what the largest model leaves over."""
    found = [
        (cells, "how much runs of one cell vary", True),
        (whole, "what pairs of axes leave unexplained", True),
        (additive, "what single axes leave unexplained, interactions included", False),
    ]
    able = [entry for entry in found if entry[0].degrees > 0]
    if not able:
        return None
    enough = [entry for entry in able if entry[0].degrees >= LEAST_DEGREES]
    model, words, tests = enough[0] if enough else max(able, key=lambda entry: entry[0].degrees)
    return Error(variance=model.ssr / model.degrees, degrees=model.degrees, words=words, tests=tests)


def _tested(
    design: Design, points: Sequence[Point], pair: Term, pairs: Sequence[Term], whole: Fit, error: Error | None
) -> Tested:
    if error is None or not error.tests:
        return Tested(pair=pair, why=ONE_RUN)
    without = _fitted(design, points, [one for one in pairs if one != pair])
    told = whole.rank - without.rank
    if told == 0:
        return Tested(pair=pair, why="the combinations that would tell were not measured")
    spread, bound = _double(design, pair, pairs, whole, error)
    explained = max(0.0, without.ssr - whole.ssr) / told
    if error.variance == 0:
        f = float("inf") if explained > 0 else 0.0
        p = 0.0 if explained > 0 else 1.0
    else:
        f = explained / error.variance
        p = _above(f, told, error.degrees)
    return Tested(pair=pair, f=f, degrees=(told, error.degrees), p=p, spread=spread, bound=bound)


def _double(design: Design, pair: Term, pairs: Sequence[Term], whole: Fit, error: Error) -> tuple[float, float | None]:
    """The largest difference between effects here and there, and how large it may be (Bonferroni over all of them)."""
    import numpy as np

    _, rows = design.double_changes(pair, pairs)
    rows = rows[whole.tells(rows)]
    if not len(rows):
        return 0.0, None
    sizes = np.abs(whole.values(rows))
    t = quantile(1 - (1 - CONFIDENCE) / 2 / len(rows), error.degrees)
    reach = sizes + t * whole.errors(rows, error.variance)
    return float(sizes.max()), float(reach.max())


def _above(f: float, above: int, below: int) -> float:
    """The probability of a larger F."""
    from scipy.special import fdtrc

    return float(fdtrc(above, below, f))


def _untold(design: Design, points: Sequence[Point], axis: str, level: str) -> str:
    """Why an effect cannot be estimated: which axes always moved together with this one."""
    cells = [cell for cell in cells_of(points) if cell[axis] in (level, design.axes[axis][0])]
    here = {cell[axis] for cell in cells}
    if len(here) < 2:
        return f"{axis} {level} was measured nowhere beside {axis} {design.axes[axis][0]}"
    moved = [name for name in design.axes if name != axis and _apart(cells, axis, name)]
    with_it = f" together with {' and '.join(moved)}" if moved else " together with other axes"
    return f"it always changed{with_it}: what it does alone cannot be told"


def _apart(cells: Sequence[Levels], axis: str, other: str) -> bool:
    """Whether no level of another axis is on both sides of a change."""
    sides: dict[str, set[Any]] = {}
    for cell in cells:
        sides.setdefault(cell[axis], set()).add(cell[other])
    one, two = sides.values()
    return not one & two
