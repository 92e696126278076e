"""Changes between two sides as people read them: `−10.2% [−11.0, −9.4]`, `2.31× [2.28, 2.34]`, `+2.7 pt [1.2, 4.1]`.

The same on the terminal and in reports. Points (pt) are of a hundred, for scores and shares between 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.records.figures import Scale, decimals, number, scale
from harness.records.metrics import metric, middle
from harness.records.verdict import Effect, Verdict

IN_TIMES = 1.995
"""Ratios from here on are told as times, smaller ones as a change in per cent."""
_PLAIN = Scale(unit="")
NONE = "–"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Form:
    """How an effect is written: `factor` × (value − `less`), with `unit` after it."""

    factor: float
    less: float
    unit: str
    places: int
    signed: bool


def change_said(verdict: Verdict) -> str:
    """The change with its 95% interval (the range of what was seen, where there is no test).

    The change of means alone where there are too few runs for more; a dash where a side has none.
    """
    effect = verdict.effect or _seen(verdict)
    return NONE if effect is None else effect_said(verdict.metric, effect)


def effect_said(name: str, effect: Effect) -> str:
    """A change of a metric with its interval; the change alone where that is a point."""
    form = _form(name, effect)
    value = _said(effect.value, form, sign=form.signed) + form.unit
    if effect.low == effect.high:
        return value
    return f"{value} [{_said(effect.low, form)}, {_said(effect.high, form)}]"


def _seen(verdict: Verdict) -> Effect | None:
    """The change of means, of which nobody knows how sure it is."""
    before, after = figures_of(verdict)
    known = metric(verdict.metric)
    if before is None or after is None or known is None:
        return None
    by_ratio = known.judged != "difference" and before > 0
    value = after / before if by_ratio else after - before
    n = (len(verdict.values[0]), len(verdict.values[1]))
    kind: Literal["ratio", "difference"] = "ratio" if by_ratio else "difference"
    return Effect(kind=kind, value=value, low=value, high=value, n=n, reference=before, how="means")


def detectable_said(verdict: Verdict) -> str:
    """The smallest change that would be found, as the change is written, without sign; a dash without a test."""
    if verdict.effect is None or verdict.detectable is None:
        return NONE
    return _amount(verdict.metric, verdict.effect, verdict.detectable)


def margin_said(verdict: Verdict) -> str:
    """The margin of the verdict, likewise."""
    if verdict.effect is None or verdict.margin is None:
        return NONE
    return _amount(verdict.metric, verdict.effect, verdict.margin)


def margins_said(verdicts: Iterable[Verdict]) -> str:
    """The margins of one metric's verdicts, from the smallest to the largest: `2.3% to 2.6%`; empty without any."""
    known = sorted((one for one in verdicts if one.effect and one.margin is not None), key=lambda one: one.margin or 0)
    return " to ".join(dict.fromkeys(margin_said(one) for one in (known[:1] + known[-1:])))


def n_said(verdict: Verdict) -> str:
    """`5` where both sides have as many counted runs, else `5|4`: the reference's, the candidate's."""
    before, after = (len(side) for side in verdict.values)
    if verdict.effect is not None:
        before, after = verdict.effect.n
    return str(before) if before == after else f"{before}|{after}"


def figures_of(verdict: Verdict) -> tuple[float | None, float | None]:
    """The two sides' own figures, in the metric's unit; None for one without any."""
    effect = verdict.effect
    if effect is not None:
        after = effect.reference * effect.value if effect.kind == "ratio" else effect.reference + effect.value
        return effect.reference, after
    before, after_ = (_middle(verdict.metric, side) for side in verdict.values)
    return before, after_


def _middle(name: str, values: Sequence[float]) -> float | None:
    known = metric(name)
    return middle(values, known.judged if known else "difference") if values else None


def _amount(name: str, effect: Effect, amount: float) -> str:
    if effect.kind == "ratio":
        return f"{_plain(100 * amount)}%"
    form = _form(name, effect)
    if _in_points(name, effect) and amount > 1:
        return ">100 pt"  # no score can change by so much: no change would be seen
    return f"{_plain(form.factor * amount)}{form.unit}"


def _plain(value: float) -> str:
    """Two digits below 1, else one decimal, none from 100 on."""
    places = decimals(value) - 1 if abs(value) < 1 else 1 if abs(value) < 100 else 0
    return number(value, _PLAIN, places=max(1, places) if value else 0)


def _form(name: str, effect: Effect) -> _Form:
    if effect.kind == "ratio":
        if effect.value < IN_TIMES:
            return _Form(factor=100, less=1, unit="%", places=_hundredths(_width(effect)), signed=True)
        return _Form(factor=1, less=0, unit="×", places=decimals(effect.value) or 1, signed=False)
    how = scale(name, abs(effect.reference) + abs(effect.value))
    if _in_points(name, effect):
        return _Form(factor=100, less=0, unit=" pt", places=_hundredths(_width(effect)), signed=True)
    width = max(_width(effect), abs(effect.value) / 100) / how.divisor
    unit = f" {how.unit}" if how.unit else ""
    return _Form(factor=1 / how.divisor, less=0, unit=unit, places=_places(width), signed=True)


def _in_points(name: str, effect: Effect) -> bool:
    known = metric(name)
    largest = max(abs(effect.reference), abs(effect.reference + effect.value))
    return known is not None and known.unit in ("score", "ratio") and largest <= 1


def _width(effect: Effect) -> float:
    return effect.high - effect.low


def _hundredths(width: float) -> int:
    """Decimals of per cents and points: a second one only where the interval is narrower than a tenth."""
    return 2 if 0 < 100 * width < 0.2 else 1


def _places(width: float) -> int:
    """Decimals that show an interval of this width: two digits of it; one decimal at least, four at most."""
    if not math.isfinite(width) or width <= 0:
        return 1
    return min(4, max(1, 1 - math.floor(math.log10(width))))


def _said(value: float, form: _Form, *, sign: bool = False) -> str:
    if not math.isfinite(value):
        return number(value, _PLAIN)
    text = number(form.factor * (value - form.less), _PLAIN, places=form.places)
    return f"+{text}" if sign and not text.startswith("−") and any(digit in text for digit in "123456789") else text
