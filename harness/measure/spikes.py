"""Spikes of a loss: logged values that no noise explains."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from harness.measure.noise import SIGMA, Point, mad, of_neighbours

FEWEST = 10
"""Logged values before one that can be a spike."""
SPIKE_WINDOW, SPIKE_SIGMAS, SPIKE_SHARE, SPIKE_SCALE = 20, 6.0, 0.1, 0.05
"""A spike stands `SPIKE_SIGMAS` robust deviations, a tenth, and a twentieth of the first losses above the median before
it. The rule is Hampel's identifier on a trailing window; the numbers are ours."""
SPIKE_LOG_SIGMAS = 4.0
"""And so many deviations of the logarithm: losses of few rows scatter by factors, further up than down."""
NOISE_WINDOW = 100
"""So many logs tell how far neighbours lie apart: of 20 values the deviation is now and then half of the true one."""


@dataclass(frozen=True, slots=True)
class Spike(Point):
    """A logged loss far above those before it; `before` is their median."""

    before: float


def spikes(points: Sequence[Point]) -> list[Spike]:
    """Losses far above the median of up to 20 before them; consecutive ones are one spike, at its first step.

    A level that lasts as long as the window is the new level, no spike any more.
    """
    found: list[Spike] = []
    past: list[float] = []  # those that are no spike
    above: list[float] = []
    least = SPIKE_SCALE * abs(median(point.value for point in points[:FEWEST])) if points else 0.0
    for place, point in enumerate(points):
        coming = points[place + 1 : place + 1 + NOISE_WINDOW]
        if len(past) >= FEWEST and _stands_out(point.value, past, coming, least):
            if not above:
                found.append(Spike(point.step, point.value, median(past[-SPIKE_WINDOW:])))
            above.append(point.value)
            if len(above) >= SPIKE_WINDOW:
                past, above = [*past, *above], []
            continue
        above = []
        past = [*past[-NOISE_WINDOW:], point.value]
    return found


def _stands_out(value: float, past: Sequence[float], coming: Sequence[Point], least: float) -> bool:
    """Whether a loss is no noise: far above the median before it, and by more times than noise makes of it."""
    window = past[-SPIKE_WINDOW:]
    middle = median(window)
    if value <= middle + max(SPIKE_SHARE * abs(middle), least):
        return False
    if value <= middle + SPIKE_SIGMAS * max(SIGMA * mad(window), of_neighbours(past)):
        return False
    if middle <= 0:
        return True
    # DPO's loss begins at ln 2 with hardly a noise, and gets its own as the policy leaves the reference.
    later = of_neighbours(_logs(point.value for point in coming)) if len(coming) > FEWEST else 0.0
    scatter = max(SIGMA * mad(_logs(window)), of_neighbours(_logs(past)), later)
    return math.log(value) - math.log(middle) > SPIKE_LOG_SIGMAS * scatter


def _logs(values: Iterable[float]) -> list[float]:
    return [math.log(value) for value in values if value > 0]
