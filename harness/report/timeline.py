"""Memory over time: one line per cell."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from harness.records.figures import scale
from harness.records.results import Answer, Timeline, TrialResult
from harness.report.emphasis import Emphasis
from harness.report.style import FAINT, INK, figure, heighten, legend_below, styled, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_METRICS = {"device_allocated_peak": "allocated on the device", "host_uss_peak": "unique to the worker, on the host"}
_Style = str | tuple[int, tuple[float, ...]]
_FEWEST = 3
"""Samples of a line; fewer say nothing of time."""
_BESIDE = 30
"""Characters of a name up to which the legend lies beside the lines."""
_DASHED = (0, (3, 2))
_OF_STAGES = ((0, (1, 1)), (0, (7, 1.5, 1, 1.5)), (0, (1, 3)), (0, (12, 2)))
"""Line styles of stages, which share one colour."""


def draw(answer: Answer, emphasis: Emphasis) -> str | None:
    """The device's memory where it was sampled, else the host's, as SVG; None where no trial has samples enough."""
    for metric, label in _METRICS.items():
        shown = _of_cells(answer, metric)
        if shown:
            return _drawn(shown, emphasis, label)
    return None


def _of_cells(answer: Answer, metric: str) -> list[tuple[TrialResult, Timeline]]:
    """The first seed of each cell that has samples: one that ended well, if there is any."""
    lines = {line.trial_id: line for line in answer.timelines if line.metric == metric and len(line.times) >= _FEWEST}
    found: dict[tuple[str, str], tuple[TrialResult, Timeline]] = {}
    for trial in sorted(answer.trials, key=lambda trial: trial.outcome != "ok"):
        line = lines.get(trial.trial_id)
        if line is not None and trial.kind != "floor":
            found.setdefault((trial.kind, trial.cell_id), (trial, line))
    order: dict[tuple[str, str], int] = {(cell.kind, cell.cell_id): place for place, cell in enumerate(answer.cells)}
    return [found[key] for key in sorted(found, key=lambda key: order.get(key, len(order)))]


def _drawn(shown: list[tuple[TrialResult, Timeline]], emphasis: Emphasis, label: str) -> str:
    how = scale("peak_allocated", max(max(line.values) for _, line in shown))
    with styled():
        made, axes = figure(1, 1, width=7.5, height=3.0, share_y=False)
        at = axes[0]
        others = [entry for entry in shown if _colour(entry[0], emphasis) is None]
        for number, (trial, line) in enumerate(others):
            label_of = f"{len(others)} other cell{'' if len(others) == 1 else 's'}" if number == 0 else None
            _line(at, trial, line, how.divisor, FAINT, label_of)
        stages = itertools.cycle(_OF_STAGES)
        for trial, line in shown:
            colour = _colour(trial, emphasis)
            if colour is not None:
                style = next(stages) if trial.kind == "stage" else "-"
                _line(at, trial, line, how.divisor, colour, emphasis.label(trial.kind, trial.cell_name), style)
        at.set_xlabel("seconds after the start")
        at.set_ylabel(f"{label}, {how.unit}")
        at.set_ylim(bottom=0)
        at.margins(x=0.02)
        if max(map(len, at.get_legend_handles_labels()[1])) > _BESIDE:
            heighten(made, 1, legend_below(at))
        else:
            at.legend(loc="center left", bbox_to_anchor=(1, 0.5), handlelength=1.4)
        return svg(made)


def _colour(trial: TrialResult, emphasis: Emphasis) -> str | None:
    return INK if trial.kind == "stage" else emphasis.colours.get(trial.cell_name)


def _line(
    at: Axes, trial: TrialResult, line: Timeline, divisor: float, colour: str, label: str | None, style: _Style = "-"
) -> None:
    fine = trial.outcome == "ok"
    at.plot(
        line.times,
        [value / divisor for value in line.values],
        drawstyle="steps-pre",  # a value is the most since the sample before: a slope to it would look like a leak
        color=colour,
        linewidth=1.4 if colour != FAINT else 0.9,
        linestyle=style if fine else _DASHED,
        label=label if fine or label is None else f"{label} ({trial.outcome})",
        zorder=2 if colour != FAINT else 1,
    )
