"""Quality against cost: what each cell reaches, and what it takes in time and memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.records.figures import Scale, title
from harness.records.results import Answer, CellSummary, Spread
from harness.report.emphasis import Emphasis
from harness.report.format import column_scale
from harness.report.labels import Label, place
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
        labels = [_panel(at, cells, emphasis, cost, (quality, how)) for at, cost in zip(axes, costs, strict=True)]
        for at in axes:
            _floors(at, answer, quality, how)
        for at, wanted in zip(axes, labels, strict=True):
            place(made, at, wanted)
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
) -> list[Label]:
    quality, up = wanted
    able = [cell for cell in cells if _finite(cell, cost)]
    across = column_scale(cost, able)
    labels = []
    for cell in able:
        colour = INK if cell.kind == "stage" else emphasis.colours.get(cell.name)
        x, y = _point(at, (cell.metrics[cost], across), (cell.metrics[quality], up), colour, cell.kind == "stage")
        if colour is not None:
            name = f"stage {cell.name}" if cell.kind == "stage" else cell.name
            labels.append(Label(text=name, x=x, y=y, colour=colour))
    at.set_xlabel(f"{title(cost)}{', ' if across.unit else ''}{across.unit}")
    at.margins(0.14)
    return labels


def _point(
    at: Axes, x: tuple[Spread, Scale], y: tuple[Spread, Scale], colour: str | None, hollow: bool
) -> tuple[float, float]:
    (across, wide), (up, high) = x, y
    centre = (across.mean / wide.divisor, up.mean / high.divisor)
    at.errorbar(
        *centre,
        xerr=[[(across.mean - across.low) / wide.divisor], [(across.high - across.mean) / wide.divisor]],
        yerr=[[(up.mean - up.low) / high.divisor], [(up.high - up.mean) / high.divisor]],
        fmt="o",
        markersize=6 if colour else 3.5,
        color=colour or FAINT,
        markerfacecolor="white" if hollow else colour or FAINT,
        elinewidth=1,
        zorder=3 if colour else 2,
    )
    return centre


def _floors(at: Axes, answer: Answer, quality: str, how: Scale) -> None:
    for cell in answer.cells:
        if cell.kind == "floor" and _finite(cell, quality):
            height = cell.metrics[quality].mean / how.divisor
            at.axhline(height, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            at.annotate(
                cell.name,
                (1, height),
                xycoords=("axes fraction", "data"),
                xytext=(-2, 3),
                textcoords="offset points",
                ha="right",
                color=GREY,
                fontsize=8,
            )
