from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.compare import answer
from harness.records.results import Answer
from harness.records.suite import Decide
from tests.unit.compare.made import ACC, cell, figures_of, plan, result, results, suite, whole

GIB = 2**30


def test_the_whole_answer_of_something_like_the_quickstart() -> None:
    made, found = whole()

    got = answer(found, made)

    assert [row.name for row in got.cells][:3] == ["floor", "base", "sft"]
    assert got.columns == (
        ACC,
        "final_reward_margin",
        "final_loss",
        "tokens_per_second",
        "peak_host_memory",
        "train_seconds",
        "startup_seconds",
    )
    assert got.best[ACC] == ("dpo",)
    assert got.decision is not None
    assert (got.decision.winner, got.decision.runner_up) == ("dpo", "dpo-lora8")
    assert got.headline.startswith("dpo scores 0.985 ± 0.008 on arithmetic_mc (acc; floor 0.259; stage base 0.925)")
    assert (got.question, got.suite_file) == ("SFT, DPO or ORPO?", "suites/quick.yaml")
    assert len(got.trials) == len(made.trials)
    assert len(got.curves) == len(found.curves)
    assert [item.name for item in got.excluded] == ["dpo-packing"]


@pytest.mark.parametrize(
    ("values", "winner", "runner_up", "clear"),
    [
        ({"a": [0.90, 0.91], "b": [0.80, 0.81]}, "a", "b", True),
        ({"a": [0.90, 0.80], "b": [0.84, 0.80]}, "a", "b", False),
        ({"a": [0.80, 0.81], "b": [0.90, 0.91], "c": [0.85, 0.86]}, "b", "c", True),
        ({"a": [0.9], "b": [0.1]}, "a", "b", False),  # one seed tells nothing of chance
        ({"a": [0.9, 0.91], "b": [0.1]}, "a", "b", False),
        ({"a": [0.9, 0.9]}, "a", None, False),
    ],
)
def test_the_decision(values: dict[str, list[float]], winner: str, runner_up: str | None, clear: bool) -> None:
    made, found = figures_of(values)

    decision = answer(found, made).decision

    assert decision is not None
    assert (decision.metric, decision.better) == (ACC, "higher")
    assert (decision.winner, decision.runner_up, decision.clear) == (winner, runner_up, clear)


@given(
    st.dictionaries(
        st.sampled_from("abcdef"), st.lists(st.floats(0, 1), min_size=2, max_size=4), min_size=2, max_size=6
    )
)
def test_the_winner_has_the_best_mean_and_a_clear_lead_has_no_overlap(values: dict[str, list[float]]) -> None:
    made, found = figures_of(values)

    got = answer(found, made)

    assert got.decision is not None
    means = {row.name: row.metrics[ACC].mean for row in got.cells}
    assert means[str(got.decision.winner)] == max(means.values())
    assert got.decision.difference is not None
    assert got.decision.difference >= 0
    if got.decision.clear:
        assert min(values[str(got.decision.winner)]) > max(values[str(got.decision.runner_up)])
    if ACC in got.best:
        assert got.decision.winner in got.best[ACC]
        assert len(got.best[ACC]) < len(values)


def decided(decide: Decide, figures: dict[str, dict[str, Sequence[float]]]) -> tuple[str | None, dict[str, str], str]:
    """Winner, what is out of bounds, and the headline."""
    made = plan([cell(name) for name in figures], of=suite(decide=decide))
    found = [
        result(trial, {metric: values[trial.seed] for metric, values in figures[trial.cell.name].items()})
        for trial in made.trials
    ]
    got = answer(results(found), made)
    assert got.decision is not None
    return got.decision.winner, dict(got.decision.out_of_bounds), got.headline


def test_minimise_takes_the_least() -> None:
    winner, _, headline = decided(
        Decide(minimise="peak_host_memory"),
        {"a": {"peak_host_memory": [2 * GIB, 2 * GIB]}, "b": {"peak_host_memory": [GIB, GIB]}},
    )

    assert winner == "b"
    assert headline == (
        "b has the lowest peak host memory: 1,024 ± 0 MiB, 50.0% below a. The ranges over 2 seeds do not overlap."
    )


def test_bounds_hold_for_every_seed_not_for_the_mean() -> None:
    decide = Decide(maximise="tokens_per_second", keep={"peak_host_memory": "<= 2 GiB", ACC: ">= 0.9"})
    figures: dict[str, dict[str, Sequence[float]]] = {
        "fast": {"tokens_per_second": [9000, 9100], "peak_host_memory": [1.5 * GIB, 2.2 * GIB], ACC: [0.95, 0.95]},
        "dull": {"tokens_per_second": [8000, 8100], "peak_host_memory": [GIB, GIB], ACC: [0.95, 0.89]},
        "fine": {"tokens_per_second": [5000, 5100], "peak_host_memory": [GIB, GIB], ACC: [0.95, 0.95]},
        "blind": {"tokens_per_second": [7000, 7100], ACC: [0.95, 0.95]},
    }

    winner, broken, headline = decided(decide, figures)

    assert winner == "fine"
    assert broken == {
        "fast": "peak host memory 2.2 GiB is not <= 2 GiB",
        "dull": "arithmetic_mc acc 0.890 is not >= 0.9",
        "blind": "peak host memory was not measured (bound <= 2 GiB)",
    }
    assert headline.endswith("3 cells are out of bounds and not counted.")


def test_nobody_keeps_the_bounds() -> None:
    winner, _, headline = decided(
        Decide(maximise="tokens_per_second", keep={"tokens_per_second": "> 10000"}),
        {"a": {"tokens_per_second": [9000, 9100]}, "b": {"tokens_per_second": [8000, 8100]}},
    )

    assert winner is None
    assert headline == (
        "No cell keeps the bounds: a (9,000 tokens/s is not > 10000); b (8,000 tokens/s is not > 10000)."
    )


@pytest.mark.parametrize(
    ("values", "headline"),
    [
        (
            {"dpo": [0.98, 0.99], "orpo": [0.96, 0.985]},
            "dpo scores 0.985 ± 0.007 on arithmetic_mc (acc), +0.013 over orpo. "
            "With 2 seeds the ranges overlap, so the lead is not clear.",
        ),
        (
            {"dpo": [0.98, 0.98], "orpo": [0.98, 0.98]},
            "dpo scores 0.980 ± 0.000 on arithmetic_mc (acc), the same as orpo. There is no lead.",
        ),
        (
            {"dpo": [0.98, 0.98], "orpo": [0.98, 0.98], "sft": [0.98, 0.98], "x": [0.2, 0.2]},
            "dpo scores 0.980 ± 0.000 on arithmetic_mc (acc), the same as orpo and 1 more. There is no lead.",
        ),
        (
            {"dpo": [0.98], "orpo": [0.90]},
            "dpo scores 0.980 on arithmetic_mc (acc), +0.080 over orpo. "
            "With one seed of dpo and orpo nothing tells how much of this is chance, so the lead is not clear.",
        ),
        ({"dpo": [0.98, 0.96]}, "dpo scores 0.970 ± 0.014 on arithmetic_mc (acc)."),
        (
            {"dpo": [0.98, 0.96], "orpo": []},
            "dpo scores 0.970 ± 0.014 on arithmetic_mc (acc). 1 of 2 cells has no such figure.",
        ),
    ],
)
def test_headlines(values: dict[str, list[float]], headline: str) -> None:
    made, found = figures_of(values)

    assert answer(found, made).headline == headline


def test_a_winner_below_the_floor_is_no_winner() -> None:
    made = plan([cell("floor", kind="floor"), cell("dpo")], seeds=1)
    found = results([result(made.trials[0], {ACC: 0.5}), result(made.trials[1], {ACC: 0.4})])

    assert answer(found, made).headline == (
        "dpo scores 0.400 on arithmetic_mc (acc; floor 0.500). That is no better than the untrained model."
    )


def test_each_model_has_its_own_floor() -> None:
    cells = [
        cell("floor-small", kind="floor", model={"shape": "small"}),
        cell("floor-large", kind="floor", model={"shape": "large"}),
        cell("dpo", model={"shape": "large"}),
    ]
    made = plan(cells, seeds=1)
    found = results([result(trial, {ACC: value}) for trial, value in zip(made.trials, (0.1, 0.3, 0.9), strict=True)])

    assert "floor 0.300" in answer(found, made).headline


@pytest.mark.parametrize(
    ("outcomes", "headline"),
    [
        ([None, None], "Nothing has been measured yet: 2 trials of 1 cell planned."),
        (["crashed", "oom"], "No answer: none of 2 trials finished (2 failed); see below why."),
        (["crashed", None], "No answer: none of 2 trials finished (1 failed, 1 did not run); see below why."),
        (["ok", "ok"], "No answer yet: 2 trials finished, but none has tokens/s."),
    ],
)
def test_without_a_figure_there_is_no_answer(outcomes: list[str | None], headline: str) -> None:
    made = plan([cell("dpo")])
    found = [
        result(trial, {}, outcome=outcome) for trial, outcome in zip(made.trials, outcomes, strict=True) if outcome
    ]

    got = answer(results(found), made)

    assert got.decision is None
    assert got.headline == headline
    assert got.best == {}


def test_without_scores_the_fastest_leads() -> None:
    made, found = figures_of({"a": [5000, 5010], "b": [4000, 4010]}, "tokens_per_second")

    assert answer(found, made).headline == (
        "a has the highest tokens/s: 5,005 ± 7 tokens/s, 25.0% above b. The ranges over 2 seeds do not overlap."
    )


def test_the_score_that_decide_names_takes_its_tasks_column() -> None:
    other = "score.arithmetic_mc.acc_norm"
    made = plan([cell("a"), cell("b")], of=suite(decide=Decide(maximise=other)), seeds=1)
    found = results([result(trial, {ACC: 0.5, other: 0.6}) for trial in made.trials])

    assert answer(found, made).columns == (other,)


def test_one_score_per_task_in_the_suites_order() -> None:
    made = plan([cell("a")], of=suite(tasks=["arithmetic_gen", "tasks/own.yaml", "arithmetic_mc"]), seeds=1)
    metrics = {
        "score.arithmetic_mc.acc_norm": 0.4,
        ACC: 0.5,
        "score.arithmetic_gen.exact_match@strict": 0.1,
        "score.own.zebra": 1.0,
        "score.own.f1": 0.7,
    }

    assert answer(results([result(made.trials[0], metrics)]), made).columns == (
        "score.arithmetic_gen.exact_match@strict",
        "score.own.f1",
        ACC,
    )


def test_device_memory_stands_for_host_memory() -> None:
    made = plan([cell("a")], seeds=1)
    found = results([result(made.trials[0], {"peak_device_memory": GIB, "peak_host_memory": 2 * GIB})])

    assert answer(found, made).columns == ("peak_device_memory",)


def test_no_loss_is_best_across_methods() -> None:
    several, found = figures_of({"dpo": [0.1, 0.1], "sft": [2.0, 2.0]}, "final_loss")
    got = answer(found, several)
    assert got.directions["final_loss"] == "none"
    assert "final_loss" not in got.best
    assert any("different quantities" in finding for finding in got.findings)

    one, found = figures_of({"dpo-a": [0.1, 0.1], "dpo-b": [2.0, 2.0]}, "final_loss")
    got = answer(found, one)
    assert got.best["final_loss"] == ("dpo-a",)
    assert not any("different quantities" in finding for finding in got.findings)


def test_no_loss_leads_across_methods_even_where_the_suite_goes_by_it() -> None:
    asked = suite(decide=Decide(minimise="final_loss"))

    def told(*names: str) -> Answer:
        made = plan([cell(name) for name in names], of=asked)
        found = [result(one, {"final_loss": 1.0 + names.index(one.cell.name)}) for one in made.trials]
        return answer(results(found), made)

    several, one = told("dpo", "sft"), told("dpo-a", "dpo-b")
    assert several.decision is not None
    assert not several.decision.clear
    assert "the final loss of each is another quantity" in several.headline
    assert "final_loss" not in several.best
    assert one.decision is not None
    assert one.decision.clear
    assert one.best["final_loss"] == ("dpo-a",)
    assert "quantity" not in one.headline


def test_start_up_is_judged_only_where_the_suite_asks() -> None:
    made, found = figures_of({"a": [1.0, 1.0], "b": [2.0, 2.0]}, "startup_seconds")
    asked = dataclasses.replace(
        made, suite=made.suite.model_copy(update={"decide": Decide(minimise="startup_seconds")})
    )

    assert answer(found, made).best == {}
    assert answer(found, asked).best == {"startup_seconds": ("a",)}


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ({"a": [0.9852], "b": [0.9849], "c": [0.9]}, ("a", "b")),
        ({"a": [0.9852], "b": [0.9842], "c": [0.9]}, ("a",)),
        ({"a": [0.9852], "b": [0.9849]}, None),  # all read the same: none is best
        ({"a": [0.9852]}, None),
        ({"a": [math.nan], "b": [0.5], "c": [0.4]}, ("b",)),
    ],
)
def test_best_marks_all_that_read_the_same(values: dict[str, list[float]], best: tuple[str, ...] | None) -> None:
    made, found = figures_of(values)

    assert answer(found, made).best.get(ACC) == best
