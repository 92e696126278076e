"""How often verdicts are wrong, by simulation: seeded, so that a change of the arithmetic shows and chance does not."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from harness.compare.judging import corrected, judge
from harness.records.metrics import Margin
from harness.records.verdict import Run, Verdict

CV = 0.005
"""How much the throughput of whole runs varies on a quiet machine: half a percent."""


def verdicts(
    n: tuple[int, int], change: float, times: int, *, metric: str = "tokens_per_second", cv: float = CV, seed: int = 0
) -> Iterator[Verdict]:
    """Verdicts on made-up runs whose true change is known; runs vary by factors."""
    random = np.random.default_rng(seed)
    before = 1000 * np.exp(random.normal(0, cv, (times, n[0])))
    after = 1000 * (1 + change) * np.exp(random.normal(0, cv, (times, n[1])))
    for one, other in zip(before.tolist(), after.tolist(), strict=True):
        yield judge(
            metric,
            [Run(seed=number, value=value) for number, value in enumerate(one)],
            [Run(seed=number + 100, value=value) for number, value in enumerate(other)],
        )


def rulings(*args: object, **kwargs: object) -> dict[str, float]:
    found = Counter(verdict.ruling for verdict in verdicts(*args, **kwargs))  # type: ignore[arg-type]
    return {ruling: count / found.total() for ruling, count in found.items()}


@pytest.mark.parametrize("n", [(2, 2), (2, 5), (3, 3), (5, 5), (10, 10), (20, 20)])
@pytest.mark.parametrize(
    "change", [0.0, -0.0099]
)  # none, and just within the margin: the hardest that is no regression
def test_nothing_that_is_no_regression_is_called_one(n: tuple[int, int], change: float) -> None:
    assert rulings(n, change, 3000).get("regressed", 0) <= 0.05


@pytest.mark.parametrize("n", [(2, 2), (2, 5), (3, 3), (5, 5)])
@pytest.mark.parametrize("cv", [0.005, 0.015, 0.03, 0.1])
def test_memory_that_varies_is_not_taken_for_deterministic(n: tuple[int, int], cv: float) -> None:
    assert rulings(n, 0.0, 2000, metric="peak_device_memory", cv=cv).get("regressed", 0) <= 0.055  # 1 in 20, and chance


@pytest.mark.parametrize("n", [(3, 3), (5, 5), (4, 8), (10, 10), (20, 20)])
def test_intervals_hold_the_truth_as_often_as_they_say(n: tuple[int, int]) -> None:
    found = [verdict.effect for verdict in verdicts(n, -0.03, 4000, cv=0.02, seed=1)]

    held = np.mean([effect is not None and effect.low <= 0.97 <= effect.high for effect in found])

    assert 0.93 <= held <= 0.97


def test_intervals_of_two_runs_a_side_hold_the_truth_more_often_than_they_say() -> None:
    """Welch and Satterthwaite's degrees of freedom err to the safe side there: 97.7%, not 95%."""
    found = [verdict.effect for verdict in verdicts((2, 2), -0.03, 4000, seed=2)]

    held = np.mean([effect is not None and effect.low <= 0.97 <= effect.high for effect in found])

    assert 0.95 <= held <= 0.99


def test_three_percent_less_throughput_is_found_by_five_runs_a_side() -> None:
    assert rulings((5, 5), -0.03, 3000)["regressed"] >= 0.95


def test_a_change_as_large_as_is_said_to_be_detectable_is_detected_four_times_in_five() -> None:
    smallest = statistics.median(verdict.detectable or 0.0 for verdict in verdicts((5, 5), 0.0, 2000))

    assert 0.75 <= rulings((5, 5), smallest, 4000, seed=3)["improved"] <= 0.87


def test_pairs_by_seed_find_what_sides_apart_do_not() -> None:
    """Seeds differ by far more than the change; within a seed they do not."""
    random = np.random.default_rng(4)
    paired = apart = 0
    for _ in range(500):
        seeds = random.normal(2.0, 0.2, 5)
        before, after = seeds + random.normal(0, 0.005, 5), seeds - 0.05 + random.normal(0, 0.005, 5)
        one = [Run(seed=number, value=float(value)) for number, value in enumerate(before)]
        same = [Run(seed=number, value=float(value)) for number, value in enumerate(after)]
        others = [Run(seed=run.seed + 100, value=run.value) for run in same]
        margin = Margin(relative=0.005)
        paired += judge("final_loss", one, same, margin=margin).ruling == "improved"
        apart += judge("final_loss", one, others, margin=margin).ruling == "improved"

    assert paired >= 0.95 * 500
    assert apart <= 0.1 * 500


def test_false_findings_among_many_are_rare_and_true_ones_stay() -> None:
    """500 figures that did not change, just within the margin, and one that lost 10%."""
    kept = false = 0
    for seed in range(10):
        found = [*verdicts((5, 5), -0.0099, 500, seed=seed), *verdicts((5, 5), -0.10, 1, seed=seed)]
        after = corrected(found)
        false += sum(verdict.ruling == "regressed" for verdict in after[:-1])
        kept += after[-1].ruling == "regressed"

    assert kept == 10
    assert false <= 2
    assert sum(verdict.ruling == "regressed" for verdict in found[:-1]) > 2  # without a correction there are some


def test_runs_that_repeat_to_the_last_digit_are_judged_all_the_same() -> None:
    found = list(verdicts((3, 3), -0.03, 5, cv=0.0))

    assert {verdict.ruling for verdict in found} == {"regressed"}
    assert {verdict.p for verdict in found} == {0.0}
    assert {verdict.ruling for verdict in verdicts((3, 3), 0.0, 5, cv=0.0)} == {"equivalent"}


def test_the_point_is_what_hyperfine_says_and_the_ruling_what_google_benchmark_says() -> None:
    """hyperfine: the ratio of means, its deviation propagated as `r · √((σx/x)² + (σy/y)²)` (src/benchmark/
    relative_speed.rs). google/benchmark: Mann-Whitney U, significant below 0.05 (tools/gbench/report.py).
    """
    from scipy.stats import mannwhitneyu

    before = np.array([1.021, 1.013, 1.044, 1.018, 1.029, 1.022, 1.035, 1.011, 1.027])
    after = np.array([1.131, 1.128, 1.152, 1.120, 1.139, 1.126, 1.144, 1.133, 1.118])
    theirs = after.mean() / before.mean()
    deviation = theirs * np.hypot(before.std(ddof=1) / before.mean(), after.std(ddof=1) / after.mean())

    verdict = judge(
        "step_seconds_p50",
        [Run(seed=number, value=value) for number, value in enumerate(before.tolist())],
        [Run(seed=number, value=value) for number, value in enumerate(after.tolist())],
    )

    assert verdict.effect is not None
    assert verdict.effect.value == pytest.approx(theirs, rel=1e-3)
    assert theirs - deviation < verdict.effect.low < verdict.effect.high < theirs + deviation
    assert (verdict.ruling, mannwhitneyu(before, after).pvalue < 0.05) == ("regressed", True)
