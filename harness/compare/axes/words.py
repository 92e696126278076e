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
    whole = [one for one in mine if not one.at]
    first = whole[0]
    parts = []
    depends = {one.metric for one in interplays if one.found}
    moved = [one for one in whole if _moves(one) or (one.metric in depends and one.verdict.effect is not None)]
    if moved:
        alike = [axis for axis in _partners(first.axis, interplays) if _is_alike(axis, moved, interplays)]
        always = f", whatever {_and(alike)}" if alike else ""
        parts.append(", ".join(_moved(one, mine, interplays) for one in moved) + always)
    rest = [one for one in whole if one not in moved]
    still = [title(one.metric) for one in rest if one.verdict.ruling == "equivalent"]
    if still:
        parts.append(f"no change in {_and(still)}")
    unsure = [_unsure(one) for one in rest if one.verdict.ruling == "inconclusive"]
    if unsure:
        parts.append(f"not sure of {_and(unsure)}")
    untold: dict[str, list[str]] = {}
    for one in rest:
        if one.verdict.effect is None:
            untold.setdefault(one.verdict.why, []).append(title(one.metric))
    parts += [why if len(names) == len(whole) else f"{_and(names)}: {why}" for why, names in untold.items()]
    return f"{first.axis}, {first.reference} → {first.level}: {'; '.join(parts)}."


def _moves(one: AxisEffect) -> bool:
    return one.verdict.ruling in ("improved", "regressed")


def _moved(one: AxisEffect, mine: Sequence[AxisEffect], interplays: Sequence[Interplay]) -> str:
    """`−19% tokens/s`, and where another axis changes that, how it is at each of its levels."""
    assert one.verdict.effect is not None
    said = f"{amount(one.metric, one.verdict.effect)} {title(one.metric)}"
    found = [each for each in interplays if each.metric == one.metric and each.found]
    if not found:
        return said
    most = max(found, key=lambda each: each.spread or 0.0)
    partner = _other(most, one.axis)
    there = [
        f"{amount(each.metric, each.verdict.effect)} at {each.at[partner]}"
        for each in mine
        if each.metric == one.metric and partner in each.at and each.verdict.effect is not None
    ]
    others = [_other(each, one.axis) for each in found if each is not most]
    more = f"; {_and(others)} too" if others else ""
    return f"{said} ({partner}: {', '.join(there)}{more})"


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
