"""The store's and the report's figures: ingest ≥ 200,000 samples/s, rebuild of 200 trials × 1,000 steps ≤ 15 s, and the
report of the same ≤ 10 s."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.compare import answer
from harness.records.plan import Plan
from harness.records.run_folder import RunFolder, run_folders
from harness.report import render
from harness.store import Store
from tests.unit.compare import made
from tests.unit.store.made_up import add_score, spec_of, step_events, write_folder

CELLS, SEEDS, STEPS = 50, 4, 1000
METRICS = 13  # of a made-up step
INGEST_RATE, REBUILD_S, REPORT_S = 200_000, 15.0, 10.0


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 trials of 1,000 steps, each with a score of 200 documents."""
    folder = tmp_path_factory.mktemp("results")
    for number in range(CELLS):
        for seed in range(SEEDS):
            made_up = write_folder(folder, spec_of(f"dpo-{number}", seed), events=step_events(STEPS))
            add_score(made_up, acc=0.5 + number / 200, documents=200)
    return folder


def planned(folders: list[RunFolder]) -> Plan:
    """A plan with the ids of the run folders."""
    cells = {f"dpo-{number}": made.cell(f"dpo-{number}") for number in range(CELLS)}
    plan = made.plan(list(cells.values()), of=made.suite(seeds=SEEDS), seeds=SEEDS)
    ids = {f"{name}-s{seed}": f"{name}-id-{seed}" for name in cells for seed in range(SEEDS)}
    assert set(ids.values()) == {folder.path.name for folder in folders}
    trials = tuple(
        type(trial)(id=ids[trial.name], name=trial.name, cell=trial.cell, seed=trial.seed) for trial in plan.trials
    )
    return Plan(suite=plan.suite, cells=plan.cells, trials=trials)


def test_ingest(benchmark: Any, results: Path, tmp_path: Path) -> None:
    folders = [folder for folder in run_folders(results) if folder.path.name.endswith("-id-0")]
    numbers = iter(range(100))

    def fresh() -> tuple[tuple[Store], dict[str, Any]]:
        return (Store(tmp_path / f"{next(numbers)}.duckdb"),), {}

    done = benchmark.pedantic(lambda store: store.ingest(folders), setup=fresh, rounds=3)

    assert done.samples == CELLS * STEPS * METRICS
    rate = done.samples / benchmark.stats.stats.min
    benchmark.extra_info["samples_per_second"] = round(rate)
    assert rate >= INGEST_RATE


def test_rebuild(benchmark: Any, results: Path) -> None:
    store = Store(results / "harness.duckdb")

    done = benchmark.pedantic(lambda: store.rebuild(results), rounds=1)

    assert done.samples == CELLS * SEEDS * STEPS * METRICS
    assert done.problems == ()
    assert benchmark.stats.stats.max <= REBUILD_S


def test_report(benchmark: Any, results: Path, tmp_path: Path) -> None:
    store = Store(results / "harness.duckdb")
    store.ingest(run_folders(results))
    plan = planned(run_folders(results))

    def report() -> Path:
        return render(answer(store.results("quick"), plan), tmp_path / "report")

    written = benchmark.pedantic(report, rounds=1)

    assert "dpo-49" in written.read_text(encoding="utf-8")
    assert {path.name for path in written.parent.iterdir()} > {"loss.svg", "reward-margins.svg", "cost.svg"}
    assert benchmark.stats.stats.max <= REPORT_S
