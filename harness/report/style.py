"""How charts look: one palette, white ground, text as text, and the same bytes for the same figure."""

from __future__ import annotations

import io
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
