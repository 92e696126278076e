"""What memory is held for: one bar per cell, divided into its parts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.records.figures import Scale, number, said
from harness.records.results import Answer, CellSummary, OutOfMemory
from harness.report.emphasis import Emphasis
from harness.report.format import short_title
from harness.report.memory import PARTS, memory_scale
from harness.report.style import COLOURS, FAINT, GREY, INK, figure, styled, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BARS = 24
_PEAK = "peak_allocated"
_REST_FROM = 0.01  # share of the peak; less than this is not worth a part of its own
_COLOURS = dict(zip(PARTS, (COLOURS[0], COLOURS[3], COLOURS[5], COLOURS[2], COLOURS[4]), strict=True))


def draw(answer: Answer, emphasis: Emphasis) -> str | None:
    """Bars of the cells and stages whose parts were measured, and of those that ran out of memory; None without parts.

    Of more than `MOST_BARS` cells one of each that hold the same, the baseline first; of more than that many such bars
    those that hold the least and the most.
    """
    ooms: dict[tuple[str, str], OutOfMemory] = {(oom.kind, oom.cell): oom for oom in answer.out_of_memory}
    rows = [cell for cell in answer.cells if _parts(cell) or (cell.kind, cell.name) in ooms]
    distinct = _distinct(rows, answer.baseline, ooms)
    shown = _extremes(distinct, answer.baseline)
    if not any(_parts(cell) for cell in shown):
        return None
    how = memory_scale(shown)
    with styled():
        made, axes = figure(1, 1, width=7.5, height=1.1 + 0.28 * len(shown), share_y=False)
        at = axes[0]
        _bars(at, shown, how)
        _said(at, shown, how, ooms)
        names = [emphasis.label(cell.kind, cell.name) for cell in shown]
        at.set_yticks(range(len(shown)), names)
        at.set_ylim(len(shown) - 0.4, -0.6)
        at.set_xlabel("\n".join([how.unit, *_left_out(len(rows), len(distinct), len(shown))]))
        at.grid(axis="y", visible=False)
        at.margins(x=0.16)
        at.set_xlim(left=0)
        at.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=6, handlelength=1, borderaxespad=0.2)
        return svg(made)


def _distinct(
    rows: Sequence[CellSummary], baseline: Sequence[str], ooms: Mapping[tuple[str, str], OutOfMemory]
) -> list[CellSummary]:
    """All rows, or of too many the first of each that look the same as bars, in their order; the baseline is the first
    of its own. One that ran out of memory is like no other."""
    if len(rows) <= MOST_BARS:
        return list(rows)
    first: dict[object, int] = {}
    for place in sorted(range(len(rows)), key=lambda place: (not _is_baseline(rows[place], baseline), place)):
        cell = rows[place]
        apart = (cell.kind, cell.name)
        bar = (*((name, f"{value:.2e}") for name, value in _parts(cell).items()), f"{_rest(cell):.2e}")
        first.setdefault(apart if apart in ooms else bar, place)
    return [rows[place] for place in sorted(first.values())]


def _extremes(rows: Sequence[CellSummary], baseline: Sequence[str]) -> list[CellSummary]:
    """All rows, or of too many the baseline and as many of those that hold the least as of the most, in their order."""
    if len(rows) <= MOST_BARS:
        return list(rows)
    kept = [place for place, cell in enumerate(rows) if _is_baseline(cell, baseline)][:MOST_BARS]
    ranked = sorted(set(range(len(rows))) - set(kept), key=lambda place: _held(rows[place]))
    half, rest = divmod(MOST_BARS - len(kept), 2)
    kept += [*ranked[:half], *ranked[len(ranked) - half - rest :]]
    return [rows[place] for place in sorted(kept)]


def _is_baseline(cell: CellSummary, baseline: Sequence[str]) -> bool:
    return cell.kind == "cell" and cell.name in baseline


def _held(cell: CellSummary) -> float:
    """The length of its bar; without end where it ran out of memory before anything was measured."""
    return sum(_parts(cell).values()) + _rest(cell) or math.inf


def _left_out(cells: int, distinct: int, shown: int) -> list[str]:
    """What of the cells is not shown; a line each, since the picture is narrow."""
    said = []
    if distinct < cells:
        said.append(f"{cells} cells: {cells - distinct} hold the same as another and are left out")
    if shown < distinct:
        said.append(f"of {distinct} those that hold least and most are shown, not the {distinct - shown} between")
    return said


def _parts(cell: CellSummary) -> dict[str, float]:
    """Bytes by metric, those that are finite."""
    found = {name: cell.metrics[name].mean for name in PARTS if name in cell.metrics}
    return {name: value for name, value in found.items() if math.isfinite(value) and value >= 0}


def _rest(cell: CellSummary) -> float:
    """What the peak holds beside the parts, where the others are known (not every training has a reference)."""
    parts, peak = _parts(cell), cell.metrics.get(_PEAK)
    if peak is None or not set(PARTS) - {"reference_memory"} <= set(parts):
        return 0.0
    rest = peak.mean - sum(parts.values())
    return rest if rest > _REST_FROM * peak.mean else 0.0


def _bars(at: Axes, cells: Sequence[CellSummary], how: Scale) -> None:
    left = [0.0] * len(cells)
    named = {name: [_parts(cell).get(name, 0.0) / how.divisor for cell in cells] for name in PARTS}
    rest = [_rest(cell) / how.divisor for cell in cells]
    for name, widths in named.items():
        if any(widths):
            at.barh(range(len(cells)), widths, left=left, height=0.62, color=_COLOURS[name], label=short_title(name))
            left = [start + wide for start, wide in zip(left, widths, strict=True)]
    if any(rest):
        at.barh(range(len(cells)), rest, left=left, height=0.62, color=FAINT, label="rest of the peak")


def _said(at: Axes, cells: Sequence[CellSummary], how: Scale, ooms: Mapping[tuple[str, str], OutOfMemory]) -> None:
    """The sum at each bar's end; that it ran out of memory where there is no bar."""
    for place, cell in enumerate(cells):
        total = sum(_parts(cell).values()) + _rest(cell)
        oom = ooms.get((cell.kind, cell.name))
        words = [number(total / how.divisor, Scale(unit=""))] if total else []
        if oom is not None:
            asked = f", {said('peak_host_memory', oom.requested)} more asked for" if oom.requested else ""
            some = f"{len(oom.seeds)} of {len(cell.seeds)} " if total else ""
            words.append(f"{some}out of memory{f' in {oom.phase}' if oom.phase else ''}{asked}")
        at.annotate(
            "; ".join(words),
            (total / how.divisor, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK if total else GREY,
        )
