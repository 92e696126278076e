"""Predicted memory in the plan: of every cell, in rows, JSON and spec.json, absent where nothing can be said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.methods import catalog
from harness.plan import estimate, estimates, expand, rows, spec_of, to_json
from harness.records.plan import Plan
from harness.records.suite import HubModel, PathData, Score, ShapeModel
from harness.suite import read
from tests.unit.plan.made import CATALOG, cells, setup, suite, values

ROOT = Path("made")


@pytest.fixture(autouse=True)
def _no_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))


def _plan() -> Plan:
    models = [ShapeModel(shape="qwen2.5-0.5b").model_dump(), HubModel(hub="some/model").model_dump()]
    return expand(
        suite(
            values("train.per_device_train_batch_size", 1, 4),
            values("model", *models),
            score=Score(tasks=["arithmetic_mc"]),
        ),
        CATALOG,
    )


PLAN = expand(suite(values("train.per_device_train_batch_size", 1, 4), score=Score(tasks=["arithmetic_mc"])), CATALOG)


def test_more_rows_take_more() -> None:
    one, four = (
        estimate(cell, ROOT, CATALOG).device for name, cell in sorted(cells(PLAN).items()) if cell.kind == "cell"
    )
    assert one is not None
    assert four is not None
    assert one < four


def test_trl_s_defaults_count_where_the_suite_is_silent() -> None:
    silent = expand(suite(), CATALOG)
    said = expand(
        suite(base=setup(train={"max_steps": 10, "max_length": 1024, "gradient_checkpointing": True})), CATALOG
    )
    (one,), (other,) = (estimates(plan.cells, ROOT, CATALOG).values() for plan in (silent, said))
    assert one.device is not None
    assert one == other


def test_rows_and_json_carry_the_parts() -> None:
    predicted = estimates(PLAN.cells, ROOT, CATALOG)
    told = {row.cell: row for row in rows(PLAN, {}, predicted)}
    floor = told.pop("floor")
    assert floor.predicted_memory == {}
    assert floor.not_predicted == "nothing is trained"
    for row in told.values():
        assert row.predicted_memory is not None
        assert {"weights", "gradients", "optimizer", "activations", "peak", "device"} <= set(row.predicted_memory)
    document = json.loads(json.dumps(to_json(PLAN, {}, predicted)))
    assert document["trials"][-1]["predicted_memory"]["weights"] == 4 * 858_240


def test_a_model_that_is_not_here_is_not_predicted_and_that_is_said() -> None:
    plan = _plan()
    told = estimates(plan.cells, ROOT, CATALOG)
    whys = {found.why for (kind, _), found in told.items() if kind == "cell"}
    assert len(whys) == 2
    (why,) = whys - {None}
    assert why is not None
    assert "not in the local cache" in why
    absent = [cell for cell in plan.cells if "hub" in cell.config["model"] and cell.kind == "cell"]
    trial = next(trial for trial in plan.trials if trial.cell is absent[0])
    assert spec_of(trial, plan, CATALOG).predicted_memory is None


def test_a_spec_carries_what_was_predicted() -> None:
    trial = next(trial for trial in PLAN.trials if trial.cell.kind == "cell")
    carried = spec_of(trial, PLAN, CATALOG).predicted_memory
    assert carried == estimate(trial.cell, ROOT, CATALOG).to_json()
    assert spec_of(trial, PLAN, None).predicted_memory is None  # TRL's defaults are not known


def test_where_nothing_cuts_rows_the_data_bounds_them(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "%s"}\n{"text": "short"}\n' % ("x" * 99), encoding="utf-8")
    base = setup(
        train={"max_steps": 10, "max_length": None, "per_device_train_batch_size": 2}, data=PathData(path="rows.jsonl")
    )
    plan = expand(suite(base=base, file=tmp_path / "suite.yaml"), CATALOG)
    predicted = estimates(plan.cells, tmp_path, CATALOG)
    (row,) = rows(plan, {}, predicted)
    assert row.not_predicted is None
    assert "the longest has at most 100 tokens" in str(row.loosely_predicted)
    (said,) = to_json(plan, {}, predicted)["trials"]
    assert (said["loosely_predicted"], said["predicted_memory"]["loose"]) == (row.loosely_predicted, 1)
    assert spec_of(plan.trials[0], plan, CATALOG).predicted_memory == row.predicted_memory


@pytest.mark.slow
@pytest.mark.parametrize("name", ["memory", "memory-cpu", "throughput", "throughput-cpu", "gpu_smoke", "quickstart"])
def test_every_cell_of_the_shipped_suites_has_a_figure(name: str) -> None:
    file = Path(__file__).parents[3] / "suites" / f"{name}.yaml"
    known = catalog.load()
    plan = expand(read(file, catalog=known).suite or suite(), known)
    told = rows(plan, {}, estimates(plan.cells, file.parent, known))
    assert [row.name for row in told if row.kind == "cell" and "device" not in (row.predicted_memory or {})] == []
    loose = {row.cell for row in told if row.loosely_predicted}
    assert loose == {row.cell for row in told if "padding-free" in row.cell}
