"""Changes and figures in sentences: `−38%`, `3.4×`, `+1.9 points`, `−39 to −37%`; tables have those of `changes`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.records.changes import IN_TIMES
from harness.records.figures import Scale, decimals, number, said
from harness.records.metrics import metric
from harness.records.verdict import Effect


def amount(name: str, effect: Effect, value: float | None = None) -> str:
    """A change as it is said: of the effect's own value, or of another on its scale (an end of its interval)."""
    shown = effect.value if value is None else value
    if effect.kind == "ratio":
        return times(shown) if effect.value >= IN_TIMES else percent(shown - 1)
    return figure(name, shown, signed=True)


def figure(name: str, value: float, *, signed: bool = False) -> str:
    """A figure with its unit, or, `signed`, a difference of two: of scores in points of a hundred."""
    if not signed:
        return said(name, value)
    known = metric(name)
    if known is not None and known.unit == "score":
        text = f"{number(100 * value, Scale(unit=''), places=1)} points"
    else:
        text = said(name, value)
        text = f"−{text[1:]}" if text.startswith("-") else text
    return f"+{text}" if value > 0 and any(digit in text for digit in "123456789∞") else text


def times(ratio: float) -> str:
    """A ratio as a multiple: 0.385×, 2.31×, 14.2×."""
    return f"{number(ratio, Scale(unit=''), places=2 if 0.9995 <= ratio < 9.995 else decimals(ratio))}×"


def span(name: str, effect: Effect) -> str:
    """`−39 to −37%`: the interval alone."""
    low, high = (amount(name, effect, of) for of in (effect.low, effect.high))
    return low if low == high else f"{low.removesuffix(_shared((low, high)))} to {high}"


def _shared(texts: Sequence[str]) -> str:
    """The unit that all of them end with."""
    return next((unit for unit in ("%", "×", " points") if all(text.endswith(unit) for text in texts)), "")


def percent(share: float) -> str:
    """A share with its sign: +24%, −3.2%, 0%."""
    if not math.isfinite(share):
        return number(share, Scale(unit=""))
    places = 0 if abs(share) >= 0.0995 else 1 if abs(share) >= 0.00995 else 2
    text = f"{number(100 * share, Scale(unit=''), places=places)}%"
    if not any(digit in text for digit in "123456789"):
        return "0%"
    return f"+{text}" if share > 0 else text
