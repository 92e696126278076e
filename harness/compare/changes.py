"""Where a series of nights changes its level."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST = 6
"""Nights below which no change is looked for."""
SEGMENT = 2
"""The fewest nights a level lasts: one odd night is no change, and a real one shows on its second night."""
_PASSES = 4


def changes(values: Sequence[float], *, floor: float) -> tuple[list[int], float]:
    """The places (from 1) at which a new level begins, and the standard deviation of the noise from night to night.

    PELT with squared error (Killick, Fearnhead & Eckley, JASA 107, 2012), by ruptures. Adding a change must save
    (2.5 ln n + 6) variances of the noise. That grows with ln n as in the Bayesian information criterion (Yao, Stat.
    Prob. Letters 6, 1988), with more at short series, where the variance itself is known badly: in simulation pure
    noise shows a change in at most 4% of series of any length (tests/unit/compare/test_changes.py).

    The variance is half the mean square of the differences between neighbouring nights (von Neumann, Ann. Math. Stat.
    12, 1941), which a change enters once. It is taken again without the differences at changes that were found, so that
    one large change does not hide smaller ones. The search takes noise below `floor` as `floor`: it keeps figures that
    hardly vary from showing changes that nobody would care for.
    """
    found: list[int] = []
    noise = _noise(values, ())
    for _ in range(_PASSES):
        again = _levels(values, max(noise, floor))
        if again == found:
            break
        found = again
        noise = _noise(values, found)
    return found, noise


def _noise(values: Sequence[float], changed: Sequence[int]) -> float:
    squares = [(values[at] - values[at - 1]) ** 2 for at in range(1, len(values)) if at not in changed]
    return math.sqrt(sum(squares) / len(squares) / 2) if squares else 0.0


def _levels(values: Sequence[float], noise: float) -> list[int]:
    import numpy as np
    from ruptures import KernelCPD

    if len(values) < LEAST:
        return []
    scaled = (np.asarray(values, dtype=float) - np.median(values)) / noise
    # The linear kernel is squared error, in C.
    search = KernelCPD(kernel="linear", min_size=SEGMENT).fit(scaled.reshape(-1, 1))
    return [int(at) for at in search.predict(pen=2.5 * math.log(len(values)) + 6)[:-1]]
