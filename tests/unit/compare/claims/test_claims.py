"""Verdicts on claims, on figures made by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.compare.claims import claims_of
from harness.records.claims import ClaimVerdict, Device
from harness.records.plan import Plan, PlannedClaim
from harness.records.results import TrialResult
from harness.records.suite import Claim, Needs
from tests.unit.compare.made import cell, plan, result

RATE = "tokens_per_second"
A100 = {"name": "NVIDIA A100-SXM4-80GB", "memory_bytes": 85 * 10**9}
PLAIN, PACKED = [100.0, 101.0, 99.5], [210.0, 212.0, 209.0]


def claim(**changes: Any) -> Claim:
    fields: dict[str, Any] = {"says": "?", "source": "?", "metric": RATE, "kind": "ratio", "axis": "rows", "low": 2.0}
    return Claim(**(fields | changes))


def told(
    one: Claim,
    *pairs: tuple[Sequence[float], Sequence[float]],
    change: Mapping[str, Mapping[str, Any]] | None = None,
    environments: Mapping[str, Mapping[str, Any]] | None = None,
    devices: Sequence[Device] | None = None,
    **planned: Any,
) -> ClaimVerdict:
    """The verdict where pair k has these runs; `change`: of trials by name. Cells are called before0, after0, …"""
    values = {
        f"{side}{k}": runs for k, pair in enumerate(pairs) for side, runs in zip(("before", "after"), pair, strict=True)
    }
    cells = [cell(name) for name in values]
    made = plan(cells, seeds=max((len(runs) for runs in values.values()), default=1))
    trials: list[TrialResult] = []
    for trial in made.trials:
        runs = values[trial.cell.name]
        if trial.seed < len(runs):
            changes = dict((change or {}).get(trial.name, {}))
            trials.append(result(trial, changes.pop("metrics", {one.metric: runs[trial.seed]}), **changes))
    ids = tuple((f"before{k}-id", f"after{k}-id") for k in range(len(pairs)))
    whole: Plan = dataclasses.replace(made, claims=(PlannedClaim(claim=one, pairs=ids, **planned),))
    (verdict,) = claims_of(whole, trials, environments or {}, devices=devices)
    return verdict


@pytest.mark.parametrize(
    ("low", "high", "ruling"),
    [
        (2.0, None, "confirmed"),
        (2.5, None, "refuted"),
        (2.1, None, "inconclusive"),
        (None, 2.5, "confirmed"),
        (None, 1.5, "refuted"),
        (2.0, 2.2, "confirmed"),
        (1.0, 1.9, "refuted"),
        (2.11, 4.0, "inconclusive"),
    ],
)
def test_the_whole_interval_is_what_counts(low: float | None, high: float | None, ruling: str) -> None:
    verdict = told(claim(low=low, high=high), (PLAIN, PACKED))

    assert verdict.ruling == ruling
    assert verdict.measured is not None
    assert verdict.measured.n == (3, 3)
    welch = stats.ttest_ind(np.log(PACKED), np.log(PLAIN), equal_var=False).confidence_interval()
    assert (verdict.measured.low, verdict.measured.high) == pytest.approx((math.exp(welch.low), math.exp(welch.high)))


def test_several_pairs_are_their_mean_with_the_errors_of_each() -> None:
    other = ([50.0, 51.0, 50.5], [120.0, 118.0, 125.0])
    verdict = told(claim(), (PLAIN, PACKED), other)

    logs = [[np.log(side) for side in pair] for pair in ((PLAIN, PACKED), other)]
    mean = np.mean([after.mean() - before.mean() for before, after in logs])
    parts = [(np.var(side, ddof=1) / len(side)) for pair in logs for side in pair]
    error = math.sqrt(sum(parts)) / 2
    assert verdict.ruling == "confirmed"
    assert verdict.measured is not None
    assert (verdict.measured.pairs, verdict.measured.n) == (2, (6, 6))
    assert verdict.measured.value == pytest.approx(math.exp(mean))
    # Welch & Satterthwaite over all four variances at once is the same as over the pairs' own degrees of freedom.
    degrees = sum(parts) ** 2 / sum(part**2 / 2 for part in parts)
    half = stats.t.ppf(0.975, degrees) * error
    assert verdict.measured.high == pytest.approx(math.exp(mean + half))


def test_what_one_pair_refutes_is_not_confirmed() -> None:
    verdict = told(claim(low=1.5), (PLAIN, [400.0, 401.0, 399.0]), (PLAIN, [110.0, 111.0, 110.0]))

    assert verdict.ruling == "inconclusive"
    assert verdict.why == "so it is on average, yet 1 of 2 pairs of cells refute it"


def test_memory_is_exact_and_one_run_is_enough() -> None:
    state = claim(metric="optimizer_memory", low=None, high=0.26)

    assert told(state, ([8e6], [2e6])).ruling == "confirmed"
    assert told(state, ([8e6], [4e6])).ruling == "refuted"
    assert told(state, ([8e6], [2e6]), ([8e6], [4e6])).ruling == "inconclusive"
    assert (
        told(claim(metric="optimizer_memory", low=None, high=-5e6, kind="difference"), ([8e6], [2e6])).ruling
        == "confirmed"
    )


def test_a_figure_itself_is_held_against_its_bounds() -> None:
    one = claim(kind="value", axis=None, low=190.0, high=230.0)
    verdict = told(one, (PLAIN, PACKED))

    assert verdict.ruling == "confirmed"
    assert verdict.measured is not None
    assert verdict.measured.n == (0, 3)
    low, high = stats.t.interval(0.95, 2, np.mean(np.log(PACKED)), stats.sem(np.log(PACKED)))
    assert (verdict.measured.low, verdict.measured.high) == pytest.approx((math.exp(low), math.exp(high)))


def test_a_loss_is_paired_by_seed() -> None:
    one = claim(metric="final_loss", kind="difference", low=None, high=-0.05)
    verdict = told(one, ([2.0, 2.5, 1.5], [1.9, 2.41, 1.39]))

    assert verdict.ruling == "confirmed"
    assert verdict.measured is not None
    assert verdict.measured.how == "paired t over seeds"


def test_one_run_a_side_says_nothing_of_chance() -> None:
    verdict = told(claim(), ([100.0], [300.0]))

    assert (verdict.ruling, verdict.measured) == ("inconclusive", None)
    assert "an interval takes 2 runs a side" in verdict.why


def test_disturbed_and_odd_runs_are_left_out_and_told() -> None:
    change: dict[str, dict[str, Any]] = {
        "before0-s0": {"disturbed": ("shared",), "metrics": {RATE: 1e9}},
        "after0-s1": {"metrics": {RATE: math.nan}},
    }
    verdict = told(claim(), ([1.0, 100.0, 101.0], [210.0, 1.0, 211.0]), change=change)

    assert verdict.ruling == "confirmed"
    assert verdict.left_out == ("1 disturbed of before0", "1 not finite of after0")


def test_runs_that_were_all_disturbed_leave_it_untested() -> None:
    change = {f"{side}0-s{seed}": {"disturbed": ("shared",)} for side in ("before", "after") for seed in range(3)}
    verdict = told(claim(), (PLAIN, PACKED), change=change)

    assert (verdict.ruling, verdict.measured) == ("untested", None)
    again = "harness run suites/quick.yaml --retry disturbed measures them again"
    assert verdict.why == f"no run of before0 and after0 counts; {again}"
    assert verdict.left_out == ("3 disturbed of before0", "3 disturbed of after0")


def test_trials_that_ended_badly_leave_it_untested() -> None:
    gone: dict[str, Any] = {"outcome": "oom", "metrics": {}}
    change = {f"{side}0-s{seed}": gone for side in ("before", "after") for seed in range(2)}
    verdict = told(claim(), ([1.0, 1.0], [1.0, 1.0]), change=change)

    assert (verdict.ruling, verdict.why) == ("untested", "none of its trials ended well (4 oom)")


def test_one_side_without_the_figure_is_named() -> None:
    change = {f"after0-s{seed}": {"outcome": "oom", "metrics": {}} for seed in range(3)}
    verdict = told(claim(), (PLAIN, PACKED), change=change)

    assert (verdict.ruling, verdict.why) == ("untested", "no tokens/s of after0")


def test_what_never_ran_is_untested() -> None:
    change: dict[str, dict[str, Any]] = {
        f"{side}0-s{seed}": {"outcome": None, "metrics": {}} for side in ("before", "after") for seed in range(3)
    }

    assert told(claim(), (PLAIN, PACKED), change=change).why == "not run yet"
    assert told(claim(), lacking="train.optim needs x, which is not installed here").why.startswith(
        "train.optim needs x"
    )
    verdict = told(claim(needs=Needs(device="cuda")), (PLAIN, PACKED), change=change, devices=[])
    assert (verdict.ruling, verdict.why) == ("untested", "it needs a CUDA GPU, and here there is no GPU")


@pytest.mark.parametrize(
    ("needs", "ruling", "why"),
    [
        (Needs(device="cuda"), "confirmed", ""),
        (Needs(device="A100", device_memory="80 GB"), "confirmed", ""),
        (Needs(device="H200"), "untested", "it needs a GPU called H200, and was run on NVIDIA A100-SXM4-80GB"),
        (
            Needs(device_memory="141 GB"),
            "untested",
            "it needs a CUDA GPU with 131 GiB, and was run on NVIDIA A100-SXM4-80GB",
        ),
    ],
)
def test_a_claim_about_a_device_wants_that_device(needs: Needs, ruling: str, why: str) -> None:
    verdict = told(claim(needs=needs), (PLAIN, PACKED), environments={"e1": {"device": A100}})

    assert (verdict.ruling, verdict.why) == (ruling, why)


def test_a_claim_about_a_gpu_is_not_tested_without_one() -> None:
    verdict = told(claim(needs=Needs(device="cuda")), (PLAIN, PACKED), environments={"e1": {"device": None}})

    assert (verdict.ruling, verdict.why) == ("untested", "it needs a CUDA GPU, and was run on a machine without GPU")


def test_nothing_is_a_multiple_of_nothing() -> None:
    verdict = told(claim(metric="reference_memory"), ([0.0, 0.0], [4e6, 4e6]))

    assert verdict.ruling == "untested"
    assert "nothing is a multiple of nothing" in verdict.why
