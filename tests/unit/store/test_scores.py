"""Scores: what ingest makes of their folders, what of them is stored once, and what the views say."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.records.run_folder import RunFolder, read_json, write_json
from harness.store import Store
from tests.unit.store.asked import one
from tests.unit.store.made_up import (
    OUTCOME,
    add_attempt,
    add_overlap,
    add_score,
    made_up_documents,
    spec_of,
    step_events,
    write_folder,
)


@pytest.fixture
def folder(results: Path) -> RunFolder:
    return write_folder(results, spec_of())


def held(store: Store) -> dict[str, int]:
    """Rows of the tables that hold documents."""
    tables = ("task_scores", "score_results", "document_sets", "task_documents", "task_choices")
    return {table: one(store, f"SELECT count(*) FROM {table}") for table in tables}


def test_everything_a_score_says_is_stored(store: Store, folder: RunFolder) -> None:
    canary, parity = {"differs_from_base": True, "same_as": []}, {"documents": 20, "max_logprob_difference": 4e-6}
    environment = {"name": "vllm-cpu", "lock_hash": "l1"}
    said: dict[str, Any] = {
        "members": ("mc", "gen"),
        "notes": ("cut on the left",),
        "template_hash": "c1",
        "served": "adapter",
    }
    add_score(folder, backend="vllm", canary=canary, parity=parity, environment=environment, **said)

    done = store.ingest([folder])

    assert (done.scores, done.documents, done.problems) == (1, 4, ())
    assert one(store, "SELECT members FROM task_scores") == ["mc", "gen"]
    asked = "notes, template_hash, served, step, task_hash, weights_hash, n_documents, metric, value, stderr"
    assert one(store, f"SELECT {asked} FROM scores") == (
        ["cut on the left"],
        *("c1", "adapter", None, "t1", "w1", 4, "acc", 0.9, 0.01),
    )
    assert one(store, "SELECT (parity->>'$.documents')::INT, canary->>'$.differs_from_base' FROM scores") == (
        20,
        "true",
    )
    assert one(store, "SELECT environment->>'$.lock_hash', flags->>'$.num_fewshot' FROM scores") == ("l1", "0")


def test_a_score_of_the_first_schema_is_read(store: Store, folder: RunFolder) -> None:
    place = add_score(folder)
    value = read_json(place / "score.json") or {}
    new = ("notes", "template_hash", "step", "served", "canary", "parity", "environment")
    write_json(place / "score.json", {key: inner for key, inner in value.items() if key not in new} | {"schema": 1})

    assert store.ingest([folder]).problems == ()

    asked = "value, step, served, notes, canary, parity, environment, template_hash"
    assert one(store, f"SELECT {asked} FROM scores") == (0.9, None, "loaded", [], None, None, None, None)
    assert one(store, "SELECT count(*) FROM trial_scores") == 1


def test_what_scores_share_is_stored_once(store: Store, results: Path) -> None:
    folders = [write_folder(results, spec_of(seed=seed)) for seed in range(3)]
    add_score(folders[0], documents=4)
    add_score(folders[1], documents=4)
    store.ingest(folders)
    add_score(folders[2], documents=4)  # comes later, and finds them there
    add_score(folders[2], documents=3, step=5)
    store.ingest(folders)

    assert held(store) == {
        "task_scores": 4,
        "score_results": 15,
        "document_sets": 2,
        "task_documents": 4 + 3,
        "task_choices": 2 * (4 + 3),
    }
    assert one(store, "SELECT count(*), count(response), min(choice), max(choice) FROM score_results") == (15, 0, 0, 0)
    rows = store.query("SELECT document, doc_hash, target, response, logprobs FROM score_documents WHERE step = 5").rows
    assert sorted(rows) == [(n, f"d{n}", "4", "5", [-0.5, -1.5]) for n in range(3)]


def test_the_documents_view_gives_back_what_the_file_said(store: Store, folder: RunFolder) -> None:
    """Through numbers and shared tables, nothing of a line is lost."""
    lines: list[dict[str, Any]] = [
        {**line, "target": f"t{number}", "logprobs": logprobs, "response": response, "metrics": metrics}
        for number, (line, (logprobs, response, metrics)) in enumerate(
            zip(
                made_up_documents(5),
                [
                    ([-3.0, -1.5, -2.0], "the second", {"acc": 1.0, "acc_norm": 0.0}),
                    ([-1.0, -1.0], "the first of equals", {"acc": 0.5}),
                    ([-1.25], "", {"acc": 0.0, "acc_norm": 1.0}),
                    ([], "generated text\nof two lines", {"exact_match": 1.0}),
                    ([-1.0, -2.0], "not what was the most probable", {"acc": 0.0}),
                ],
                strict=True,
            )
        )
    ]
    other = [dict(line) for line in lines]
    other[4]["response"] = "another text for the same choice"
    add_score(folder, lines=lines)
    add_score(folder, lines=other, backend="vllm")

    store.ingest([folder])

    for backend, wrote in (("hf", lines), ("vllm", other)):
        asked = "document, doc_hash, target, response, metrics, logprobs"
        rows = store.query(f"SELECT {asked} FROM score_documents WHERE backend = '{backend}' ORDER BY document").rows
        for line, (document, doc_hash, target, response, metrics, logprobs) in zip(wrote, rows, strict=True):
            assert (document, doc_hash, target) == (line["index"], line["doc_hash"], line["target"])
            assert response == line["response"]
            assert metrics == line["metrics"]
            assert logprobs == line["logprobs"]
    assert one(store, "SELECT count(*) FROM score_results WHERE response IS NOT NULL") == 3 + 2


def test_a_new_score_of_the_same_task_backend_and_step_replaces_the_old(store: Store, folder: RunFolder) -> None:
    for step in (None, 5):
        add_score(folder, acc=0.1, step=step)
    store.ingest([folder])
    changed = [{**line, "prompt_hash": "other"} for line in made_up_documents(2)]
    add_score(folder, acc=0.7, lines=changed)

    done = store.ingest([folder])

    assert (done.scores, done.documents) == (1, 2)  # that of the step was not read again
    assert store.query("SELECT step, value FROM scores ORDER BY step").rows == [(5, 0.1), (None, 0.7)]
    assert store.query("SELECT step, count(*) FROM score_documents GROUP BY step ORDER BY step").rows == [
        (5, 4),
        (None, 2),
    ]
    assert held(store)["document_sets"] == 2


def test_what_no_score_asks_any_more_goes_away(store: Store, folder: RunFolder) -> None:
    place = add_score(folder)
    add_score(folder, documents=2, backend="vllm")
    add_overlap(folder)
    store.ingest([folder])
    shutil.rmtree(place)
    (folder.scores / "arithmetic_mc.overlap.json").unlink()

    store.ingest([folder])

    assert held(store) == {
        "task_scores": 1,
        "score_results": 2,
        "document_sets": 1,
        "task_documents": 2,
        "task_choices": 4,
    }
    assert one(store, "SELECT count(*) FROM data_overlaps") == 0


def test_overlaps_are_read_and_replaced(store: Store, folder: RunFolder) -> None:
    add_overlap(folder)
    store.ingest([folder])
    asked = "task, task_hash, data_fingerprint, documents, exact, ngram, n, share, examples->>'$[0].document', "
    asked += "short, training_rows, trained_on->>'$[0].rows', reason"
    expected = ("arithmetic_mc", "t1", "f1", 200, 3, 5, 13, 0.03, "7", 1, 4000, "4000", None)
    assert one(store, f"SELECT {asked} FROM data_overlaps") == expected
    add_overlap(folder, share=0.0, exact=0, ngram=0)

    assert store.ingest([folder]).problems == ()

    assert one(store, "SELECT share FROM data_overlaps") == 0.0


@pytest.mark.parametrize("text", ["{", "[]", '{"share": 0.1}'])
def test_a_damaged_overlap_is_said(store: Store, folder: RunFolder, text: str) -> None:
    add_overlap(folder).write_text(text)

    done = store.ingest([folder])

    assert [problem.what for problem in done.problems] == ["arithmetic_mc.overlap.json cannot be read"]
    assert one(store, "SELECT count(*) FROM trials") == 1


def test_the_end_alone_counts_as_the_score_of_a_trial(store: Store, folder: RunFolder) -> None:
    add_score(folder, acc=0.6, scored_at="2026-11-22T10:01:00Z")
    add_score(folder, acc=0.9, step=2, scored_at="2026-11-22T11:00:00Z")
    store.ingest([folder])

    assert one(store, "SELECT value FROM trial_scores") == 0.6
    (trial,) = store.results("quick").trials
    assert trial.metrics["score.arithmetic_mc.acc"] == 0.6
    assert not any("other weights" in note for note in trial.notes)


def test_a_step_in_the_folders_name_is_none_of_the_end(store: Store, folder: RunFolder) -> None:
    place = add_score(folder, step=7)
    value = read_json(place / "score.json") or {}
    del value["step"]
    write_json(place / "score.json", value)
    store.ingest([folder])

    assert one(store, "SELECT step FROM scores") == 7
    assert one(store, "SELECT count(*) FROM trial_scores") == 0


def test_a_score_counts_as_a_whole(store: Store, folder: RunFolder) -> None:
    """Metrics of two backends are never put together."""
    both: dict[str, Any] = {"metrics": {"acc": 0.1, "acc_norm": 0.2}, "scored_at": "2026-11-22T10:01:00Z"}
    add_score(folder, **both)
    add_score(folder, acc=0.3, backend="vllm", scored_at="2026-11-22T10:02:00Z")
    store.ingest([folder])

    assert store.query("SELECT metric, value, backend FROM trial_scores").rows == [("acc", 0.3, "vllm")]


def test_quality_over_steps(store: Store, results: Path) -> None:
    outcome = replace(OUTCOME, step_hashes={"2": "w1", "4": "w1", "6": "w1"})
    folder = write_folder(results, spec_of(), events=step_events(6), outcome=outcome)
    floor = write_folder(results, spec_of("floor", kind="floor", method=None), events=[])
    for step, acc in ((2, 0.3), (4, 0.5), (6, 0.1), (None, 0.8)):
        add_score(folder, acc=acc, step=step)
    add_score(folder, acc=0.4, step=4, backend="vllm", scored_at="2026-11-22T12:00:00Z")
    add_score(floor, acc=0.2)
    store.ingest([folder, floor])

    rows = store.query("SELECT name, step, ended, value, backend FROM quality_curves ORDER BY name, step").rows

    # The end is at the last step that was trained, and what was scored of it there is not told twice; of several
    # backends the latest counts.
    assert rows == [
        ("dpo-s0", 2, False, 0.3, "hf"),
        ("dpo-s0", 4, False, 0.4, "vllm"),
        ("dpo-s0", 6, True, 0.8, "hf"),
        ("floor-s0", 0, True, 0.2, "hf"),
    ]


def test_steps_of_an_earlier_training_are_left_out(store: Store, folder: RunFolder) -> None:
    add_attempt(folder, outcome=replace(OUTCOME, weights_hash="w2", step_hashes={"2": "new", "3": "new"}))
    add_attempt(folder, outcome=replace(OUTCOME, outcome="oom", weights_hash=None))
    for step, weights in ((2, "old"), (3, "new"), (4, "old")):
        add_score(folder, step=step, weights_hash=weights)
    store.ingest([folder])

    assert store.query("SELECT step FROM quality_curves").rows == [(3,)]


def test_values_of_documents_by_metric(store: Store, folder: RunFolder) -> None:
    lines = [{**line, "metrics": {"acc": 1.0, "f1": number / 4}} for number, line in enumerate(made_up_documents(4))]
    add_score(folder, lines=lines)
    store.ingest([folder])

    asked = "SELECT metric, avg(value), count(*) FROM score_values GROUP BY metric ORDER BY metric"
    assert store.query(asked).rows == [("acc", 1.0, 4), ("f1", 0.375, 4)]


def test_a_score_without_metrics_keeps_its_documents(store: Store, folder: RunFolder) -> None:
    """All came out as no number: the score has no row in scores, and is there all the same."""
    add_score(folder, metrics={}, notes=("acc came out as nan",))
    store.ingest([folder])

    assert one(store, "SELECT count(*) FROM scores") == 0
    assert one(store, "SELECT notes FROM task_scores") == ["acc came out as nan"]
    assert one(store, "SELECT count(*) FROM score_documents") == 4


def test_a_score_whose_documents_cannot_be_read_is_stored(store: Store, folder: RunFolder) -> None:
    place = add_score(folder)
    (place / "documents.jsonl").unlink()

    done = store.ingest([folder])

    assert [problem.what for problem in done.problems] == ["documents.jsonl cannot be read"]
    assert one(store, "SELECT value FROM trial_scores") == 0.9
    assert one(store, "SELECT count(*) FROM score_documents") == 0


def test_one_documents_damage_costs_that_document(store: Store, folder: RunFolder) -> None:
    file = add_score(folder) / "documents.jsonl"
    lines = file.read_text().splitlines()
    lines[1] = lines[1][:20]
    file.write_text("\n".join(lines) + "\n")

    (problem,) = store.ingest([folder]).problems

    assert problem.where is not None
    assert problem.where.line == 2
    assert one(store, "SELECT list(document ORDER BY document) FROM score_documents") == [0, 2, 3]


def test_numbers_that_are_none_stay_so(store: Store, folder: RunFolder) -> None:
    lines = [{**made_up_documents(1)[0], "logprobs": ["NaN", "-Infinity"], "metrics": {"acc": "NaN"}}]
    add_score(folder, lines=lines, metrics={"acc": 0.0})
    store.ingest([folder])

    assert one(store, "SELECT isnan(logprobs[1]), logprobs[2], isnan(metrics['acc']) FROM score_documents") == (
        True,
        float("-inf"),
        True,
    )


def test_many_scores_at_once_are_numbered_apart(store: Store, results: Path) -> None:
    folders = [write_folder(results, spec_of(seed=seed), events=[]) for seed in range(5)]
    for number, folder in enumerate(folders):
        add_score(folder, acc=number / 10, lines=[{**made_up_documents(1)[0], "metrics": {"acc": number / 10}}])
        store.ingest(folders[: number + 1])

    assert one(store, "SELECT count(DISTINCT score) FROM task_scores") == 5
    asked = "SELECT bool_and(d.metrics['acc'] = s.value), count(*) FROM score_documents AS d JOIN scores AS s "
    assert one(store, asked + "USING (suite, trial_id)") == (True, 5)


def test_documents_with_odd_indices_are_numbered_by_line(store: Store, folder: RunFolder) -> None:
    lines = [{**line, "index": 7} for line in made_up_documents(3)]
    add_score(folder, lines=lines)
    store.ingest([folder])

    rows = store.query("SELECT document, doc_hash FROM score_documents ORDER BY document").rows
    assert rows == [(0, "d0"), (1, "d1"), (2, "d2")]


def test_json_that_is_none_of_ours_is_stored_as_it_is(store: Store, folder: RunFolder) -> None:
    place = add_score(folder, parity={"max_logprob_difference": float("inf")})
    value = json.loads((place / "score.json").read_text()) | {"notes": "one text", "canary": [1], "served": None}
    (place / "score.json").write_text(json.dumps(value | {"step": "two", "flags": None}))

    assert store.ingest([folder]).problems == ()

    assert one(store, "SELECT notes, canary, served, step, flags, parity FROM scores") == (
        *([], None, "loaded", None),
        *("{}", '{"max_logprob_difference": "Infinity"}'),
    )


def test_backends_stand_beside_what_is_compared(store: Store, results: Path) -> None:
    folders = [write_folder(results, spec_of(seed=seed)) for seed in range(2)]
    for folder, backend in zip(folders, ("vllm", "hf"), strict=True):
        add_score(folder, backend=backend)
    store.ingest(folders)

    wanted = "metric IN ('final_loss', 'score.arithmetic_mc.acc')"
    found = store.query(f"SELECT metric, seeds, backends FROM method_comparison WHERE {wanted}")
    assert sorted(found.rows) == [
        ("final_loss", 2, None),
        ("score.arithmetic_mc.acc", 2, ["hf", "vllm"]),
    ]
