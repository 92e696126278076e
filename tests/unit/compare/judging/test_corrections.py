"""Corrections beside scipy's and statsmodels' own."""

from __future__ import annotations

import random

import pytest

from harness.compare.judging import corrected
from harness.compare.judging.corrections import Correction
from harness.records.verdict import Verdict


def _p_values(count: int, seed: int) -> list[float]:
    """Some small, some equal, some at the ends."""
    chance = random.Random(seed)
    some = [chance.random() ** 4 for _ in range(count)]
    return [*some, *some[:2], *([0.0, 1.0] if count > 3 else [])]


@pytest.mark.parametrize("count", [1, 2, 7, 60])
@pytest.mark.parametrize("correction", ["benjamini-hochberg", "holm"])
def test_they_are_those_of_scipy_and_statsmodels(correction: Correction, count: int) -> None:
    from scipy.stats import false_discovery_control
    from statsmodels.stats.multitest import multipletests

    ps = _p_values(count, count)
    theirs = false_discovery_control(ps) if correction != "holm" else multipletests(ps, method="holm")[1]
    verdicts = [Verdict(metric="tokens_per_second", ruling="inconclusive", better="higher", p=p) for p in ps]
    ours = [verdict.p_adjusted for verdict in corrected(verdicts, correction)]
    assert ours == pytest.approx(list(theirs), abs=1e-15)
