"""A verdict's change as people read it: by how much, its interval, and how small a change could have been seen."""

from __future__ import annotations

import math

from harness.records.figures import Scale, decimals, number, said
from harness.records.metrics import metric
from harness.records.verdict import Effect, Verdict

_PLAIN = Scale(unit="")
_AS_FACTOR = 2.0
"""Ratios from here on (and below its inverse) are said as factors: 2.35× rather than +135%."""


def change(name: str, effect: Effect) -> str:
    """`−10.2%`, `2.35×`, `+1.2 points` of a score, `+0.031` of a loss."""
    if effect.kind == "ratio":
        return _ratio(effect.value, factor=_is_factor(effect.value))
    return _difference(name, effect.value, unit=True)


def interval(name: str, effect: Effect) -> str:
    """`−11.0 … −9.4%`: the 95% interval in the unit of the change."""
    low, high = effect.low, effect.high
    if effect.kind == "ratio":
        factor = _is_factor(effect.value)
        ends = [_ratio(value, factor=factor) for value in (low, high)]
        return f"{ends[0].rstrip('%×')} … {ends[1]}"
    return f"{_difference(name, low, unit=False)} … {_difference(name, high, unit=False)}"


def detectable(verdict: Verdict) -> str | None:
    """The smallest change that so many runs would most likely have shown; None where there is no test."""
    if verdict.detectable is None or verdict.effect is None:
        return None
    if verdict.effect.kind == "ratio":
        return f"{number(100 * verdict.detectable, _PLAIN, places=_places(100 * verdict.detectable))}%"
    return _difference(verdict.metric, verdict.detectable, unit=False).lstrip("+")


def runs(verdict: Verdict) -> str:
    """`5/5`: runs of the baseline and of the trials; `5 pairs` where seeds were paired."""
    effect = verdict.effect
    if effect is None:
        return "/".join(str(len(side)) for side in verdict.values)
    return f"{effect.pairs} pairs" if effect.pairs is not None else f"{effect.n[0]}/{effect.n[1]}"


def _is_factor(ratio: float) -> bool:
    return ratio >= _AS_FACTOR or ratio <= 1 / _AS_FACTOR


def _ratio(ratio: float, *, factor: bool) -> str:
    if factor:
        return f"{number(ratio, _PLAIN, places=max(2, decimals(ratio)) if ratio < 10 else 1)}×"
    share = 100 * (ratio - 1)
    return f"{_signed(share, number(share, _PLAIN, places=_places(share)))}%"


def _places(percent: float) -> int:
    return 0 if abs(percent) >= 100 else 1 if abs(percent) >= 1 else 2


def _difference(name: str, value: float, *, unit: bool) -> str:
    known = metric(name)
    if known is not None and known.unit == "score":
        text = _signed(value, number(100 * value, _PLAIN, places=1))
        return f"{text} points" if unit else text
    if unit or (known is not None and known.unit == "bytes"):
        return _signed(value, said(name, value))
    return _signed(value, number(value, _PLAIN))


def _signed(value: float, text: str) -> str:
    return f"+{text}" if value > 0 and not math.isnan(value) and any(digit in text for digit in "123456789∞") else text
