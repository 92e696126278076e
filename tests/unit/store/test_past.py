"""Every attempt with one metric of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.records.run_folder import run_folders, write_json
from harness.records.score import Score
from harness.score.scorefiles import write_score
from harness.store import Store
from tests.unit.store.asked import one
from tests.unit.store.made_up import ENVIRONMENT, OUTCOME, add_attempt, add_score, spec_of, write_folder


def score_of(*, acc: float, weights_hash: str) -> Score:
    return Score(
        task="arithmetic_mc",
        backend="hf",
        metrics={"acc": acc},
        stderr={},
        higher_is_better={"acc": True},
        n_documents=0,
        task_hash="t1",
        task_version="1.0",
        weights_hash=weights_hash,
        flags={},
        versions={},
        scored_at="2026-11-22T10:01:00Z",
        duration_s=1.0,
    )


def test_all_attempts_are_told_with_their_run_environment_and_figure(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of("sft", suite="nightly"), events=[])
    later = replace(
        OUTCOME,
        started_at="2026-11-23T10:00:00Z",
        environment="env2",
        summary={"tokens_per_second": 900.0},
        disturbed=("throttled",),
    )
    folder.write_environment({**ENVIRONMENT, "hash": "env2"})
    add_attempt(folder, outcome=later, events=[])
    add_attempt(folder, outcome=replace(OUTCOME, outcome="crashed", summary={}, environment=None), events=[])
    add_attempt(folder, outcome=None, events=[])  # it runs
    for number, run in ((1, "r1"), (2, "r2")):
        write_json(folder.path / "attempts" / str(number) / "run.json", {"run": run})
    store.ingest(run_folders(results))

    found = store.past("tokens_per_second", ["nightly"])

    told = [(past.attempt, past.run, past.environment, past.outcome, past.value) for past in found.attempts]
    assert sorted(told) == [
        (1, "r1", "env1", "ok", 1000.0),
        (2, "r2", "env2", "ok", 900.0),
        (3, None, None, "crashed", None),
    ]
    assert [past.disturbed for past in found.attempts if past.attempt == 2] == [("throttled",)]
    assert set(found.environments) == {"env1", "env2"}
    assert "tokens_per_second" in found.known
    assert one(store, "SELECT list(run ORDER BY attempt) FROM attempts") == ["r1", "r2", None, None]


def test_a_score_belongs_to_the_attempts_that_left_its_weights(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of("sft"), events=[])
    add_attempt(folder, outcome=replace(OUTCOME, weights_hash="w2"), events=[])
    add_score(folder, acc=0.8, weights_hash="w2")
    store.ingest([folder])

    found = store.past("score.arithmetic_mc.acc")

    assert [(past.attempt, past.value) for past in found.attempts] == [(1, None), (2, 0.8)]


def test_a_score_that_was_replaced_stays_that_of_its_night(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of("sft"), events=[])
    add_attempt(folder, outcome=replace(OUTCOME, weights_hash="w2"), events=[])
    earlier = score_of(acc=0.7, weights_hash="w1")
    for one_score in (earlier, earlier, score_of(acc=0.8, weights_hash="w2"), score_of(acc=0.85, weights_hash="w2")):
        write_score(folder, one_score, [])
    store.ingest([folder])

    found = store.past("score.arithmetic_mc.acc")

    assert [(past.attempt, past.value) for past in found.attempts] == [(1, 0.7), (2, 0.85)]
    assert one(store, "SELECT count(*) FROM earlier_scores") == 1
    assert one(store, "SELECT count(*) FROM scores") == 1


def test_one_suite_or_all(store: Store, results: Path) -> None:
    for suite in ("nightly", "other"):
        write_folder(results, spec_of("sft", suite=suite), events=[])
    store.ingest(run_folders(results))

    assert {past.suite for past in store.past("final_loss").attempts} == {"nightly", "other"}
    assert {past.suite for past in store.past("final_loss", ["other"]).attempts} == {"other"}
