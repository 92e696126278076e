"""What an axis does, as a sentence: `gc, off → on: −38% host memory, −19% tokens/s, whatever lora`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from harness.records.amounts import amount
from harness.records.changes import effect_said
from harness.records.effects import AxisEffect, Interplay
from harness.records.figures import title

_HIDDEN = 0.5
"""How much of an effect an interaction that was not found may still make up for the effect to be called alike."""


def sentences_of(
    axes: Mapping[str, Sequence[str]], effects: Sequence[AxisEffect], interplays: Sequence[Interplay]
) -> Iterator[str]:
    """One sentence for each level beside its axis' reference, then what no change of any axis can tell."""
    never = _never_told(effects)
    for axis, levels in axes.items():
        for level in levels:
            mine = [one for one in effects if (one.axis, one.level) == (axis, level) and one.metric not in never]
            for reference in dict.fromkeys(one.reference for one in mine):  # another where the first lacks a figure
                alike = [one for one in mine if one.reference == reference]
                yield _sentence(alike, [one for one in interplays if axis in one.axes])
    metrics: dict[str, list[str]] = {}
    for metric, why in never.items():
        metrics.setdefault(why, []).append(title(metric))
    yield from (f"{_and(names)}: {why}." for why, names in metrics.items())


def _never_told(effects: Sequence[AxisEffect]) -> dict[str, str]:
    """Metrics of which every change, of two or more, is untold for one and the same reason; and the reason."""
    whole = [one for one in effects if not one.at]
    found = {}
    for metric in dict.fromkeys(one.metric for one in whole):
        mine = [one for one in whole if one.metric == metric]
        reasons = {one.verdict.why if one.verdict.effect is None else "" for one in mine}
        if len(mine) > 1 and len(reasons) == 1 and "" not in reasons:
            found[metric] = reasons.pop()
    return found


def _sentence(mine: Sequence[AxisEffect], interplays: Sequence[Interplay]) -> str:
    first = next(one for one in mine if not one.at)
    return f"{first.axis}, {first.reference} → {first.level}: {'; '.join(_parts(mine, interplays))}."


def _parts(mine: Sequence[AxisEffect], interplays: Sequence[Interplay]) -> Iterator[str]:
    """What moved, what moves at some levels of another axis, what stays, what is not known, and why not."""
    whole = [one for one in mine if not one.at]
    depends = {one.metric for one in interplays if one.found}
    unlike = [one for one in whole if one.metric in depends and not _is_still(one, mine)]
    moved = [one for one in whole if _moves(one) or (one in unlike and one.verdict.ruling == "equivalent")]
    if moved:
        alike = [axis for axis in _partners(whole[0].axis, interplays) if _is_alike(axis, moved, interplays)]
        always = f", whatever {_and(alike)}" if alike else ""
        yield ", ".join(_moved(one, mine, interplays) for one in moved) + always
    here_and_there = [one for one in unlike if one not in moved and _told(one, mine, interplays)]
    yield from (_dependent(one, mine, interplays) for one in here_and_there)
    rest = [one for one in whole if one not in (*moved, *here_and_there)]
    if still := [title(one.metric) for one in rest if one.verdict.ruling == "equivalent"]:
        yield f"no change that matters in {_and(still)}"
    if unsure := [_unsure(one) for one in rest if one.verdict.ruling == "inconclusive"]:
        yield f"not sure of {_and(unsure)}"
    for why, names in _by_reason(rest).items():
        yield why if len(names) == len(whole) else f"{_and(names)}: {why}"


def _by_reason(effects: Sequence[AxisEffect]) -> dict[str, list[str]]:
    """Titles of the metrics without a known effect, by why it is not known."""
    found: dict[str, list[str]] = {}
    for one in effects:
        if one.verdict.effect is None:
            found.setdefault(one.verdict.why, []).append(title(one.metric))
    return found


def _moves(one: AxisEffect) -> bool:
    return one.verdict.ruling in ("improved", "regressed")


def _is_still(one: AxisEffect, mine: Sequence[AxisEffect]) -> bool:
    """Whether this level does nothing, or nothing known, to a metric, also at each level of other axes."""
    everywhere = [each.verdict for each in mine if each.metric == one.metric and each.verdict.effect is not None]
    return one.verdict.effect is None or all(verdict.ruling == "equivalent" for verdict in everywhere)


def _moved(one: AxisEffect, mine: Sequence[AxisEffect], interplays: Sequence[Interplay]) -> str:
    """`−19% tokens/s`, and where another axis changes that, how it is at each of its levels."""
    assert one.verdict.effect is not None
    said = f"{amount(one.metric, one.verdict.effect)} {title(one.metric)}"
    partner, others = _changed_by(one, interplays)
    if not partner:
        return said
    more = f"; {_and(others)} too" if others else ""
    return f"{said} ({partner}: {', '.join(_at(each, partner) for each in _levels(one, mine, partner))}{more})"


def _dependent(one: AxisEffect, mine: Sequence[AxisEffect], interplays: Sequence[Interplay]) -> str:
    """What cannot be told as a mean but at levels of another axis: `tokens/s depends on lora: −20% at r8`."""
    partner, others = _changed_by(one, interplays)
    there = ", ".join(_at(each, partner) for each in _levels(one, mine, partner))
    more = f" ({_and(others)} too)" if others else ""
    return f"{title(one.metric)} depends on {partner}{more}: {there}"


def _told(one: AxisEffect, mine: Sequence[AxisEffect], interplays: Sequence[Interplay]) -> bool:
    """Whether at any level of what changes it most an effect is known."""
    return any(each.verdict.ruling != "inconclusive" for each in _levels(one, mine, _changed_by(one, interplays)[0]))


def _changed_by(one: AxisEffect, interplays: Sequence[Interplay]) -> tuple[str, list[str]]:
    """The axis that changes an effect most, empty without one, and the others that do."""
    found = [each for each in interplays if each.metric == one.metric and each.found]
    found.sort(key=lambda each: -(each.spread or 0.0))
    partners = [_other(each, one.axis) for each in found]
    return (partners[0], partners[1:]) if partners else ("", [])


def _levels(one: AxisEffect, mine: Sequence[AxisEffect], partner: str) -> list[AxisEffect]:
    """The effect at each level of another axis."""
    return [
        each for each in mine if each.metric == one.metric and partner in each.at and each.verdict.effect is not None
    ]


def _at(each: AxisEffect, partner: str) -> str:
    assert each.verdict.effect is not None
    sure = each.verdict.ruling != "inconclusive"
    return f"{amount(each.metric, each.verdict.effect) if sure else 'not sure'} at {each.at[partner]}"


def _unsure(one: AxisEffect) -> str:
    assert one.verdict.effect is not None
    return f"{title(one.metric)} ({effect_said(one.metric, one.verdict.effect)})"


def _partners(axis: str, interplays: Sequence[Interplay]) -> list[str]:
    return list(dict.fromkeys(_other(one, axis) for one in interplays))


def _is_alike(partner: str, moved: Sequence[AxisEffect], interplays: Sequence[Interplay]) -> bool:
    """Whether all that moved does so much the same at every level of another axis, as far as the runs can tell."""
    for one in moved:
        mine = [each for each in interplays if each.metric == one.metric and partner in each.axes]
        if not mine or mine[0].found or mine[0].bound is None:
            return False
        effect, margin = one.verdict.effect, one.verdict.margin or 0.0
        assert effect is not None
        size = abs(math.expm1(abs(math.log(effect.value)))) if effect.kind == "ratio" else abs(effect.value)
        if mine[0].bound > max(margin, _HIDDEN * size):
            return False
    return bool(moved)


def _other(interplay: Interplay, axis: str) -> str:
    return interplay.axes[1] if interplay.axes[0] == axis else interplay.axes[0]


def _and(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
