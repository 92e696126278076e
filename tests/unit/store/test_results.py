"""A suite's results as the rest of the house gets them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.records.results import Finding
from harness.records.run_folder import run_folders
from harness.store import Store
from tests.unit.store.asked import one
from tests.unit.store.made_up import OUTCOME, a_few, add_attempt, add_score, spec_of, write_folder


def test_results_of_a_suite(store: Store, results: Path) -> None:
    folders = a_few(results)
    add_attempt(folders[0], outcome=replace(OUTCOME, outcome="crashed"))
    write_folder(results, spec_of("sft", suite="other"))
    store.ingest(run_folders(results))

    found = store.results("quick")

    assert (found.suite, found.question, found.suite_file) == ("quick", "Which method?", "suites/quick.yaml")
    assert [trial.name for trial in found.trials] == ["dpo-s0", "dpo-s1", "orpo-s0", "orpo-s1"]
    first = found.trials[0]
    assert (first.outcome, first.attempts, first.environment, first.seed) == ("ok", 2, "env1", 0)
    assert first.metrics["score.arithmetic_mc.acc"] == 0.9
    assert first.stderr == {"score.arithmetic_mc.acc": 0.01}
    assert first.config["train"]["learning_rate"] == 1e-3
    assert list(first.notes) == ["8 prompts were cut off", "padding-free is off"]
    assert found.environments["env1"]["packages"]["trl"] == "1.16.0"
    assert found.score_backends == ("hf",)
    curves = {(curve.trial_id, curve.metric): curve for curve in found.curves}
    assert len(curves) == 4 * 2
    assert list(curves["dpo-id-0", "rewards/margins"].values) == [0.01, 0.02, 0.03]
    assert list(curves["dpo-id-0", "rewards/margins"].steps) == [1, 2, 3]


def test_an_ok_attempt_counts_over_a_later_failure(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of(), outcome=replace(OUTCOME, outcome="crashed", cause="first", summary={}))
    add_attempt(folder)
    add_attempt(folder, outcome=replace(OUTCOME, outcome="oom", cause="third", summary={"tokens_per_second": 1.0}))
    store.ingest([folder])

    assert one(store, "SELECT outcome, attempt, attempts, tokens_per_second FROM trial_summary") == ("ok", 2, 3, 1000.0)
    assert one(store, "SELECT count(*) FROM loss_curves") == 3
    assert one(store, "SELECT count(*) FROM attempts") == 3
    (trial,) = store.results("quick").trials
    assert (trial.outcome, trial.counted, trial.attempts, trial.last_outcome) == ("ok", 2, 3, "oom")


def test_a_score_of_other_weights_does_not_count(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of())
    add_score(folder, weights_hash="of an earlier training")
    store.ingest([folder])

    (trial,) = store.results("quick").trials

    assert one(store, "SELECT count(*) FROM scores") == 1
    assert one(store, "SELECT count(*) FROM trial_scores") == 0
    assert "score.arithmetic_mc.acc" not in trial.metrics
    assert any("other weights" in note for note in trial.notes)


def test_of_two_backends_the_latest_score_counts(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of())
    add_score(folder, acc=0.7, backend="hf", scored_at="2026-11-22T10:00:00Z")
    add_score(folder, acc=0.8, backend="vllm", scored_at="2026-11-23T10:00:00Z")
    store.ingest([folder])

    assert store.results("quick").trials[0].metrics["score.arithmetic_mc.acc"] == 0.8
    assert one(store, "SELECT count(*) FROM scores") == 2


def test_suites_and_an_unknown_suite(store: Store, results: Path) -> None:
    assert store.suites() == []
    for name in ("b", "a"):
        write_folder(results, spec_of(suite=name))
    store.ingest(run_folders(results))

    assert store.suites() == ["a", "b"]
    assert store.results("unknown").trials == ()


def test_what_was_found_of_a_trial_besides_its_figures(store: Store, results: Path) -> None:
    outcome = replace(OUTCOME, facts={"peak_phase": "eval"}, disturbed=("throttled",))
    folder = write_folder(results, spec_of(), outcome=replace(OUTCOME, outcome="crashed"))
    add_attempt(folder, outcome=outcome)
    store.ingest([folder])

    (trial,) = store.results("quick").trials

    assert (trial.facts, trial.disturbed, trial.active) == (
        {"peak_phase": "eval"},
        ("throttled",),
        {"optimizer": "AdamW"},
    )
    # Once, though both attempts have it: findings are of the attempt that counts.
    assert trial.findings == (Finding(name="loss_spike", step=2, level="warning", text="loss rose 3-fold"),)


def test_memory_over_time(store: Store, results: Path) -> None:
    events = [
        {"t": 0.5 * n, "kind": "memory", "step": 0, "values": {"host_uss": 5, "host_uss_peak": 7 - n, "other": 1}}
        for n in (2, 0, 1)
    ]
    store.ingest([write_folder(results, spec_of(), events=events)])

    (timeline,) = store.results("quick").timelines

    assert (timeline.trial_id, timeline.metric) == ("dpo-id-0", "host_uss_peak")
    assert list(timeline.times) == [0.0, 0.5, 1.0]
    assert list(timeline.values) == [7, 6, 5]
