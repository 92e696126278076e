"""Scores over the steps of trainings: a table and a chart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.records.figures import Scale, alike, called, number, title
from harness.records.results import Answer, QualityRow, Spread
from harness.report.curves import Drawn, panel, thinned
from harness.report.emphasis import Emphasis
from harness.report.format import NONE, column_scale, text
from harness.report.style import GREY, heighten, styled, svg
from harness.report.style import figure as canvas
from harness.report.tables import Column, tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_STEPS = 8  # columns of steps
_MOST_PANELS = 6
_PANELS_PER_ROW = 3


def quality(answer: Answer) -> str:
    """The tables, one per score, without a heading; empty where no weights on the way were scored."""
    parts = [_table(answer, name, rows, several=len(answer.quality) > 1) for name, rows in answer.quality.items()]
    if not parts:
        return ""
    said = "Means over seeds, after so many optimizer steps and at the end of training, which the other tables show.\n"
    said += "**Bold** is the best of a row."
    return "\n\n".join([*parts, said, *(f"**{text(sentence)}**" for sentence in answer.quality_unlike)])


def _table(answer: Answer, name: str, rows: Sequence[QualityRow], *, several: bool) -> str:
    how = column_scale(name, answer.cells)
    every = sorted({step for row in rows for step in row.steps})
    steps = _thinned(every)
    best = [_best(row, steps, name, answer.directions.get(name, "none")) for row in rows]
    first = Column(heading="cell", cells=[_name(row) for row in rows], align="left")
    columns = [
        Column(heading=f"{step:,}", cells=_cells([row.steps.get(step) for row in rows], how, best)) for step in steps
    ]
    end = Column(heading="end", cells=_cells([row.end for row in rows], how, best))
    made = tables(first, [*columns, end])
    left = len(every) - len(steps)
    more = f"\n\n{left} more steps were scored; the store's view quality\\_curves has them." if left else ""
    return f"### {text(title(name))}\n\n{made}{more}" if several else f"{made}{more}"


def _name(row: QualityRow) -> str:
    return text(called(row.kind, row.cell)) + (" (untrained)" if row.kind == "floor" else "")


def _thinned(steps: Sequence[int]) -> list[int]:
    """At most so many, evenly, the last among them."""
    if len(steps) <= _MOST_STEPS:
        return list(steps)
    return [steps[round((place + 1) * len(steps) / _MOST_STEPS) - 1] for place in range(_MOST_STEPS)]


def _best(row: QualityRow, steps: Sequence[int], name: str, better: str) -> list[Spread]:
    """The best of a row by their means, all that read the same; none where all do, or no way is better."""
    found = [*(row.steps[step] for step in steps if step in row.steps), *([row.end] if row.end else [])]
    if better == "none" or not found:
        return []
    top = (max if better == "higher" else min)(one.mean for one in found)
    best = [one for one in found if alike(name, one.mean, top)]
    return best if len(best) < len(found) else []


def _cells(column: Sequence[Spread | None], how: Scale, best: Sequence[Sequence[Spread]]) -> list[str]:
    said = [NONE if spread is None else number(spread.mean, how) for spread in column]
    pairs = zip(said, column, best, strict=True)
    return [f"**{text}**" if any(spread is one for one in top) else text for text, spread, top in pairs]


def draw(answer: Answer, emphasis: Emphasis) -> str | None:
    """A panel per score as SVG; None where none has more than a point."""
    panels = {name: _drawn(answer, name) for name in list(answer.quality)[:_MOST_PANELS]}
    panels = {
        name: found for name, found in panels.items() if any(len(line[0]) > 1 for one in found for line in one.fine)
    }
    if not panels:
        return None
    columns = 2 if len(panels) == 4 else min(_PANELS_PER_ROW, len(panels))
    rows = -(-len(panels) // columns)
    with styled():
        made, axes = canvas(columns, rows, width=3.9 if columns > 1 else 6.5, height=3.2, share_y=False)
        below = 0
        for at, (name, found) in zip(axes, panels.items(), strict=False):
            _floors(at, answer, name)
            below = max(below, panel(at, found, emphasis))
            at.set_xlabel("optimizer step")
            at.set_ylabel(title(name))
        heighten(made, rows, below)
        for at in axes[len(panels) :]:
            at.set_visible(False)
        return svg(made)


def _drawn(answer: Answer, name: str) -> list[Drawn]:
    found = {(cell.kind, cell.cell_id): Drawn(cell=cell) for cell in answer.cells}
    fine = {trial.trial_id: trial for trial in answer.trials if trial.outcome == "ok"}
    for curve in answer.curves:
        if curve.metric == name and curve.trial_id in fine:
            trial = fine[curve.trial_id]
            found[trial.kind, trial.cell_id].fine.append(thinned(curve))
    return [one for one in found.values() if one.fine]


def _floors(at: Axes, answer: Answer, name: str) -> None:
    for cell in answer.cells:
        if cell.kind == "floor" and name in cell.metrics:
            height = cell.metrics[name].mean
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
