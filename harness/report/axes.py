"""What each axis of the matrix does: in sentences, then with intervals, then where axes interact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.records.amounts import percent
from harness.records.changes import effect_said, margins_said
from harness.records.effects import AxisEffect, AxisEffects, Interplay
from harness.records.figures import said, title
from harness.records.metrics import metric
from harness.records.results import Answer
from harness.report.format import NONE, short_title, text
from harness.report.tables import Column, tables

_MOST_SENTENCES = 24
_MOST_INTERPLAYS = 16
_MOST_PAIRS = 4
_UNSURE = "?"


def axes(answer: Answer) -> str:
    """The section; empty where no axis has two levels that were measured."""
    effects = answer.effects
    if not effects.effects:
        return ""
    sentences = _listed([text(one) for one in effects.sentences], _MOST_SENTENCES)
    parts = ["## What each axis does", sentences, _table(effects), _interplays(effects), _legend(effects)]
    return "\n\n".join(part for part in parts if part)


def _listed(lines: Sequence[str], most: int) -> str:
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "\n".join(f"- {line}" for line in [*lines[:most], *more])


def _table(effects: AxisEffects) -> str:
    whole = [one for one in effects.effects if not one.at]
    rows = list(dict.fromkeys((one.axis, one.reference, one.level) for one in whole))
    found = {(one.axis, one.reference, one.level, one.metric): one for one in whole}
    names = [text(f"{axis}: {one} → {other}") for axis, one, other in rows]
    first = Column(heading="change", cells=names, align="left")
    columns = [
        Column(heading=short_title(name), cells=[_cell(found.get((*row, name))) for row in rows])
        for name in effects.metrics
    ]
    return tables(first, columns)


def _cell(one: AxisEffect | None) -> str:
    if one is None or one.verdict.effect is None:
        return NONE
    said = effect_said(one.metric, one.verdict.effect)
    if one.verdict.ruling in ("improved", "regressed"):
        return f"**{said}**"
    return f"{said} {_UNSURE}" if one.verdict.ruling == "inconclusive" else said


def _interplays(effects: AxisEffects) -> str:
    """The axes that change each other's effects, and how; those with the largest differences first."""
    found = sorted((one for one in effects.interplays if one.found), key=lambda one: -(one.spread or 0.0))
    lines = [_interplay(effects, one) for one in found]
    return f"Where axes change each other's effects:\n\n{_listed(lines, _MOST_INTERPLAYS)}" if lines else ""


def _interplay(effects: AxisEffects, one: Interplay) -> str:
    first, second = one.axes
    there = [
        effect
        for effect in effects.effects
        if effect.metric == one.metric and effect.axis == first and second in effect.at and effect.verdict.effect
    ]
    changes: dict[str, list[str]] = {}
    for effect in there:
        if effect.verdict.effect is not None:
            changes.setdefault(f"{effect.reference} → {effect.level}", []).append(
                f"{effect_said(one.metric, effect.verdict.effect)} at {effect.at[second]}"
            )
    told = "; ".join(f"{change} {', '.join(parts)}" for change, parts in changes.items())
    return f"{text(first)} × {text(second)}, {title(one.metric)}: {text(told)} ({_test(one)})"


def _test(one: Interplay) -> str:
    if one.f is None or one.degrees is None or one.p_adjusted is None:
        return f"they differ by up to {_size(one.metric, one.spread or 0.0)}"
    p = "below 0.0001" if one.p_adjusted < 1e-4 else f"{one.p_adjusted:.2g}"
    return f"F({one.degrees[0]}, {one.degrees[1]}) = {_f(one.f)}, adjusted p {p}"


def _f(value: float) -> str:
    return "∞" if value == float("inf") else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _size(name: str, value: float) -> str:
    known = metric(name)
    if known is not None and known.judged == "difference":
        return said(name, value)
    return percent(value).removeprefix("+")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_PAIRS]) + (
        f" and {len(names) - _MOST_PAIRS} more" if len(names) > _MOST_PAIRS else ""
    )


def _legend(effects: AxisEffects) -> str:
    return "\n".join(_lines(effects))


def _lines(effects: AxisEffects) -> Iterator[str]:
    yield (
        "Each change beside the level before the arrow, all other axes alike: rates, times, memory and energy as"
        " ratios, scores in points of a hundred (pt), losses as they are, with 95% intervals by least squares."
    )
    yield (
        "**Bold** is beyond the metric's margin, also when corrected for how much was asked at once;"
        f" {_UNSURE} cannot be told yet; neither: a change there may be, but within the margin."
    )
    margins = [
        (name, margins_said(one.verdict for one in effects.effects if one.metric == name)) for name in effects.metrics
    ]
    if any(said for _, said in margins):
        yield f"Margins: {'; '.join(f'{title(name)} {said}' for name, said in margins if said)}."
    behind: dict[str, list[str]] = {}
    for name, words in effects.behind.items():
        behind.setdefault(words, []).append(title(name))
    yield from (f"Intervals of {', '.join(names)}: {words}." for words, names in behind.items())
    yield from _untold(effects.interplays)
    if effects.left_out:
        yield f"Left out: {text('; '.join(effects.left_out))}."


def _untold(interplays: Sequence[Interplay]) -> Iterator[str]:
    """Of which pairs of axes and which metrics nobody can say whether they interact, and why."""
    metrics: dict[tuple[str, str], list[str]] = {}
    for one in interplays:
        if one.why:
            metrics.setdefault((one.why, " × ".join(one.axes)), []).append(title(one.metric))
    pairs: dict[tuple[str, str], list[str]] = {}
    for (why, pair), names in metrics.items():
        pairs.setdefault((why, ", ".join(names)), []).append(pair)
    yield from (
        f"Whether axes interact in {text(names)} ({text(_few(found))}): {text(why)}."
        for (why, names), found in pairs.items()
    )
