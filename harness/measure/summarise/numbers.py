"""Numbers as events hold them, and what is made of many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def number(value: Any) -> float:
    """A number as events hold it: non-finite ones are the strings "NaN", "Infinity", "-Infinity"."""
    return float(value) if value is not None else math.nan


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of at least one value; not a number where infinities of both signs are among them."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:  # of a training that blew up: the sum is beyond a float, the mean is not
        return math.fsum(value / len(values) for value in values)
    except ValueError:
        return math.nan


def percentile(ordered: Sequence[float], share: float) -> float:
    """Linear interpolation between order statistics (Hyndman & Fan 1996, definition 7)."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
