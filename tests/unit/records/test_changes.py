"""Changes as they are read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.compare.judging import judge
from harness.records.changes import change_said, detectable_said, figures_of, n_said
from harness.records.verdict import Effect, Run, Verdict

RATIO = Effect(kind="ratio", value=0.898, low=0.89, high=0.906, n=(5, 5), reference=1000, how="", error=0.01, degrees=8)


def verdict(name: str, effect: Effect | None, detectable: float | None = None) -> Verdict:
    return Verdict(metric=name, ruling="inconclusive", better="higher", effect=effect, detectable=detectable)


def difference(value: float, low: float, high: float, reference: float) -> Effect:
    return replace(RATIO, kind="difference", value=value, low=low, high=high, reference=reference)


@pytest.mark.parametrize(
    ("name", "effect", "expected"),
    [
        ("tokens_per_second", RATIO, "−10.2% [−11.0, −9.4]"),
        ("tokens_per_second", replace(RATIO, value=1.0, low=0.9995, high=1.0005), "0.00% [−0.05, 0.05]"),
        ("tokens_per_second", replace(RATIO, value=2.31, low=2.28, high=2.34), "2.31× [2.28, 2.34]"),
        ("tokens_per_second", replace(RATIO, value=0.3, low=0.28, high=0.32), "−70.0% [−72.0, −68.0]"),
        ("peak_host_memory", replace(RATIO, value=1.05, low=1.05, high=1.05), "+5.0%"),
        ("score.x.acc", difference(0.027, 0.012, 0.042, 0.9), "+2.7 pt [1.2, 4.2]"),
        ("score.x.word_perplexity", difference(-1.5, -2.25, -0.75, 20), "−1.5 [−2.2, −0.8]"),
        ("final_loss", difference(-0.012, -0.02, -0.004, 1.2), "−0.012 [−0.020, −0.004]"),
        ("padding_share", difference(0.1, 0.1, 0.1, 0.3), "+10.0 pt"),
        ("peak_host_memory", difference(2.0**30, 2.0**30, 2.0**30, 0), "+1,024.0 MiB"),
        ("tokens_per_second", None, "–"),
    ],
)
def test_the_change_with_its_interval(name: str, effect: Effect | None, expected: str) -> None:
    assert change_said(verdict(name, effect)) == expected


def test_what_could_be_seen_is_in_the_form_of_the_change() -> None:
    assert detectable_said(verdict("tokens_per_second", RATIO, 0.0213)) == "2.1%"
    assert detectable_said(verdict("tokens_per_second", RATIO, 0.0056)) == "0.56%"
    assert detectable_said(verdict("score.x.acc", difference(0.01, 0, 0.02, 0.5), 0.034)) == "3.4 pt"
    assert detectable_said(verdict("score.x.acc", difference(0.01, 0, 0.02, 0.5), 1.56)) == ">100 pt"
    assert detectable_said(verdict("peak_host_memory", RATIO)) == "–"


def test_the_two_figures_are_those_the_change_is_between() -> None:
    runs = [[Run(seed=seed, value=value) for seed, value in enumerate(values)] for values in ([100, 400], [50, 200])]
    found = judge("tokens_per_second", *runs)

    before, after = figures_of(found)
    assert before == pytest.approx(200)
    assert after == pytest.approx(100)
    assert n_said(found) == "2"


def test_too_few_runs_show_the_change_of_means_without_an_interval() -> None:
    found = judge("tokens_per_second", [Run(seed=0, value=100.0)], [Run(seed=0, value=110.0), Run(seed=1, value=120.0)])

    # of geometric means, as where there are enough
    assert (found.ruling, change_said(found), detectable_said(found)) == ("insufficient", "+14.9%", "–")


def test_a_side_without_a_figure_has_none() -> None:
    found = judge("tokens_per_second", [], [Run(seed=0, value=5.0)])

    assert figures_of(found) == (None, 5.0)
    assert change_said(found) == "–"
    assert n_said(found) == "0|1"
