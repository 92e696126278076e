"""Margins as people write them: `3%`, `0.02`, `64MiB`, `2% + 64MiB`."""

from __future__ import annotations

import math
import re

from harness.records.metrics import Margin, Metric
from harness.records.units import parse_duration, parse_size

_SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*%")
EXAMPLES = "3%, 0.02 or 2% + 64MiB"


def parse_margin(text: str | float, known: Metric) -> Margin:
    """A share of the reference's figure, an amount in the metric's unit, or both with a `+` between them.

    Amounts of bytes need their unit; those of seconds may have one (`5ms`).

    Raises:
        ValueError: one sentence that a user can act on.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(f"{text!r} is not a margin; write {EXAMPLES}")
    if not isinstance(text, str):
        return Margin(absolute=_amount(str(text), known))
    relative: list[float] = []
    absolute: list[float] = []
    for part in (part.strip() for part in text.split("+")):
        share = _SHARE.fullmatch(part)
        if share:
            relative.append(float(share[1]) / 100)
        else:
            absolute.append(_amount(part, known))
    if len(relative) > 1 or len(absolute) > 1:
        raise ValueError(f"{text!r} has two shares or two amounts; write one of each at most, e.g. 2% + 64MiB")
    return Margin(relative=sum(relative), absolute=sum(absolute))


def _amount(text: str, known: Metric) -> float:
    try:
        value = float(text)
    except ValueError:
        return _with_unit(text, known)
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"a margin is 0 or more and finite, not {text}")
    if known.unit == "bytes" and value:
        raise ValueError(f"{text!r} could be bytes or gigabytes; write its unit, e.g. 64MiB, or a share, e.g. 2%")
    return value


def _with_unit(text: str, known: Metric) -> float:
    unit = known.unit or "no unit"
    try:
        if known.unit == "bytes":
            return float(parse_size(text))
        if known.unit == "s":
            return parse_duration(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no margin of {known.name}: {error}") from None
    raise ValueError(f"{text!r} is no margin of {known.name}, which is in {unit}; write 3% or 0.02")
