"""Labels beside points, where they cover neither each other nor a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.report.style import settle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = 8.0
_MARK, _BAR = 5.0, 1.0  # half the width that a mark and a bar keep free, in points
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
_DISTANCES = (7, 14, 24, 36, 50, 66)
_LEADER_FROM = 20  # points; a label further off gets a line to its point

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in points of the figure."""


Span = tuple[float, float, float]
"""Low, middle and high, in data units."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A point with its bars, and the text that belongs to it."""

    text: str
    x: Span
    y: Span
    colour: str


def place(made: Figure, at: Axes, points: Sequence[Point]) -> None:
    """Writes every label at the nearest free place around its point; where none is free, at the least covered one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    settle(made)
    renderer: Any = FigureCanvasAgg(made).get_renderer()
    inside = _box(at.get_window_extent(renderer))
    taken = [box for point in points for box in _boxes(at, point)]
    taken += [_box(text.get_window_extent(renderer)) for text in at.texts]
    for point in points:
        middle = (point.x[1], point.y[1])
        text = at.annotate(
            point.text, middle, xytext=(0, 0), textcoords="offset points", fontsize=_SIZE, color=point.colour
        )
        text.set_in_layout(False)
        extent = _box(text.get_window_extent(renderer))
        size = (extent[2] - extent[0], extent[3] - extent[1])
        x, y = at.transData.transform(middle)
        best, distance = min(
            _places((x, y), size),
            key=lambda found: (_outside(found[0], inside) + sum(_overlap(found[0], box) for box in taken), found[1]),
        )
        text.set_position((best[0] - extent[0], best[1] - extent[1]))
        taken.append(best)
        if distance >= _LEADER_FROM:
            _leader(at, point, best, (x, y))


def _boxes(at: Axes, point: Point) -> list[Box]:
    """What a point covers: its mark, and its two bars."""
    (left, low), (x, y), (right, high) = (at.transData.transform((point.x[i], point.y[i])) for i in range(3))
    return [
        (x - _MARK, y - _MARK, x + _MARK, y + _MARK),
        (left, y - _BAR, right, y + _BAR),
        (x - _BAR, low, x + _BAR, high),
    ]


def _box(extent: Any) -> Box:
    return (extent.x0, extent.y0, extent.x1, extent.y1)


def _places(centre: tuple[float, float], size: tuple[float, float]) -> Iterator[tuple[Box, float]]:
    """Boxes around the centre, the nearest first, with their distance."""
    (x, y), (width, height) = centre, size
    for distance in _DISTANCES:
        for right, up in _DIRECTIONS:
            left = x + right * distance - (width if right < 0 else 0 if right > 0 else width / 2)
            low = y + up * distance - (height if up < 0 else 0 if up > 0 else height / 2)
            yield (left, low, left + width, low + height), distance


def _overlap(one: Box, other: Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return across * up if across > 0 and up > 0 else 0.0


def _outside(box: Box, inside: Box) -> float:
    area = (box[2] - box[0]) * (box[3] - box[1])
    return max(0.0, area - _overlap(box, inside))


def _leader(at: Axes, point: Point, box: Box, centre: tuple[float, float]) -> None:
    """A thin line from the label's nearest edge to its point."""
    x, y = centre
    near = (min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3]))
    at.annotate(
        "",
        (point.x[1], point.y[1]),
        xytext=(near[0] - x, near[1] - y),
        textcoords="offset points",
        arrowprops={"arrowstyle": "-", "color": point.colour, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 3},
    )
