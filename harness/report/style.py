"""How charts look: one palette, white ground, text as text, and the same bytes for the same figure."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#333333")
"""Okabe and Ito's colours, told apart with every kind of colour vision, without their yellow (unreadable on white) and
with Tol's wine."""
GREY, FAINT, INK = "#999999", "#C8C8C8", "#333333"

_LEGEND_LINE, _LEGEND_COLUMNS = 0.19, 3
_LETTER, _HANDLE = 0.075, 0.45  # inches that a letter takes in a legend, and what stands before the name
_BELOW = 0.5  # inches from a panel to its legend: ticks and the axis' label lie between
_GAP = 0.2
_DPI = 72  # the SVG writer's own: what is laid out is what is written
_SETTINGS: dict[str, Any] = {
    "svg.hashsalt": "harness",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextmanager
def styled() -> Iterator[None]:
    """matplotlib's settings for the body; nobody else's are touched, and no display is needed."""
    import matplotlib as mpl

    with mpl.rc_context(_SETTINGS):
        yield


def figure(columns: int, rows: int, *, width: float, height: float, share_y: bool) -> tuple[Figure, list[Axes]]:
    """A figure of `columns` × `rows` panels, each `width` × `height` inches, and its axes row by row."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(width * columns, height * rows), dpi=_DPI, layout="constrained")
    axes = made.subplots(rows, columns, squeeze=False, sharey=share_y)
    return made, list(axes.flat)


def legend_below(at: Axes) -> int:
    """A legend below a panel, in as many columns as it has room for; how many lines it has."""
    from matplotlib.transforms import ScaledTranslation

    made, place = at.get_figure(root=True), at.get_subplotspec()
    assert made is not None
    assert place is not None
    names = at.get_legend_handles_labels()[1]
    width = made.get_size_inches()[0] / place.get_gridspec().ncols
    columns = max(1, min(_LEGEND_COLUMNS, int(width / (_LETTER * max(map(len, names)) + _HANDLE))))
    at.legend(
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=at.transAxes + ScaledTranslation(0, -_BELOW, made.dpi_scale_trans),
        ncols=columns,
        handlelength=1.4,
        borderaxespad=0,
    )
    return math.ceil(len(names) / columns)


def heighten(made: Figure, rows: int, lines: int) -> None:
    """Gives each row of panels room for so many lines of a legend below."""
    width, height = made.get_size_inches()
    if lines:
        made.set_size_inches(width, height + rows * (_GAP + lines * _LEGEND_LINE))


def settle(made: Figure) -> None:
    """Lays the figure out, once and for all: from now on places are final, whatever is written into it."""
    engine = made.get_layout_engine()
    if engine is not None:
        engine.execute(made)
        made.set_layout_engine("none")


def svg(made: Figure) -> str:
    """The figure as SVG text, without date or program, so that it is the same tomorrow."""
    buffer = io.StringIO()
    made.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
