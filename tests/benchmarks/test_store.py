"""The store's and the report's figures: ingest ≥ 200,000 samples/s, rebuild of 200 trials × 1,000 steps ≤ 15 s, and the
report of the same ≤ 10 s. Documents of scores: ingest ≥ 20,000/s, ≤ 50 bytes each, accuracies of all in ≤ 1 s."""

from __future__ import annotations

import random
from hashlib import sha256
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
SCORED, TASKS, DOCUMENTS, CHOICES = 20, 2, 5_000, 4
DOCUMENT_RATE, DOCUMENT_BYTES, ACCURACY_S = 20_000, 50, 1.0


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


def asked(task: int) -> list[dict[str, Any]]:
    """What all trials are asked: hashes as lm-eval makes them, and an answer of usual length."""
    return [
        {
            "index": index,
            **{name: sha256(f"{name}{task}{index}".encode()).hexdigest() for name in ("doc_hash", "prompt_hash")},
            "target_hash": sha256(f"{task}{index}".encode()).hexdigest(),
            "target": f" choice {index % CHOICES} of document {index}, as long as such texts are",
        }
        for index in range(DOCUMENTS)
    ]


def answered(documents: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """The same with a trial's own answers."""
    chance = random.Random(seed)
    lines = []
    for document in documents:
        logprobs = [-10 * chance.random() for _ in range(CHOICES)]
        choice = logprobs.index(max(logprobs))
        right = float(choice == document["index"] % CHOICES)
        response = f" choice {choice} of document {document['index']}, as long as such texts are"
        own = {"response": response, "metrics": {"acc": right, "acc_norm": right}, "logprobs": logprobs}
        lines.append(document | own)
    return lines


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 trials with 10,000 documents each, from two tasks."""
    folder = tmp_path_factory.mktemp("scored")
    tasks = [asked(task) for task in range(TASKS)]
    for number in range(SCORED):
        made_up = write_folder(folder, spec_of(f"dpo-{number}"), events=[])
        for task, documents in enumerate(tasks):
            add_score(made_up, f"task{task}", lines=answered(documents, number))
    return folder


def test_documents(benchmark: Any, scored: Path) -> None:
    store = Store(scored / "harness.duckdb")

    done = benchmark.pedantic(lambda: store.rebuild(scored), rounds=3)

    assert done.documents == SCORED * TASKS * DOCUMENTS
    rate, size = done.documents / benchmark.stats.stats.min, store.path.stat().st_size / done.documents
    benchmark.extra_info |= {"documents_per_second": round(rate), "bytes_per_document": round(size, 1)}
    assert rate >= DOCUMENT_RATE
    assert size <= DOCUMENT_BYTES


def test_accuracies_of_all_documents(benchmark: Any, scored: Path) -> None:
    store = Store(scored / "harness.duckdb")
    store.ingest(run_folders(scored))
    sql = "SELECT trial_id, task, avg(value) FROM score_values WHERE metric = 'acc' GROUP BY ALL"

    found = benchmark.pedantic(lambda: store.query(sql), rounds=5)

    assert len(found.rows) == SCORED * TASKS
    assert all(abs(value - 1 / CHOICES) < 0.05 for _, _, value in found.rows)
    assert benchmark.stats.stats.min <= ACCURACY_S
