"""Cells beside the baseline: what is compared with what, and how it is said."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.compare import answer
from harness.compare.baseline import change
from harness.compare.summary import spread
from harness.records.figures import changed
from harness.records.plan import Plan
from harness.records.results import Answer, Change
from harness.records.suite import Decide, Selector
from tests.unit.compare.made import ACC, cell, plan, result, results, suite

Figures = Mapping[str, Sequence[float]]


def answered(figures: Mapping[str, Figures], baseline: Sequence[str], *, decide: Decide | None = None) -> Answer:
    """Cells named `<method>-<weights>` on two axes; their figures by metric, one per seed."""
    cells = [
        dataclasses.replace(cell(name), levels={"recipe": name.partition("-")[0], "weights": name.partition("-")[2]})
        for name in figures
    ]
    made = with_baseline(plan(cells, of=suite(decide=decide)), baseline)
    found = [
        result(trial, {metric: values[trial.seed] for metric, values in figures[trial.cell.name].items()})
        for trial in made.trials
        if all(len(values) > trial.seed for values in figures[trial.cell.name].values())
    ]
    return answer(results(found), made)


def with_baseline(made: Plan, names: Sequence[str]) -> Plan:
    chosen = tuple(one.id for one in made.cells if one.name in names)
    said = made.suite.model_copy(update={"baseline": Selector(levels={"recipe": ("sft",)})})
    return dataclasses.replace(made, suite=said, baseline=chosen)


def test_scores_differ_in_points_and_costs_in_ratios() -> None:
    got = answered(
        {
            "sft-full": {ACC: [0.90, 0.92], "tokens_per_second": [1000, 1000], "final_loss": [1.0, 1.0]},
            "sft-lora": {ACC: [0.95, 0.97], "tokens_per_second": [1500], "final_loss": [0.5, 0.5]},
            "dpo-full": {ACC: [0.80], "tokens_per_second": [500], "final_loss": [0.1]},
        },
        ["sft-full"],
    )

    assert got.baseline == ("sft-full",)
    assert [(row.cell, row.baseline) for row in got.against] == [("sft-lora", "sft-full"), ("dpo-full", "sft-full")]
    (_, dpo) = got.against
    assert dpo.seeds == (1, 2)
    assert dpo.changes[ACC].value == pytest.approx(-11.0)
    assert (dpo.changes[ACC].kind, dpo.changes[ACC].n, dpo.changes[ACC].baseline_n) == ("points", 1, 2)
    assert dpo.changes["tokens_per_second"] == Change(kind="ratio", value=0.5, n=1, baseline_n=2)
    assert "final_loss" not in dpo.changes


def test_no_baseline_compares_nothing() -> None:
    got = answered({"sft-full": {ACC: [0.9, 0.9]}, "dpo-full": {ACC: [0.8, 0.8]}}, [])

    assert (got.baseline, got.against) == ((), ())


def test_of_several_baseline_cells_the_one_that_differs_least_is_taken() -> None:
    names = ("sft-full", "sft-lora", "dpo-full", "dpo-lora", "orpo-other")

    got = answered({name: {ACC: [0.9, 0.9]} for name in names}, ["sft-full", "sft-lora"])

    assert {row.cell: row.baseline for row in got.against} == {
        "dpo-full": "sft-full",
        "dpo-lora": "sft-lora",
        "orpo-other": "sft-full",  # both differ on both axes: the first
    }


def test_losses_are_compared_within_a_method_and_only_as_the_goal() -> None:
    figures: Mapping[str, Figures] = {
        "sft-full": {"final_loss": [1.0, 1.0]},
        "sft-lora": {"final_loss": [0.75, 0.75]},
        "dpo-full": {"final_loss": [0.1, 0.1]},
    }

    (lora, dpo) = answered(figures, ["sft-full"], decide=Decide(minimise="final_loss")).against

    assert lora.changes == {"final_loss": Change(kind="difference", value=-0.25, n=2, baseline_n=2)}
    assert dpo.changes == {}


@given(st.floats(0.01, 1e6), st.floats(0.01, 1e6))
def test_a_ratio_is_of_the_means(mine: float, its: float) -> None:
    found = change("train_seconds", spread([mine, mine]), spread([its]))

    assert found is not None
    assert found.kind == "ratio"
    assert found.value * its == pytest.approx(mine)


@pytest.mark.parametrize(
    ("name", "mine", "its"),
    [
        (ACC, math.nan, 0.5),
        ("train_seconds", 1.0, math.inf),
        ("peak_host_memory", 1.0, 0.0),
    ],
)
def test_what_cannot_be_compared_is_left_out(name: str, mine: float, its: float) -> None:
    assert change(name, spread([mine]), spread([its])) is None


def test_scores_beyond_one_are_in_their_own_unit() -> None:
    found = change("score.wiki.perplexity", spread([30.0]), spread([20.0]))

    assert found == Change(kind="difference", value=10.0, n=1, baseline_n=1)


@pytest.mark.parametrize(
    ("name", "kind", "value", "expected"),
    [
        (ACC, "points", 1.24, "+1.2 points"),
        (ACC, "points", -0.8, "−0.8 points"),
        (ACC, "points", 0.004, "0.0 points"),
        (ACC, "points", -0.004, "0.0 points"),
        ("tokens_per_second", "ratio", 1.0, "1.00×"),
        ("tokens_per_second", "ratio", 0.934, "0.93×"),
        ("tokens_per_second", "ratio", 0.0123, "0.0123×"),
        ("tokens_per_second", "ratio", 12.34, "12.3×"),
        ("final_loss", "difference", -0.25, "−0.250"),
        ("final_loss", "difference", 2.5, "+2.50"),
        ("final_loss", "difference", 0.0, "0.00"),
    ],
)
def test_changes_as_they_are_read(name: str, kind: str, value: float, expected: str) -> None:
    made = dataclasses.replace(Change(kind="points", value=value, n=2, baseline_n=2), kind=kind)  # type: ignore[arg-type]

    assert changed(name, made) == expected


def test_the_headline_sets_the_winner_beside_the_baseline() -> None:
    got = answered({"sft-full": {ACC: [0.90, 0.90]}, "dpo-full": {ACC: [0.95, 0.95]}}, ["sft-full"])

    assert got.headline.startswith(
        "dpo-full scores 0.950 ± 0.000 on arithmetic_mc (acc), +0.050 over sft-full. "
        "That is +5.0 points against the baseline, sft-full."
    )


def test_the_headline_says_ratios_of_costs() -> None:
    got = answered(
        {"sft-full": {"train_seconds": [10, 10]}, "dpo-full": {"train_seconds": [5, 5]}},
        ["sft-full"],
        decide=Decide(minimise="train_seconds"),
    )

    assert "That is 0.50× the train time of the baseline, sft-full." in got.headline


def test_a_baseline_that_wins_is_said_to_be_it() -> None:
    got = answered({"sft-full": {ACC: [0.99, 0.99]}, "dpo-full": {ACC: [0.95, 0.95]}}, ["sft-full"])

    assert "over dpo-full. sft-full is the baseline." in got.headline


def test_a_baseline_that_was_not_chosen_is_found() -> None:
    got = answered({"dpo-full": {ACC: [0.95, 0.95]}}, ["sft-full"])

    assert "The baseline is not among the chosen trials: nothing is compared with it." in got.findings


def test_a_baseline_without_figures_is_found() -> None:
    made = with_baseline(plan([cell("sft"), cell("dpo")]), ["sft"])
    found = results([result(trial, {ACC: 0.9}) for trial in made.trials if trial.cell.name == "dpo"])

    got = answer(found, made)

    assert "No figures of the baseline: sft; nothing is compared with it." in got.findings
    assert [dict(row.changes) for row in got.against] == [{}]
    assert "baseline" not in got.headline
