"""Curves over steps: one panel per stage and per method, one colour per cell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.records.figures import called
from harness.records.results import Answer, CellSummary, Curve
from harness.report.emphasis import Emphasis
from harness.report.style import FAINT, GREY, INK, figure, heighten, legend_below, styled, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 200
"""Points of a drawn curve: more cannot be told apart at this size, and make files of megabytes."""
_FEW_POINTS = 25
_MOST_SEEDS = 12
_PANELS_PER_ROW = 3
_INSIDE = 4
"""Names in a legend that lies inside its panel."""

Line = tuple[Sequence[float], Sequence[float]]
"""Steps and values, equally long."""


@dataclass(kw_only=True, slots=True)
class Drawn:
    """The curves of one cell: those of its finished trials, and those of trials that failed."""

    cell: CellSummary
    fine: list[Line] = field(default_factory=list)
    failed: list[Line] = field(default_factory=list)


def draw(answer: Answer, emphasis: Emphasis, metric: str, label: str) -> str | None:
    """The metric's curves as SVG; None where no trial has more than a single point, which the table says already."""
    panels = _panels(answer, metric)
    if not any(len(line[0]) > 1 for cells in panels.values() for cell in cells for line in (*cell.fine, *cell.failed)):
        return None
    columns = 2 if len(panels) == 4 else min(_PANELS_PER_ROW, len(panels))
    rows = math.ceil(len(panels) / columns)
    with styled():
        made, axes = figure(columns, rows, width=3.9 if columns > 1 else 6.5, height=3.2, share_y=False)
        below = 0
        for at, (title, cells) in zip(axes, panels.items(), strict=False):
            below = max(below, panel(at, cells, emphasis))
            at.set_title(title)
            at.set_xlabel("optimizer step")
        heighten(made, rows, below)
        for row in range(rows):
            axes[row * columns].set_ylabel(label)
        for at in axes[len(panels) :]:
            at.set_visible(False)
        return svg(made)


def _coloured(cells: Sequence[Drawn], emphasis: Emphasis) -> list[Drawn]:
    return [entry for entry in cells if entry.cell.kind == "stage" or entry.cell.name in emphasis.colours]


def _panels(answer: Answer, metric: str) -> dict[str, list[Drawn]]:
    """Curves by panel: each stage its own, the matrix by method."""
    outcomes = {(trial.trial_id, trial.kind): trial for trial in answer.trials}
    by_trial = {curve.trial_id: curve for curve in answer.curves if curve.metric == metric and curve.steps}
    drawn = {(cell.kind, cell.cell_id): Drawn(cell=cell) for cell in answer.cells}
    for trial in outcomes.values():
        curve = by_trial.get(trial.trial_id)
        entry = drawn.get((trial.kind, trial.cell_id))
        if curve is not None and entry is not None:
            (entry.fine if trial.outcome == "ok" else entry.failed).append(thinned(curve))
    panels: dict[str, list[Drawn]] = {}
    for entry in drawn.values():
        if entry.fine or entry.failed:
            panels.setdefault(_title(entry.cell), []).append(entry)
    return panels


def _title(cell: CellSummary) -> str:
    return called(cell.kind, cell.name) if cell.kind == "stage" else str(cell.config.get("method") or "untrained")


def thinned(curve: Curve, most: int = POINTS) -> Line:
    """At most `most` points, each the mean of as many neighbours; steps are those neighbours' means too."""
    size = math.ceil(len(curve.steps) / most)
    if size <= 1:
        return list(curve.steps), list(curve.values)
    starts = range(0, len(curve.steps), size)
    steps = [_mean(curve.steps[start : start + size]) for start in starts]
    return steps, [_mean(curve.values[start : start + size]) for start in starts]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def mean_line(lines: Sequence[Line]) -> Line:
    """The mean over several lines, at the steps that all of them have; a mean over changing seeds would jump."""
    by_step = [dict(zip(*line, strict=True)) for line in lines]
    steps = sorted(set(by_step[0]).intersection(*by_step[1:]))
    return steps, [_mean([values[step] for values in by_step]) for step in steps]


def panel(at: Axes, cells: Sequence[Drawn], emphasis: Emphasis) -> int:
    """The curves of cells, in their colours; stages in ink, cells without a colour in grey.

    How many lines of a legend lie below the panel.
    """
    alone = all(entry.cell.kind == "stage" for entry in cells)
    coloured = _coloured(cells, emphasis)
    others = [entry for entry in cells if entry not in coloured]
    for number, entry in enumerate(_with_curves(others)):
        label = f"{len(others)} other cell{'' if len(others) == 1 else 's'}" if number == 0 else None
        at.plot(*mean_line(entry.fine), color=FAINT, linewidth=0.9, label=label, zorder=1)
    for entry in coloured:
        colour = INK if entry.cell.kind == "stage" else emphasis.colours[entry.cell.name]
        _cell(at, entry, emphasis.label(entry.cell.kind, entry.cell.name), colour)
    at.margins(x=0.02)
    return 0 if alone or not at.get_legend_handles_labels()[0] else _legend(at)


def _legend(at: Axes) -> int:
    """Of a few cells inside the panel, where it covers least; of many it would cover lines wherever it lay."""
    if len(at.get_legend_handles_labels()[1]) > _INSIDE:
        return legend_below(at)
    at.legend(loc="best", handlelength=1.4, frameon=True, framealpha=0.8, edgecolor="none")  # it may lie on lines
    return 0


def _with_curves(entries: Iterable[Drawn]) -> list[Drawn]:
    return [entry for entry in entries if entry.fine]


def _cell(at: Axes, entry: Drawn, name: str, colour: str) -> None:
    for line in entry.failed[:_MOST_SEEDS]:
        at.plot(*line, color=colour, linewidth=0.9, linestyle=(0, (3, 2)), alpha=0.7)
    if not entry.fine:
        at.plot([], [], color=GREY, linestyle=(0, (3, 2)), linewidth=0.9, label=f"{name} (failed)")
        return
    if len(entry.fine) > 1:
        for line in entry.fine[:_MOST_SEEDS]:
            at.plot(*line, color=colour, linewidth=0.7, alpha=0.35)
    steps, values = mean_line(entry.fine)
    marker = "o" if len(steps) <= _FEW_POINTS else None
    at.plot(
        steps,
        values,
        color=colour,
        linewidth=1.8,
        marker=marker,
        markersize=3,
        label=name,
        zorder=3,
    )
