"""Verdicts against scipy's own calls, and on every kind of awkward input."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from harness.compare.judging import judge
from harness.records.metrics import Margin
from harness.records.verdict import Run


def runs(*values: float, seeds: Sequence[int] | None = None, disturbed: Sequence[int] = ()) -> list[Run]:
    numbers = range(len(values)) if seeds is None else seeds
    return [
        Run(seed=seed, value=value, disturbed=seed in disturbed) for seed, value in zip(numbers, values, strict=True)
    ]


FAST = (1000.0, 1004.0, 998.0, 1001.0)
SLOW = (898.0, 903.0, 901.0, 899.0, 902.0)


def test_the_ratio_is_welchs_t_on_logs_as_scipy_computes_it() -> None:
    verdict = judge("tokens_per_second", runs(*FAST), runs(*SLOW))

    theirs = stats.ttest_ind(np.log(SLOW), np.log(FAST), equal_var=False)
    interval = np.exp(theirs.confidence_interval(0.95))
    assert verdict.effect is not None
    assert verdict.effect.value == pytest.approx(stats.gmean(SLOW) / stats.gmean(FAST), rel=1e-12)
    assert (verdict.effect.low, verdict.effect.high) == pytest.approx(tuple(interval), rel=1e-9)
    assert verdict.effect.degrees == pytest.approx(theirs.df)
    assert verdict.ruling == "regressed"


def test_losses_are_paired_by_seed_as_scipy_pairs_them() -> None:
    before, after = (2.10, 2.40, 1.90, 2.20), (2.00, 2.31, 1.79, 2.11)

    verdict = judge("final_loss", runs(*before), runs(*after))

    interval = stats.ttest_rel(after, before).confidence_interval(0.95)
    assert verdict.effect is not None
    assert verdict.effect.pairs == 4
    assert (verdict.effect.low, verdict.effect.high) == pytest.approx((interval.low, interval.high))
    assert verdict.ruling == "improved"


def test_a_missing_seed_costs_its_pair_and_no_more() -> None:
    verdict = judge("final_loss", runs(2.1, 2.4, 1.9), runs(2.4, 2.1, seeds=[1, 0]))

    assert verdict.effect is not None
    assert (verdict.effect.pairs, verdict.effect.value) == (2, 0.0)
    assert verdict.left_out == ("seed 2 of the reference alone",)


@pytest.mark.parametrize(
    ("name", "before", "after", "ruling"),
    [
        ("tokens_per_second", FAST, FAST, "equivalent"),
        ("tokens_per_second", (1000, 1100), (1010, 1090), "inconclusive"),
        ("tokens_per_second", (1000, 1000), (1000, 1000), "equivalent"),  # a variance of zero silences nothing
        ("tokens_per_second", (1000, 1000), (900, 900), "regressed"),
        ("tokens_per_second", (1000, 1000), (1100, 1100), "improved"),
        ("step_seconds_p50", (1.0, 1.0), (1.1, 1.1), "regressed"),
        ("peak_host_memory", (1e9, 1e9), (1.05e9, 1.05e9), "regressed"),
        ("peak_allocated", (1e9,), (1.05e9,), "regressed"),
        # Two runs of one cell's host memory lie further apart than its margin in half of all cases.
        ("peak_host_memory", (1e9,), (1.05e9,), "insufficient"),
        ("peak_host_memory", (1e9, 1e9), (1.05e9,), "insufficient"),
        ("peak_host_memory", (1e9,), (1e9,), "insufficient"),
        ("peak_host_memory", (1e9, 1e9), (1.01e9, 1.01e9), "equivalent"),
        ("peak_host_memory", (1e9, 0.9e9), (1.05e9, 0.95e9), "inconclusive"),
        ("peak_host_memory", (1e9, 0.95e9), (1.03e9, 1.06e9), "inconclusive"),  # apart by less than they are wide
        ("peak_host_memory", (1e9, 0.9e9), (1e9, 0.99e9), "inconclusive"),  # as wide as that, alike says little
        ("peak_host_memory", (1e9, 0.99e9), (1e9, 0.9e9), "inconclusive"),
        ("peak_host_memory", (1e9, 0.99e9), (1.01e9, 0.99e9), "equivalent"),
        ("peak_device_memory", (1e9, 0.9e9), (1e9, 0.99e9), "equivalent"),  # nearly deterministic
        ("peak_host_memory", (118e6, 118e6), (146e6, 150e6), "regressed"),
        ("peak_host_memory", (1e9, 0.97e9, 0.98e9), (1.05e9, 1.08e9, 1.07e9), "regressed"),
        ("peak_host_memory", (1e9, 0.999e9), (1.05e9, 1.051e9), "regressed"),
        ("peak_host_memory", (1e9, 1e9), (0.9e9, 0.9e9), "improved"),
        ("reference_memory", (0, 0), (1e9, 1e9), "regressed"),
        ("reference_memory", (0, 0), (0, 0), "equivalent"),
        ("final_loss", (2.0, 2.1), (2.0, 2.1), "equivalent"),
        ("final_loss", (2.0, 2.0), (3.0, 3.0), "regressed"),
        ("final_loss", (2.0, 2.1), (2.0, math.nan), "regressed"),
        ("final_loss", (math.inf, 2.0), (2.0, 2.0), "improved"),
        ("final_loss", (math.nan, 2.0), (math.nan, 2.0), "inconclusive"),
        ("tokens_per_second", FAST, (1000,), "insufficient"),
        ("tokens_per_second", FAST, (math.nan, math.nan, 1000), "insufficient"),
        ("tokens_per_second", (0, 0), (1, 1), "insufficient"),
        ("tokens_per_second", FAST, (), "missing"),
        ("tokens_per_second", (), (), "missing"),
    ],
)
def test_rulings(name: str, before: Sequence[float], after: Sequence[float], ruling: str) -> None:
    verdict = judge(name, runs(*before), runs(*after))

    assert verdict.ruling == ruling
    if ruling in ("insufficient", "missing"):
        assert verdict.effect is None
        assert verdict.why


def test_disturbed_runs_are_left_out_and_named() -> None:
    verdict = judge("tokens_per_second", runs(*FAST), runs(1000.0, 1001.0, 999.0, 500.0, disturbed=[3]))

    assert verdict.ruling == "equivalent"
    assert verdict.left_out == ("1 disturbed of the candidate (seed 3)",)
    assert verdict.values[1] == [1000.0, 1001.0, 999.0]


def test_which_side_is_the_reference_does_not_matter() -> None:
    there, back = (
        judge("tokens_per_second", runs(*FAST), runs(*SLOW)),
        judge("tokens_per_second", runs(*SLOW), runs(*FAST)),
    )

    assert (there.ruling, back.ruling) == ("regressed", "improved")
    assert there.effect is not None
    assert back.effect is not None
    assert there.effect.low * back.effect.high == pytest.approx(1)
    assert there.p == pytest.approx(back.p)


def test_a_margin_of_the_suite_rules_instead_of_the_metrics_own() -> None:
    verdict = judge("tokens_per_second", runs(*FAST), runs(*SLOW), margin=Margin(relative=0.2))

    assert (verdict.ruling, verdict.margin) == ("equivalent", 0.2)


def test_a_metric_without_a_better_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="real_tokens"):
        judge("real_tokens", runs(1, 2), runs(1, 2))
    with pytest.raises(KeyError):
        judge("tokens_per_secnd", runs(1, 2), runs(1, 2))
