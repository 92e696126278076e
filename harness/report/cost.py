"""The goal against cost: what each cell reaches, and what it takes in time and memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.records.figures import Scale, number, title
from harness.records.results import Answer, CellSummary, Spread
from harness.report.emphasis import Emphasis
from harness.report.format import column_scale
from harness.report.labels import Point, Span, place
from harness.report.style import FAINT, GREY, INK, figure, styled, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COSTS = ("train_seconds", "peak_device_memory", "peak_host_memory", "tokens_per_second")
_PANELS = 2


def draw(answer: Answer, emphasis: Emphasis, quality: str, label: str) -> str | None:
    """The metric `quality` against the costs that were measured, as SVG; None below two cells with both."""
    cells = [cell for cell in answer.cells if cell.kind != "floor" and _finite(cell, quality)]
    costs = _costs(cells, quality)
    if not costs:
        return None
    with styled():
        made, axes = figure(len(costs), 1, width=4.6 if len(costs) > 1 else 6.5, height=3.8, share_y=True)
        how = column_scale(quality, answer.cells)
        axes[0].set_ylabel(f"{label}{', ' if how.unit else ''}{how.unit}")
        panels = [_panel(at, cells, emphasis, cost, (quality, how)) for at, cost in zip(axes, costs, strict=True)]
        for at in axes:
            _floors(at, answer, quality, how)
        for at, points in zip(axes, panels, strict=True):
            place(made, at, points)
        return svg(made)


def _finite(cell: CellSummary, name: str) -> bool:
    return name in cell.metrics and math.isfinite(cell.metrics[name].mean)


def _costs(cells: Sequence[CellSummary], quality: str) -> list[str]:
    matrix = [cell for cell in cells if cell.kind == "cell"]
    known = [name for name in _COSTS if name != quality and sum(_finite(cell, name) for cell in matrix) > 1]
    if "peak_device_memory" in known:
        known = [name for name in known if name != "peak_host_memory"]
    return known[:_PANELS]


def _panel(
    at: Axes, cells: Sequence[CellSummary], emphasis: Emphasis, cost: str, wanted: tuple[str, Scale]
) -> list[Point]:
    quality, up = wanted
    able = [cell for cell in cells if _finite(cell, cost)]
    across = column_scale(cost, able)
    points = []
    for cell in able:
        colour = INK if cell.kind == "stage" else emphasis.colours.get(cell.name)
        x, y = _scaled(cell.metrics[cost], across), _scaled(cell.metrics[quality], up)
        if colour is None:
            at.plot(x[1], y[1], "o", markersize=3.5, color=FAINT, zorder=2)
            continue
        _draw(at, x, y, colour, hollow=cell.kind == "stage")
        points.append(Point(text=emphasis.label(cell.kind, cell.name), x=x, y=y, colour=colour))
    at.set_xlabel(f"{title(cost)}{', ' if across.unit else ''}{across.unit}")
    at.margins(0.14)
    return points


def _scaled(spread: Spread, how: Scale) -> Span:
    return spread.low / how.divisor, spread.mean / how.divisor, spread.high / how.divisor


def _draw(at: Axes, x: Span, y: Span, colour: str, *, hollow: bool) -> None:
    at.errorbar(
        x[1],
        y[1],
        xerr=[[x[1] - x[0]], [x[2] - x[1]]],
        yerr=[[y[1] - y[0]], [y[2] - y[1]]],
        fmt="o",
        markersize=6,
        color=colour,
        markerfacecolor="white" if hollow else colour,
        elinewidth=1,
        zorder=3,
    )


def _floors(at: Axes, answer: Answer, quality: str, how: Scale) -> None:
    """A line for each floor; where it lies far off, a line of text, so that the cells keep the height of the chart."""
    low, high = at.get_ylim()
    reach = (high - low) / 2
    far = []
    for cell in answer.cells:
        if cell.kind != "floor" or not _finite(cell, quality):
            continue
        height = cell.metrics[quality].mean / how.divisor
        if low - reach <= height <= high + reach:
            at.axhline(height, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            _note(at, cell.name, height)
        else:
            far.append(f"{cell.name}: {number(cell.metrics[quality].mean, how)}")
    if far:
        _note(at, ", ".join(far), None)


def _note(at: Axes, text: str, height: float | None) -> None:
    """Small text at the right edge: on a line of the given height, or in the lower corner."""
    at.annotate(
        text,
        (1, 0 if height is None else height),
        xycoords=("axes fraction", "axes fraction" if height is None else "data"),
        xytext=(-2, 3),
        textcoords="offset points",
        ha="right",
        color=GREY,
        fontsize=8,
    )
