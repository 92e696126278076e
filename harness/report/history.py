"""A history as text for a terminal: a line of blocks for each series, and the nights from which on it changed."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from harness.records.figures import called, said, title
from harness.records.history import ChangePoint, History, Night, Series
from harness.records.metrics import metric as known
from harness.records.verdict import Effect

_BLOCKS = "▁▂▃▄▅▆▇█"
_DISTURBED, _GAP = "×", "·"
_MOST_DIFFERENCES = 6
_INDENT = "  "


def text(history: History, *, width: int = 80) -> str:
    """Every series in at most `width` columns, those with changes first; findings last."""
    ranked = sorted(history.series, key=lambda one: not one.changes)
    blocks = [series_lines(history.metric, one, width) for one in ranked]
    changes = sum(len(one.changes) for one in history.series)
    counts = f"{len(history.series)} series, {changes} change{'' if changes == 1 else 's'}"
    lines = [f"{title(history.metric)} over the nights: {counts}"]
    for block in blocks:
        lines += ["", *block]
    if history.findings:
        lines.append("")
        for finding in history.findings:
            lines += _wrapped(f"note: {finding}", width, indent="")
    return "\n".join(lines)


def series_lines(metric: str, series: Series, width: int) -> list[str]:
    """One series: its name, its nights, what they come to, and its changes."""
    name = f"{series.suite} · {called(series.kind, series.cell)} · {series.device}"
    shown, marks, hidden = _spark(series, width - len(_INDENT))
    lines = [*_wrapped(name, width, indent=""), _INDENT + shown]
    if marks.strip():
        lines.append(_INDENT + marks)
    return lines + _wrapped(_summary(metric, series, hidden), width) + _changes(metric, series, width)


def _spark(series: Series, room: int) -> tuple[str, str, int]:
    """The latest nights that fit, one letter each; under them the numbers of the changes; how many are not shown."""
    hidden = max(0, len(series.nights) - room)
    shown = series.nights[hidden:]
    values = [night.value for night in shown if night.state == "counted" and night.value is not None]
    low, high = min(values, default=0.0), max(values, default=0.0)
    letters = "".join(_letter(night, low, high) for night in shown)
    marks = [" "] * len(shown)
    for number, change in enumerate(series.changes, start=1):
        if change.night >= hidden:
            marks[change.night - hidden] = str(number % 10)
    return letters, "".join(marks).rstrip(), hidden


def _letter(night: Night, low: float, high: float) -> str:
    if night.value is None:
        return _GAP
    if night.state == "disturbed":
        return _DISTURBED
    if high == low:
        return _BLOCKS[3]
    return _BLOCKS[round((night.value - low) / (high - low) * (len(_BLOCKS) - 1))]


def _summary(metric: str, series: Series, hidden: int) -> str:
    values = [night.value for night in series.nights if night.state == "counted" and night.value is not None]
    counts = {state: sum(night.state == state for night in series.nights) for state in ("disturbed", "gap")}
    parts = [f"{len(series.nights)} night{'' if len(series.nights) == 1 else 's'}"]
    if hidden:
        parts[0] += f" (the last {len(series.nights) - hidden} are shown)"
    if values:
        low, high, last = said(metric, min(values)), said(metric, max(values)), said(metric, values[-1])
        parts.append(f"{low} throughout" if low == high else f"{low} to {high}, the last {last}")
    if series.noise is not None:
        parts.append(f"from night to night ±{_noise(metric, series)}")
    parts += [f"{counts['disturbed']} disturbed ({_DISTURBED})"] if counts["disturbed"] else []
    parts += [f"{counts['gap']} without a figure ({_GAP}: {_ends(series.nights)})"] if counts["gap"] else []
    if series.not_searched:
        parts.append(series.not_searched)
    elif not series.changes:
        parts.append("no change")
    return "; ".join(parts)


def _noise(metric: str, series: Series) -> str:
    assert series.noise is not None
    found = known(metric)
    if found is not None and found.judged == "difference":
        return said(metric, series.noise)
    return f"{100 * series.noise:.2g}%"


def _ends(nights: Sequence[Night]) -> str:
    ends: dict[str, int] = {}
    for night in nights:
        if night.state == "gap":
            for outcome, count in night.outcomes.items():
                ends[outcome] = ends.get(outcome, 0) + count
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(ends.items()))


def _changes(metric: str, series: Series, width: int) -> list[str]:
    lines: list[str] = []
    for number, change in enumerate(series.changes, start=1):
        told = f"{number}  {when(series.nights[change.night])}  {amount(metric, change)}"
        lines += _wrapped(told, width, indent=_INDENT, further=5)
        lines += _wrapped(cause(change), width, indent=_INDENT + "   ", further=5)
        for note in change.notes:
            lines += _wrapped(note, width, indent=_INDENT + "   ", further=5)
    return lines


def when(night: Night) -> str:
    """2026-11-21 02:00, in UTC."""
    from datetime import UTC

    return f"{night.at.astimezone(UTC):%Y-%m-%d %H:%M}"


def amount(metric: str, change: ChangePoint) -> str:
    """How the level changed: `−5.1% [−5.9, −4.3] regressed`."""
    if change.effect is None:
        return "changed"
    ruling = f" {change.ruling}" if change.ruling else ""
    return f"{_effect(metric, change.effect)}{ruling}"


def _effect(metric: str, effect: Effect) -> str:
    values = (effect.value, effect.low, effect.high)
    if effect.kind == "ratio":
        middle, low, high = (f"{100 * (value - 1):+.1f}".replace("-", "−") for value in values)
        return f"{middle}% [{low.removeprefix('+')}, {high.removeprefix('+')}]"
    middle, low, high = ((("+" if value > 0 else "") + said(metric, value)) for value in values)
    return f"{middle} [{low}, {high}]"


def cause(change: ChangePoint, most: int = _MOST_DIFFERENCES) -> str:
    """What of the environment differs across the change."""
    if not change.environment:
        return "in the same environment, as far as it is recorded"
    shown = ", ".join(change.environment[:most])
    more = len(change.environment) - most
    return f"{shown} and {more} more (--json has all)" if more > 0 else shown


def _wrapped(line: str, width: int, *, indent: str = _INDENT, further: int = 2) -> list[str]:
    return wrap(
        line,
        max(width, 40),
        initial_indent=indent,
        subsequent_indent=" " * (len(indent) + further - 2) if indent else _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
