from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from harness.compare import answer
from harness.models.memory import predict, predict_forwarded
from harness.records.results import Answer, OutOfMemory
from tests.unit.compare.made import GIB, HELD, PARTS, cell, on_a_device, plan, result, results


@pytest.fixture(scope="module")
def suite() -> Answer:
    made, found = on_a_device()
    return answer(found, made)


def test_cells_that_ran_out_of_memory_are_results(suite: Answer) -> None:
    assert suite.out_of_memory == (
        OutOfMemory(
            cell="sft-gc_off-batch16",
            kind="cell",
            seeds=(0, 1),
            phase="forward",
            device="device 0",
            requested=3 * GIB,
            free=GIB,
            peak=75.4 * GIB,
        ),
    )


def test_out_of_memory_in_two_phases_is_two_and_without_facts_still_one() -> None:
    made = plan([cell("sft")], seeds=3)
    facts: list[dict[str, Any]] = [{"oom": {"phase": "forward", "requested_bytes": 5}}, {}, {"oom": "odd"}]
    found = [
        result(trial, {"peak_host_memory": 7.0}, outcome="oom", phase="train", facts=facts[trial.seed])
        for trial in made.trials
    ]

    got = answer(results(found), made).out_of_memory

    assert [(one.seeds, one.phase, one.requested, one.peak) for one in got] == [
        ((0,), "forward", 5.0, 7.0),
        ((1, 2), "train", None, 7.0),
    ]


def test_phases_of_the_peak_are_those_of_finished_trials_the_most_frequent_first() -> None:
    made = plan([cell("sft")], seeds=4)
    phases = ["eval", "backward", "backward", "save"]
    found = [
        result(trial, {}, facts={"peak_phase": phases[trial.seed]}, outcome="crashed" if trial.seed == 3 else "ok")
        for trial in made.trials
    ]

    (row,) = answer(results(found), made).cells

    assert row.peak_phases == ("backward", "eval")


def test_predictions_stand_beside_means_of_what_was_measured(suite: Answer) -> None:
    rows = {row.cell: row for row in suite.predictions}

    assert len(rows) == 6
    small = rows["sft-gc_on-batch1"]
    assert small.predicted["weights"] == PARTS["weights"]
    assert small.error("weights") == pytest.approx(0)
    assert small.error("activations") == pytest.approx(-0.1)
    assert small.error("peak") == pytest.approx((HELD + 0.9 * 1.9 * GIB) / (HELD + 2.4 * GIB) - 1)
    assert small.error("device") is None
    assert small.error("reference") is None
    full = rows["sft-gc_off-batch16"]
    assert (dict(full.measured), full.error("peak")) == ({}, None)


def test_what_is_left_of_the_error_for_the_batch_that_came_is_that_of_the_formulas() -> None:
    made = plan([cell("sft")], seeds=3)
    train = {"max_length": 64, "per_device_train_batch_size": 4, "bf16": False}
    own = {"method": "sft", "model": {"shape": "tiny"}, "lora": None, "train": train}
    config = {**own, "predicted_memory": predict(own, defaults={}, root=Path()).to_json()}
    truth = predict_forwarded(config, 4, 48).to_json()
    batches = [{"rows": 4, "length": 40}, {"rows": 4, "length": 48}, {"rows": 64, "length": 64}]
    found = [
        result(
            trial,
            {"peak_allocated": float(truth["peak"])},
            config=config,
            facts={"largest_batch": batches[trial.seed]},
            outcome="oom" if trial.seed == 2 else "ok",
        )
        for trial in made.trials
    ]

    (row,) = answer(results(found), made).predictions

    assert row.batch == (4, 48)
    assert row.error("peak", forwarded=True) == 0
    assert (row.error("peak") or 0) > 0.05


@pytest.mark.parametrize(
    "predicted", [None, {}, {"weights": "many"}, {"weights": float("nan")}, {"unheard of": 3}, [1], "none"]
)
def test_predictions_of_an_odd_shape_are_none(predicted: Any) -> None:
    made = plan([cell("sft")], seeds=1)
    found = [result(made.trials[0], {"weight_memory": 5.0}, config={"predicted_memory": predicted})]

    assert answer(results(found), made).predictions == ()


def test_a_prediction_without_anything_measured_is_left_out_unless_the_cell_ran_out_of_memory() -> None:
    made = plan([cell("sft"), cell("dpo")], seeds=1)
    config = {"predicted_memory": {"peak": 100}}
    found = [
        result(made.trials[0], {"peak_host_memory": 5.0}, config=config),
        result(made.trials[1], {}, outcome="oom", config=config),
    ]

    (row,) = answer(results(found), made).predictions

    assert (row.cell, dict(row.predicted), dict(row.measured)) == ("dpo", {"peak": 100.0}, {})


def test_what_else_changed_is_told(suite: Answer) -> None:
    (said,) = suite.what_else

    assert said.startswith("gc on → off changed more than itself: attention sdpa → flash")


def test_predictions_are_nothing_that_changed_beside_an_axis(suite: Answer) -> None:
    assert not any("predicted" in sentence for sentence in suite.what_else)


def test_timelines_of_trials_outside_the_plan_are_left_out() -> None:
    made, found = on_a_device()
    stranger = dataclasses.replace(found.timelines[0], trial_id="of another suite")

    got = answer(dataclasses.replace(found, timelines=(*found.timelines, stranger)), made)

    assert got.timelines == found.timelines
