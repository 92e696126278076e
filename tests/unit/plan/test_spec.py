"""spec.json, and the plan as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.plan import counts, expand, rows, spec_of, state_of, to_json
from harness.plan.table import Row
from harness.records.outcome import Outcome, OutcomeName
from harness.records.plan import Plan, Trial
from harness.records.spec import Spec
from harness.records.suite import Limits, Measure, PathData, PathModel, Replicates, Score, Selector, Setup
from tests.unit.plan.made import CATALOG, RECIPE, setup, suite, values

PLAN = expand(
    suite(
        RECIPE,
        values("train.packing", False, True),
        base=setup(limits=Limits(timeout="90s", host_memory="2 GiB", retries=3), measure=Measure(warmup_steps=2)),
        stages={"start": Setup(method="sft", train={"max_steps": 400}, seed=4)},
        replicates=Replicates(seeds=[0, 1]),
        exclude=(Selector(fields={"method": ("dpo", "orpo"), "train.packing": (True,)}),),
        score=Score(tasks=["arithmetic_mc"]),
    ),
    CATALOG,
)


def trial(name: str, plan: Plan = PLAN) -> Trial:
    return next(trial for trial in plan.trials if trial.name == name)


def ended(outcome: OutcomeName) -> Outcome:
    return Outcome(outcome=outcome, attempt=1, started_at="", ended_at="", duration_s=1.0)


def test_a_spec_holds_all_a_worker_needs() -> None:
    dpo, stage = trial("dpo-s1"), trial("stage-start")
    spec = spec_of(dpo, PLAN, CATALOG)
    assert (spec.suite, spec.suite_file, spec.kind, spec.method, spec.seed) == (
        "made",
        "made/suite.yaml",
        "cell",
        "dpo",
        1,
    )
    assert (spec.trial_id, spec.cell_id, spec.name, spec.cell_name) == (dpo.id, dpo.cell.id, "dpo-s1", "dpo")
    assert spec.levels == {"recipe": "dpo", "train.packing": "false"}
    assert spec.start == f"../{stage.id}/checkpoint"
    assert spec.init == {"stage": "start", "trial_id": stage.id}
    assert (spec.warmup_steps, spec.timeout_s, spec.host_memory, spec.retries) == (2, 90.0, 2 * 2**30, 3)
    assert spec.train == {"max_steps": 10, "learning_rate": 5e-6}
    assert spec.checkpoint == "keep"


def test_defaults_are_the_fields_nobody_sets() -> None:
    spec = spec_of(trial("dpo-s0"), PLAN, CATALOG)
    assert spec.defaults["beta"] == 0.1
    assert spec.defaults["gradient_checkpointing"] is True
    assert not set(spec.defaults) & {"max_steps", "learning_rate", "output_dir", "packing"}
    assert spec_of(trial("dpo-s0"), PLAN, None).defaults == {}


def test_a_stage_and_a_floor_have_specs_too() -> None:
    stage, floor = spec_of(trial("stage-start"), PLAN, CATALOG), spec_of(trial("floor"), PLAN, CATALOG)
    assert (stage.kind, stage.start, stage.init, stage.seed) == ("stage", None, None, 4)
    assert (floor.kind, floor.method, floor.data, floor.train, floor.defaults) == ("floor", None, None, {}, {})
    assert floor.model["shape"] == "tiny"


@pytest.mark.parametrize("name", [trial.name for trial in PLAN.trials])
def test_specs_survive_json(name: str) -> None:
    spec = spec_of(trial(name), PLAN, CATALOG)
    assert Spec.from_json(json.loads(json.dumps(spec.to_json(), allow_nan=False))) == spec


def test_paths_are_absolute_wherever_the_suite_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "models" / "mine"
    model.mkdir(parents=True)
    for name, text in {"config.json": "{}", "model.safetensors": "", "tokenizer.json": "{}"}.items():
        (model / name).write_text(text)
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "rows.jsonl").write_text('{"text": "a"}\n')
    base = setup(model=PathModel(path="../models/mine"), data=PathData(path="rows.jsonl"))
    monkeypatch.chdir(tmp_path)
    plan = expand(suite(base=base, file=Path("suites/suite.yaml")), CATALOG)
    spec = spec_of(plan.trials[0], plan, CATALOG)
    assert spec.model["path"] == str(model)
    assert spec.data is not None
    assert spec.data["path"] == str(tmp_path / "suites" / "rows.jsonl")
    assert spec.suite_file == "suites/suite.yaml"
    assert plan.trials[0].cell.config["model"]["path"] == "../models/mine"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (None, "to run"),
        ("ok", "finished"),
        ("oom", "failed: oom"),
        ("diverged", "failed: diverged"),
        ("timeout", "failed: timeout"),
        ("crashed", "failed: crashed"),
        ("interrupted", "to run"),
        ("skipped", "to run"),
    ],
)
def test_states(outcome: OutcomeName | None, state: str) -> None:
    assert state_of(ended(outcome) if outcome else None) == state


def test_rows_come_in_running_order_with_what_they_need_by_name() -> None:
    table = rows(PLAN, {trial("sft-s0").id: ended("ok"), trial("dpo-s0").id: ended("oom")})
    assert [row.name for row in table] == [trial.name for trial in PLAN.trials]
    by_name: dict[str, Row] = {row.name: row for row in table}
    assert by_name["dpo-s0"].needs == "stage-start"
    assert by_name["dpo-s0"].state == "failed: oom"
    assert by_name["sft-s0"].state == "finished"
    assert by_name["floor"].kind == "floor"
    assert by_name["sft-packing-s1"].levels == {"recipe": "sft", "train.packing": "true"}


def test_counts() -> None:
    known = {trial("sft-s0").id: ended("ok"), trial("dpo-s0").id: ended("oom"), trial("orpo-s0").id: ended("skipped")}
    assert counts(PLAN, known) == {
        "cells": 4,
        "stages": 1,
        "floors": 1,
        "trials": 10,
        "finished": 1,
        "to_run": 8,
        "failed": 1,
        "excluded": 2,
    }


def test_the_plan_as_json() -> None:
    unused = Selector(fields={"method": ("orpo",)})
    plan = expand(suite(values("lora", None, {"r": 8}), exclude=(unused,)), CATALOG)
    document = json.loads(json.dumps(to_json(plan, {})))
    assert document["suite"] == "made"
    assert document["counts"]["trials"] == 2
    assert document["trials"][1] == {
        "name": "sft-lora8-s0",
        "id": plan.trials[1].id,
        "kind": "cell",
        "cell": "sft-lora8",
        "cell_id": plan.cells[1].id,
        "levels": {"lora": "r8"},
        "seed": 0,
        "state": "to run",
        "needs": None,
        "environment": None,
        "predicted_memory": None,  # nobody asked for predictions
        "loosely_predicted": None,
        "not_predicted": None,
    }
    assert document["warnings"][0]["what"] == "exclude rule 1 matches no cell: method is orpo"
    assert document["excluded"] == []
    reasons = [left["reason"] for left in to_json(PLAN, {})["excluded"]]
    assert reasons == ["exclude rule 1: method is dpo or orpo, and train.packing is true"] * 2


@pytest.mark.parametrize(("score", "written"), [(None, "none"), (Score(tasks=["arithmetic_mc"]), "drop")])
def test_a_checkpoint_that_is_dropped_is_written_only_to_be_scored(score: Score | None, written: str) -> None:
    plan = expand(suite(base=setup(checkpoint="drop"), score=score), CATALOG)
    cell = next(one for one in plan.trials if one.cell.kind == "cell")
    assert spec_of(cell, plan, CATALOG).checkpoint == written
