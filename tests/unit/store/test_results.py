"""A suite's results as the rest of the house gets them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from harness.records.results import Finding
from harness.records.run_folder import run_folders
from harness.store import Store
from tests.unit.store.asked import one
from tests.unit.store.made_up import OUTCOME, a_few, add_attempt, add_overlap, add_score, spec_of, write_folder


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


def test_how_trials_were_scored(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of(), outcome=replace(OUTCOME, step_hashes={"2": "w1", "3": "w1"}))
    add_score(folder, step=2, acc=0.4)
    add_score(folder, step=9, acc=0.4)  # of weights that are not there any more
    add_score(folder, backend="vllm", weights_hash="earlier")
    add_score(
        folder,
        acc=0.6,
        canary={"same_as": []},
        parity={"documents": 3},
        environment={"name": "vllm-cpu"},
        notes=("odd",),
        template_hash="c1",
    )
    store.ingest([folder])

    found = store.results("quick")

    assert [(score.trial_id, score.task, score.backend, score.step) for score in found.scores] == [
        ("dpo-id-0", "arithmetic_mc", "hf", 2),
        ("dpo-id-0", "arithmetic_mc", "hf", None),
    ]
    end = found.scores[1]
    assert (end.canary, end.parity, end.environment) == ({"same_as": []}, {"documents": 3}, {"name": "vllm-cpu"})
    assert (end.notes, end.template_hash, end.n_documents, end.served) == (("odd",), "c1", 4, "loaded")
    assert (end.flags["num_fewshot"], end.versions) == (0, {"lm_eval": "0.4.13"})
    assert found.scores[0].canary == {}


def test_scores_over_steps_are_curves(store: Store, results: Path) -> None:
    folders = [
        write_folder(results, spec_of(seed=seed), outcome=replace(OUTCOME, step_hashes={"1": "w1", "2": "w1"}))
        for seed in (0, 1)
    ]
    for step, acc in ((2, 0.4), (1, 0.2), (None, 0.7)):
        add_score(folders[0], step=step, acc=acc)
    add_score(folders[1], acc=0.9)  # its end alone is no curve
    store.ingest(folders)

    (curve,) = [curve for curve in store.results("quick").curves if curve.metric.startswith("score.")]

    assert (curve.trial_id, curve.metric) == ("dpo-id-0", "score.arithmetic_mc.acc")
    assert (list(curve.steps), list(curve.values), curve.ended) == ([1, 2, 3], [0.2, 0.4, 0.7], True)


def test_overlaps_of_a_suite(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of())
    add_overlap(folder)
    add_overlap(folder, "other", documents=None, exact=None, ngram=None, share=None, reason="no rows")
    store.ingest([folder])

    (first, other) = store.results("quick").overlaps["dpo-id-0"]

    assert (first.task, first.documents, first.exact, first.ngram, first.n, first.share) == (
        "arithmetic_mc",
        *(200, 3, 5, 13, 0.03),
    )
    assert list(first.examples) == [{"document": 7, "text": "7+5="}]
    assert (other.task, other.share, other.reason) == ("other", None, "no rows")


def test_each_trial_has_the_surroundings_that_it_ran_in(store: Store, results: Path) -> None:
    """One hash stands for both: what it does not cover, threads say, is each trial's own."""
    for seed in (0, 1):
        folder = write_folder(results, spec_of(seed=seed))
        content = json.loads(folder.environment_file.read_text())
        folder.environment_file.write_text(json.dumps({**content, "torch": {"threads": seed + 1}}))
    store.ingest(run_folders(results))

    found = store.results("quick")

    assert list(found.environments) == ["env1"]
    assert [trial.surroundings["torch"] for trial in found.trials] == [{"threads": 1}, {"threads": 2}]
    assert "packages" not in found.trials[0].surroundings
