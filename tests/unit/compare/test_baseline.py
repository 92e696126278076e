"""Cells beside the baseline: what is compared with what, and what the headline says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pytest

from harness.compare import answer
from harness.records.metrics import Margin
from harness.records.plan import Plan
from harness.records.results import Answer, SuiteResults
from harness.records.suite import Decide, Selector
from tests.unit.compare.made import ACC, cell, plan, result, results, suite

Figures = Mapping[str, Sequence[float]]


def answered(figures: Mapping[str, Figures], baseline: Sequence[str], *, decide: Decide | None = None) -> Answer:
    """The answer to `made_of`."""
    made, found = made_of(figures, baseline, decide=decide)
    return answer(found, made)


def made_of(
    figures: Mapping[str, Figures], baseline: Sequence[str], *, decide: Decide | None = None
) -> tuple[Plan, SuiteResults]:
    """Cells named `<method>-<weights>` on two axes; their figures by metric, one per seed."""
    cells = [
        dataclasses.replace(cell(name), levels={"recipe": name.partition("-")[0], "weights": name.partition("-")[2]})
        for name in figures
    ]
    seeds = max(len(values) for metrics in figures.values() for values in metrics.values())
    made = with_baseline(plan(cells, of=suite(decide=decide), seeds=seeds), baseline)
    found = [
        result(trial, {metric: values[trial.seed] for metric, values in figures[trial.cell.name].items()})
        for trial in made.trials
        if all(len(values) > trial.seed for values in figures[trial.cell.name].values())
    ]
    return made, results(found)


def with_baseline(made: Plan, names: Sequence[str]) -> Plan:
    chosen = tuple(one.id for one in made.cells if one.name in names)
    said = made.suite.model_copy(update={"baseline": Selector(levels={"recipe": ("sft",)})})
    return dataclasses.replace(made, suite=said, baseline=chosen)


def test_each_figure_of_a_cell_gets_a_verdict_beside_the_baselines() -> None:
    got = answered(
        {
            "sft-full": {ACC: [0.90, 0.92], "tokens_per_second": [1000, 1001], "final_loss": [1.0, 1.0]},
            "sft-lora": {ACC: [0.95, 0.97], "tokens_per_second": [1500, 1501], "final_loss": [0.5, 0.5]},
            "dpo-full": {ACC: [0.80], "tokens_per_second": [500], "final_loss": [0.1]},
        },
        ["sft-full"],
    )

    assert got.baseline == ("sft-full",)
    lora, dpo = got.against
    assert [(row.candidate, row.reference) for row in (lora, dpo)] == [
        ("sft-lora", "sft-full"),
        ("dpo-full", "sft-full"),
    ]
    assert {name: verdict.ruling for name, verdict in lora.verdicts.items()} == {
        ACC: "improved",
        "tokens_per_second": "improved",
    }
    assert {verdict.ruling for verdict in dpo.verdicts.values()} == {"insufficient"}
    assert dpo.outcomes == ({"ok": 2}, {"ok": 1, "missing": 1})


def test_the_suites_margins_are_what_verdicts_clear() -> None:
    figures: Mapping[str, Figures] = {
        "sft-full": {"tokens_per_second": [1000, 1001]},
        "dpo-full": {"tokens_per_second": [1100, 1101]},
    }
    made, found = made_of(figures, ["sft-full"])
    wide = made.suite.model_copy(update={"margins": {"tokens_per_second": Margin(relative=0.2)}})

    (usual,) = answer(found, made).against
    (forgiving,) = answer(found, dataclasses.replace(made, suite=wide)).against

    assert usual.verdicts["tokens_per_second"].ruling == "improved"
    assert forgiving.verdicts["tokens_per_second"].ruling == "equivalent"


def test_what_may_be_chance_in_a_large_matrix_is_not_found() -> None:
    usual, faster = [1000.0, 1010.0, 991.0], [1050.0, 1060.0, 1040.0]
    few: dict[str, Figures] = {
        f"c{number}-x": {"tokens_per_second": faster if number == 1 else usual} for number in range(2)
    }
    many: dict[str, Figures] = few | {f"c{number}-x": {"tokens_per_second": usual} for number in range(2, 40)}

    alone, among = (answered(figures, ["c0-x"]).against[0].verdicts["tokens_per_second"] for figures in (few, many))

    headline = answered(many, ["c0-x"], decide=Decide(maximise="tokens_per_second")).headline
    assert "inconclusive (seen, but with so many figures asked at once it may be chance)." in headline
    assert "would show reliably" not in headline
    assert alone.ruling == "improved"
    assert among.ruling == "inconclusive"
    assert "among 39 figures at once it may be chance" in among.why


def test_a_goal_that_asks_for_less_of_what_is_usually_better_turns_the_verdict() -> None:
    got = answered(
        {"sft-full": {"tokens_per_second": [1000, 1001]}, "dpo-full": {"tokens_per_second": [1500, 1501]}},
        ["sft-full"],
        decide=Decide(minimise="tokens_per_second"),
    )

    assert got.against[0].verdicts["tokens_per_second"].ruling == "regressed"


def test_no_baseline_compares_nothing() -> None:
    got = answered({"sft-full": {ACC: [0.9, 0.9]}, "dpo-full": {ACC: [0.8, 0.8]}}, [])

    assert (got.baseline, got.against) == ((), ())


def test_of_several_baseline_cells_the_one_that_differs_least_is_taken() -> None:
    names = ("sft-full", "sft-lora", "dpo-full", "dpo-lora", "orpo-other")

    got = answered({name: {ACC: [0.9, 0.9]} for name in names}, ["sft-full", "sft-lora"])

    assert {row.candidate: row.reference for row in got.against} == {
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

    assert lora.verdicts["final_loss"].ruling == "improved"
    assert dpo.verdicts == {}


def test_the_headline_sets_the_winner_beside_the_baseline_with_the_verdict() -> None:
    got = answered({"sft-full": {ACC: [0.90, 0.90]}, "dpo-full": {ACC: [0.95, 0.95]}}, ["sft-full"])

    assert got.headline.startswith(
        "dpo-full scores 0.950 ± 0.000 on arithmetic_mc (acc), +0.050 over sft-full. "
        "Against the baseline, sft-full: +5.0 pt, improved."
    )


def test_the_headline_says_ratios_of_costs_and_what_could_have_been_seen() -> None:
    got = answered(
        {"sft-full": {"train_seconds": [10, 12]}, "dpo-full": {"train_seconds": [8, 11]}},
        ["sft-full"],
        decide=Decide(minimise="train_seconds"),
    )

    assert "Against the baseline, sft-full: train time −14.4% [" in got.headline
    assert "inconclusive (asked for alone, only a change of " in got.headline


def test_the_headline_claims_nothing_from_one_seed() -> None:
    got = answered({"sft-full": {ACC: [0.90]}, "dpo-full": {ACC: [0.95]}}, ["sft-full"])

    assert "Against the baseline, sft-full: +5.0 pt, with too few seeds for a verdict." in got.headline


@pytest.mark.parametrize(
    ("name", "said"), [("train_seconds", "train time −20.0%"), ("final_loss", "final loss −2.000")]
)
def test_the_headline_names_what_changed_from_one_seed_too(name: str, said: str) -> None:
    cells = {"dpo-full": {name: [10]}, "dpo-lora": {name: [8]}}
    got = answered(cells, ["dpo-full"], decide=Decide(minimise=name))

    assert f"Against the baseline, dpo-full: {said}, with too few seeds for a verdict." in got.headline


@pytest.mark.parametrize(
    ("quiet", "who"),
    [((), "dpo-full or sft-full"), (("sft-full-s0", "sft-full-s1"), "dpo-full"), (("dpo-full-s0",), "sft-full")],
)
def test_the_headline_names_whose_runs_do_not_count(quiet: tuple[str, ...], who: str) -> None:
    figures = {"sft-full": {"train_seconds": [10, 12]}, "dpo-full": {"train_seconds": [8, 9]}}
    made, found = made_of(figures, ["sft-full"], decide=Decide(minimise="train_seconds"))
    trials = [one if one.name in quiet else dataclasses.replace(one, disturbed=("others",)) for one in found.trials]

    got = answer(dataclasses.replace(found, trials=tuple(trials)), made)

    assert f"Against the baseline, sft-full: no verdict, since no run of {who} counts." in got.headline


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
    assert [{verdict.ruling for verdict in row.verdicts.values()} for row in got.against] == [{"missing"}]
    assert "baseline" not in got.headline
