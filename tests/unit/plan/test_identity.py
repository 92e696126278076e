"""Ids: what moves them and what does not."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness import data as data_room
from harness.errors import InputError
from harness.plan import expand, trial_id
from harness.plan.canonical import canonical
from harness.records.plan import Plan
from harness.records.suite import HubModel, Limits, Measure, PathData, Replicates, Score, Setup, ShapeModel, SourceData
from tests.unit.plan.made import CATALOG, named, setup, suite, values


def only_id(**fields: Any) -> str:
    """The id of the one cell of a base."""
    (cell,) = expand(suite(base=setup(**fields)), CATALOG).cells
    return cell.id


def ids(plan: Plan) -> dict[tuple[tuple[str, str], ...], str]:
    return {tuple(sorted(cell.levels.items())): cell.id for cell in plan.cells}


BASE = only_id()


def test_ids_are_twelve_hex_digits_and_stay_the_same_over_time() -> None:
    # Written down: if this moves, every finished trial of every user runs again. Its model and data have versions too.
    (cell,) = expand(suite(base=setup(model=HubModel(hub="a/b", revision="c"))), CATALOG).cells
    assert len(cell.id) == 12
    assert set(cell.id) <= set("0123456789abcdef")
    assert trial_id("90bf97ef38b0", 0) == "65f8cde896af"


@pytest.mark.parametrize(
    "fields",
    [
        {"limits": Limits(timeout="3h", retries=0, host_memory="8GiB")},
        {"checkpoint": "drop"},
        {"measure": Measure(warmup_steps=5)},
        {"model": ShapeModel(shape="tiny", seed=0, dtype="float32", overrides={})},
        {"data": SourceData(source="arithmetic", seed=0, rows=None, eval_fraction=0.0, options={})},
        {"train": {"max_steps": 10, "lr_scheduler_kwargs": None}},
        {"lora": None, "init": None},
        {"seed": 7},
    ],
)
def test_what_decides_nothing_moves_nothing(fields: dict[str, Any]) -> None:
    assert only_id(**fields) == BASE


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "orpo"},
        {"measure": Measure(warmup_steps=6)},
        {"model": ShapeModel(shape="tiny", seed=1)},
        {"model": ShapeModel(shape="tiny", dtype="bfloat16")},
        {"data": SourceData(source="arithmetic", seed=1)},
        {"data": SourceData(source="pydoc")},
        {"data": SourceData(source="arithmetic", rows=5)},
        {"train": {"max_steps": 11}},
        {"train": {"max_steps": 10, "max_length": None}},
        {"train": {"max_steps": 10, "gradient_checkpointing": True}},
        {"lora": {}},
        {"lora": {"r": 4}},
    ],
)
def test_what_decides_the_result_moves_the_id(fields: dict[str, Any]) -> None:
    assert only_id(**fields) != BASE


def test_one_number_has_one_id_however_it_is_written() -> None:
    assert only_id(train={"learning_rate": 1}) == only_id(train={"learning_rate": 1.0})


def test_trial_ids_differ_by_seed_and_cell() -> None:
    plan = expand(suite(values("lora", None, {"r": 8}), replicates=Replicates(seeds=[0, 1, 10])), CATALOG)
    assert len({trial.id for trial in plan.trials}) == 6
    assert all(trial.id == trial_id(trial.cell.id, trial.seed) for trial in plan.trials)


def test_a_file_counts_by_its_content_wherever_it_lies(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (here / "rows.jsonl").write_text('{"text": "a"}\n')
    shutil.copytree(here, there)
    base = setup(data=PathData(path="rows.jsonl"))

    def made(folder: Path) -> str:
        return expand(suite(base=base, file=folder / "suite.yaml"), CATALOG).cells[0].id

    one = made(here)
    assert made(there) == one
    (there / "rows.jsonl").write_text('{"text": "b"}\n')
    assert made(there) != one


def test_files_are_looked_at_once_however_many_cells_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = data_room.identity

    def counting(data: Mapping[str, Any], root: Path) -> dict[str, Any]:
        seen.append(data)
        return real(data, root)

    monkeypatch.setattr(data_room, "identity", counting)
    expand(suite(values("train.learning_rate", *(i * 1e-5 for i in range(1, 50)))), CATALOG)
    assert len(seen) == 1


def test_a_missing_file_is_said_once_with_its_place(tmp_path: Path) -> None:
    base = setup(data=PathData(path="rows.jsonl"))
    learning = values("train.learning_rate", 1e-5, 1e-4)
    with pytest.raises(InputError) as caught:
        expand(suite(learning, base=base, file=tmp_path / "suite.yaml"), CATALOG)
    (problem,) = caught.value.problems
    assert str(tmp_path / "rows.jsonl") in problem.what


def test_a_cell_moves_when_its_stage_does() -> None:
    def started(**fields: Any) -> str:
        stage = Setup(method="sft", **fields)
        plan = expand(suite(base=setup(method="dpo", init={"stage": "s"}), stages={"s": stage}), CATALOG)
        return next(cell.id for cell in plan.cells if cell.kind == "cell")

    one = started(train={"max_steps": 400})
    assert started(train={"max_steps": 400}, limits=Limits(retries=3)) == one
    assert started(train={"max_steps": 401}) != one
    assert started(train={"max_steps": 400}, seed=1) != one, "another seed trains other weights"
    assert only_id(method="dpo") != one


def test_the_name_of_a_stage_is_not_in_the_id() -> None:
    def named_stage(name: str) -> set[str]:
        base = setup(method="dpo", init={"stage": name})
        return {cell.id for cell in expand(suite(base=base, stages={name: Setup(method="sft")}), CATALOG).cells}

    assert named_stage("one") == named_stage("other")


def test_scoring_and_floors_move_nothing() -> None:
    with_score = expand(suite(score=Score(tasks=["arithmetic_mc"])), CATALOG)
    assert BASE in {cell.id for cell in with_score.cells}


def test_a_cell_is_the_same_in_whatever_suite_it_stands() -> None:
    one = expand(suite(values("train.learning_rate", 1e-5, 1e-4)), CATALOG)
    other = expand(suite(named("speed", {"slow": {"train.learning_rate": 1e-5}}), name="other"), CATALOG)
    assert other.cells[0].id == one.cells[0].id


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (1, "1"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        (5e-06, "5e-06"),
        (-0.0, "0"),
        (1e22, "10000000000000000000000"),
        ("é", '"é"'),
        ({"b": [1.0, {"d": 2.0}], "a": None}, '{"a":null,"b":[1,{"d":2}]}'),
        (float("inf"), "Infinity"),
    ],
)
def test_canonical_text(value: Any, text: str) -> None:
    assert canonical(value) == text
