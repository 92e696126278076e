"""How far logged values scatter, told robustly: a few odd ones hardly count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

SIGMA = 1.4826
"""Median absolute deviation → standard deviation of a normal distribution (Hampel 1974)."""


@dataclass(frozen=True, slots=True)
class Point:
    """One logged value."""

    step: int
    value: float


def mad(values: Sequence[float]) -> float:
    """Median absolute deviation from the median."""
    middle = median(values)
    return median(abs(value - middle) for value in values)


def of_neighbours(values: Sequence[float]) -> float:
    """Deviation of their noise, by how far neighbours lie apart: a slow fall of the loss hardly counts in it."""
    if len(values) < 2:
        return 0.0
    return SIGMA * median(abs(after - before) for before, after in pairwise(values)) / math.sqrt(2)
