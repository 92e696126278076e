"""Changes and figures in sentences: `−38%`, `3.4×`, `+1.9 pt`; `changes` writes them with their intervals."""

from __future__ import annotations

import math

from harness.records.changes import IN_TIMES
from harness.records.figures import Scale, decimals, number, said
from harness.records.metrics import metric
from harness.records.verdict import Effect


def amount(name: str, effect: Effect) -> str:
    """A change as it is said, without its interval."""
    if effect.kind == "ratio":
        return times(effect.value) if effect.value >= IN_TIMES else percent(effect.value - 1)
    return figure(name, effect.value, signed=True)


def figure(name: str, value: float, *, signed: bool = False) -> str:
    """A figure with its unit, or, `signed`, a difference of two: of scores in points of a hundred (pt)."""
    if not signed:
        return said(name, value)
    known = metric(name)
    if known is not None and known.unit == "score":
        text = f"{number(100 * value, Scale(unit=''), places=1)} pt"
    else:
        text = said(name, value)
        text = f"−{text[1:]}" if text.startswith("-") else text
    return f"+{text}" if value > 0 and any(digit in text for digit in "123456789∞") else text


def times(ratio: float) -> str:
    """A ratio as a multiple: 0.385×, 2.31×, 14.2×."""
    return f"{number(ratio, Scale(unit=''), places=2 if 0.9995 <= ratio < 9.995 else decimals(ratio))}×"


def percent(share: float) -> str:
    """A share with its sign: +24%, −3.2%, 0%."""
    if not math.isfinite(share):
        return number(share, Scale(unit=""))
    places = 0 if abs(share) >= 0.0995 else 1 if abs(share) >= 0.00995 else 2
    text = f"{number(100 * share, Scale(unit=''), places=places)}%"
    if not any(digit in text for digit in "123456789"):
        return "0%"
    return f"+{text}" if share > 0 else text
