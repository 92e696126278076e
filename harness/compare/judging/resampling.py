"""Intervals and probabilities that take no bell curve: resampled documents, and the exact test of 0 and 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from harness.compare.judging.effects import CONFIDENCE, below, quantile

if TYPE_CHECKING:
    import numpy as np

FEWEST = 20
"""Documents below which resampling does not reach as far as the tails of the mean do."""
MOST = 2000
"""Documents beyond which the mean is as good as normal, and resampling only takes time."""
_NUMBERS = 4_000_000  # to be drawn in all, some 50 ms
_MOST_DRAWS = 20_000
_SEED = 20241101
_AT_ONCE = 200


def resampled(units: np.ndarray) -> np.ndarray:
    """Means of 2,000 to 20,000 samples with replacement of the paired differences, sorted; the same for the same units.

    B. Efron & R. J. Tibshirani, "An Introduction to the Bootstrap" (1993): documents are drawn, and each brings the
    answers of both sides.
    """
    import numpy as np

    chance = np.random.default_rng(_SEED)
    n = len(units)
    draws = min(_MOST_DRAWS, _NUMBERS // n)
    parts = [units[chance.integers(0, n, (_AT_ONCE, n))].mean(axis=1) for _ in range(draws // _AT_ONCE)]
    found: np.ndarray = np.sort(np.concatenate(parts))
    return found


def interval(means: np.ndarray, n: int, degrees: float) -> tuple[float, float]:
    """The 95% percentile interval of resampled means of `n` units, expanded to the width of Student's t with these
    degrees of freedom: percentiles alone are too narrow by √((n−1)/n) and by the t's tails (T. C. Hesterberg, Am. Stat.
    69, 2015).
    """
    import numpy as np

    tail = _normal(-math.sqrt(n / (n - 1)) * quantile((1 + CONFIDENCE) / 2, degrees))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def p_beyond(means: np.ndarray, n: int, degrees: float, *, value: float, bound: float) -> float:
    """Two-sided p of a true change no larger than `bound`, from the same expanded percentiles; never quite 0."""
    import numpy as np

    if abs(value) <= bound:
        return 1.0
    if value > 0:
        share = float(np.searchsorted(means, bound, side="right")) / len(means)
    else:
        share = 1 - float(np.searchsorted(means, -bound, side="left")) / len(means)
    share = min(max(share, 0.5 / len(means)), 1 - 0.5 / len(means))
    return min(1.0, 2 * below(_normal_quantile(share) / math.sqrt(n / (n - 1)), degrees))


def mcnemar(fixed: int, broken: int) -> float:
    """The exact two-sided p that a document which turns is as likely fixed as broken: a binomial test of the smaller
    number among both (Q. McNemar, Psychometrika 12, 1947); 1 where none turns.
    """
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(fixed, broken), fixed + broken, 0.5))) if fixed + broken else 1.0


def _normal(z: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(z))


def _normal_quantile(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))


def correlation(before: Any, after: Any) -> float | None:
    """Pearson's, over documents; None where a side is the same everywhere."""
    import numpy as np

    if before.std() == 0 or after.std() == 0:
        return None
    return float(np.corrcoef(before, after)[0, 1])
