"""Effects and claims as people read them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from harness.records.amounts import amount, figure, percent, times
from harness.records.claimed import claimed, measured, runs
from harness.records.claims import ClaimVerdict, Measured
from harness.records.suite import Claim
from harness.records.verdict import Effect

RATE, ACC, MEMORY = "tokens_per_second", "score.a.acc", "peak_reserved"


def ratio(value: float, low: float, high: float) -> Effect:
    return Effect(kind="ratio", value=value, low=low, high=high, n=(3, 3), reference=1.0, how="")


def difference(value: float, low: float, high: float) -> Effect:
    return Effect(kind="difference", value=value, low=low, high=high, n=(3, 3), reference=1.0, how="")


@pytest.mark.parametrize(
    ("name", "effect", "said"),
    [
        (RATE, ratio(0.62, 0.61, 0.63), "−38%"),
        (RATE, ratio(2.31, 2.2, 2.42), "2.31×"),
        (RATE, ratio(1.0, 1.0, 1.0), "0%"),
        (RATE, ratio(1.5, 0.9, 2.5), "+50%"),
        (ACC, difference(-0.019, -0.034, 0.004), "−1.9 pt"),
        (MEMORY, difference(2**30, 0.0, 2.0**31), "+1 GiB"),
        ("final_loss", difference(0.02, 0.01, 0.03), "+0.0200"),
    ],
)
def test_an_effect_is_said_with_its_unit(name: str, effect: Effect, said: str) -> None:
    assert amount(name, effect) == said


def test_shares_have_the_digits_that_mean_something() -> None:
    assert [percent(share) for share in (0.24, -0.032, 0.0012, 0.0, -0.00001, 14.0)] == [
        "+24%",
        "−3.2%",
        "+0.12%",
        "0%",
        "0%",
        "+1,400%",
    ]
    assert percent(math.inf) == "∞"


def test_multiples_and_figures() -> None:
    assert [times(one) for one in (0.0385, 0.385, 1.0, 14.16, 250.0)] == ["0.0385×", "0.385×", "1.00×", "14.2×", "250×"]
    assert figure(RATE, 3324.0) == "3,324 tokens/s"
    assert figure(MEMORY, -(2.0**30), signed=True) == "−1 GiB"


def verdict(
    kind: str, low: float | None, high: float | None, found: Measured | None, metric: str = RATE
) -> ClaimVerdict:
    fields: dict[str, Any] = {"says": "?", "source": "?", "metric": metric, "kind": kind, "low": low, "high": high}
    one = Claim(**fields)
    return ClaimVerdict(claim=one, ruling="confirmed", claimed=claimed(one), measured=found)


@pytest.mark.parametrize(
    ("kind", "low", "high", "metric", "said"),
    [
        ("ratio", 2.0, None, RATE, "at least 2×"),
        ("ratio", None, 0.26, RATE, "at most 0.26×"),
        ("ratio", 1.15, 1.25, RATE, "1.15 to 1.25×"),
        ("ratio", 1.0, 1.0, RATE, "1×"),
        ("difference", None, -0.05, ACC, "at most −5.0 pt"),
        ("value", 3000.0, 4000.0, RATE, "3,000 to 4,000 tokens/s"),
    ],
)
def test_what_was_claimed(kind: str, low: float | None, high: float | None, metric: str, said: str) -> None:
    assert verdict(kind, low, high, None, metric).claimed == said


def test_what_was_measured_stands_beside_it() -> None:
    found = Measured(value=2.31, low=2.2, high=2.42, n=(6, 6), pairs=2, how="")
    one = verdict("ratio", 2.0, None, found)
    assert (measured(one), runs(one)) == ("2.31× [2.20, 2.42]", "6 vs 6 runs in 2 pairs of cells")

    itself = verdict("value", 3000.0, None, Measured(value=3324.0, low=3300.0, high=3350.0, n=(0, 3), pairs=1, how=""))
    assert (measured(itself), runs(itself)) == ("3,324 tokens/s [3,300, 3,350]", "3 runs")

    nothing = verdict("ratio", 2.0, None, None)
    assert (measured(nothing), runs(nothing)) == ("", "")
