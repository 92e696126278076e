"""A history as one SVG: a panel for each series, its nights over time, its levels and where they change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.errors import InputError
from harness.records.figures import called, scale, title
from harness.records.history import History, Night, Series
from harness.report.history import amount
from harness.report.style import COLOURS, FAINT, GREY, INK, figure, styled, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 24
"""Panels of one picture."""
_LETTERS = 100  # of a panel's title


def draw(history: History) -> str:
    """The SVG text; the same history gives the same bytes.

    Raises:
        InputError: there are more series than one picture can show.
    """
    if len(history.series) > MOST:
        raise InputError.of(
            f"{len(history.series)} series are too many for one picture",
            why=f"it has room for {MOST}",
            hint="choose some with --only, or name a suite",
        )
    with styled():
        made, axes = figure(1, len(history.series), width=7.5, height=2.1, share_y=False)
        for at, series in zip(axes, history.series, strict=True):
            _panel(at, history.metric, series)
        return svg(made)


def _panel(at: Axes, metric: str, series: Series) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    largest = max((abs(night.value) for night in series.nights if night.value is not None), default=0.0)
    how = scale(metric, largest)
    name = f"{series.suite} · {called(series.kind, series.cell)} · {series.device}"
    at.set_title(name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…")
    at.set_ylabel(title(metric) + (f" ({how.unit})" if how.unit else ""))
    counted = [night for night in series.nights if night.state == "counted"]
    _points(at, counted, how.divisor, COLOURS[0])
    _points(at, [night for night in series.nights if night.state == "disturbed"], how.divisor, FAINT)
    for night in series.nights:
        if night.state == "gap":
            at.axvline(_date(night), color=FAINT, linewidth=3, alpha=0.5)
    _levels(at, series, how.divisor)
    at.xaxis_date()
    locator = AutoDateLocator(minticks=3, maxticks=8)
    at.xaxis.set_major_locator(locator)
    at.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    for number, change in enumerate(series.changes, start=1):
        at.axvline(_date(series.nights[change.night]), color=COLOURS[1], linewidth=1, linestyle="--")
        place = (_date(series.nights[change.night]), 0.02)
        at.annotate(
            f" {number}: {amount(metric, change)}",
            place,
            xycoords=at.get_xaxis_transform(),
            color=INK,
            fontsize=7.5,
        )


def _points(at: Axes, nights: Sequence[Night], divisor: float, colour: str) -> None:
    for night in nights:
        assert night.low is not None
        assert night.high is not None
        at.vlines(_date(night), night.low / divisor, night.high / divisor, color=GREY, linewidth=0.8)
    values = [night.value / divisor for night in nights if night.value is not None]
    at.plot([_date(night) for night in nights], values, "o", markersize=3, color=colour)


def _levels(at: Axes, series: Series, divisor: float) -> None:
    """The mean of each level as a line from its first night to its last."""
    bounds = [0, *(change.night for change in series.changes), len(series.nights)]
    for start, end in pairwise(bounds):
        nights = [night for night in series.nights[start:end] if night.state == "counted"]
        values = [night.value for night in nights if night.value is not None]
        if values:
            at.hlines(sum(values) / len(values) / divisor, _date(nights[0]), _date(nights[-1]), color=INK, linewidth=1)


def _date(night: Night) -> float:
    """matplotlib's number of a moment: days since 1970."""
    return (night.at - datetime.fromisoformat("1970-01-01T00:00:00+00:00")).total_seconds() / 86400
