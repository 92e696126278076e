from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.records.events import encode
from harness.records.run_folder import RunFolder, run_folders, write_json
from harness.store import Store
from tests.unit.store.made_up import OUTCOME, add_attempt, add_score, spec_of, step_events, write_folder

TABLES = ["trials", "attempts", "metrics", "phases", "samples", "notes", "environment_files", "scores"]
TABLES += ["score_documents", "ingested", "meta", "suites", "cells", "trial_summary", "method_comparison"]
TABLES += ["loss_curves", "reward_margins", "environments", "trial_metrics"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def store(results: Path) -> Store:
    return Store(results / "harness.duckdb", patience_s=0.2)


def content(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table and view, in one order; repr so that NaN equals NaN."""
    found = {name: store.query(f"SELECT * FROM {name}").rows for name in TABLES}
    return {name: sorted((repr(row),) for row in rows) for name, rows in found.items()}


def one(store: Store, sql: str) -> Any:
    rows = store.query(sql).rows
    assert len(rows) == 1, rows
    return rows[0][0] if len(rows[0]) == 1 else rows[0]


def a_few(results: Path) -> list[RunFolder]:
    folders = []
    for cell in ("dpo", "orpo"):
        for seed in (0, 1):
            folders.append(write_folder(results, spec_of(cell, seed)))
            add_score(folders[-1], acc=0.9 + seed / 100)
    return folders


def test_counts_what_it_stored(store: Store, results: Path) -> None:
    done = store.ingest(a_few(results))

    assert (done.trials, done.attempts, done.scores, done.documents, done.unchanged) == (4, 4, 4, 16, 0)
    assert done.samples == 4 * 39 == one(store, "SELECT count(*) FROM samples")
    assert done.problems == ()


def test_a_second_ingest_stores_nothing(store: Store, results: Path) -> None:
    folders = a_few(results)
    store.ingest(folders)
    before = content(store)
    written = store.path.stat().st_mtime_ns

    again = store.ingest(folders)

    assert (again.trials, again.attempts, again.samples, again.unchanged) == (0, 0, 0, 4)
    assert content(store) == before
    assert store.path.stat().st_mtime_ns == written


def test_only_the_changed_part_is_read_again(store: Store, results: Path) -> None:
    folders = a_few(results)
    store.ingest(folders)
    add_score(folders[2], acc=0.5, documents=2)

    again = store.ingest(folders)

    assert (again.trials, again.attempts, again.scores, again.documents, again.unchanged) == (1, 0, 1, 2, 3)
    changed = "suite = 'quick' AND trial_id = 'orpo-id-0'"
    assert one(store, f"SELECT value FROM scores WHERE {changed}") == 0.5
    assert one(store, f"SELECT count(*) FROM score_documents WHERE {changed}") == 2


def test_an_attempt_that_went_on_is_replaced_not_doubled(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of(), events=step_events(2), outcome=None)
    store.ingest([folder])
    assert one(store, "SELECT outcome FROM attempts") is None
    assert one(store, "SELECT outcome FROM trial_summary") is None
    attempt = folder.attempts()[0]
    attempt.events.write_text("".join(encode(event) for event in step_events(5)))
    attempt.close(OUTCOME)

    store.ingest([folder])

    assert one(store, "SELECT outcome FROM attempts") == "ok"
    assert one(store, "SELECT count(*), max(step) FROM samples WHERE metric = 'loss'") == (5, 5)


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


def test_a_removed_score_goes_away(store: Store, results: Path) -> None:
    folders = a_few(results)
    store.ingest(folders)
    shutil.rmtree(folders[0].scores)

    store.ingest(folders)

    assert one(store, "SELECT count(*) FROM scores") == 3
    assert one(store, "SELECT count(*) FROM score_documents WHERE trial_id = 'dpo-id-0'") == 0


def test_a_folder_that_holds_another_trial_now_replaces_the_earlier(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of("dpo"))
    store.ingest([folder])
    write_json(folder.spec_file, spec_of("sft").to_json())

    store.ingest([folder])

    for table in ("trials", "attempts", "metrics", "samples", "notes", "phases", "environment_files"):
        assert store.query(f"SELECT DISTINCT trial_id FROM {table}").rows == [("sft-id-0",)], table


def test_one_trial_in_two_folders_is_counted_once(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of())
    copy = shutil.copytree(folder.path, results / "quick" / "copy")

    done = store.ingest([folder, RunFolder(copy)])

    assert one(store, "SELECT count(*) FROM trials") == 1
    assert [problem.what for problem in done.problems] == ["trial dpo-id-0 of suite quick lies in two folders"]


def test_a_moved_folder_takes_the_place_of_the_old(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of())
    store.ingest([folder])
    moved = RunFolder(folder.path.rename(results / "quick" / "elsewhere"))

    store.ingest([moved])

    assert one(store, "SELECT folder FROM trials") == "quick/elsewhere"
    assert one(store, "SELECT count(*) FROM samples") == 39


def test_folders_are_named_relative_to_the_database(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of())
    store.ingest([folder])
    elsewhere = results.rename(results.with_name("moved"))

    again = Store(elsewhere / "harness.duckdb").ingest(run_folders(elsewhere))

    assert again.unchanged == 1


def test_rebuild_gives_the_same_content_as_ingest(store: Store, results: Path) -> None:
    folders = a_few(results)
    for folder in folders:  # one by one, as a run does it
        store.ingest([folder])
    add_attempt(folders[0], outcome=replace(OUTCOME, outcome="crashed", cause="again"))
    add_score(folders[1], task="arithmetic_gen", acc=0.4)
    write_json(folders[2].environment_file, {"hash": "env2", "packages": {"torch": "3"}})
    store.ingest(folders)
    folders.append(write_folder(results, spec_of("sft", suite="other"), outcome=None, environment=None))
    store.ingest(folders[-1:])
    before = content(store)

    done = store.rebuild(results)

    assert content(store) == before
    assert all(before.values()), "every table had rows to compare"
    assert (done.trials, done.attempts, done.unchanged) == (5, 6, 0)
    assert sorted(entry.name for entry in results.iterdir()) == ["harness.duckdb", "other", "quick"]


def test_rebuild_forgets_deleted_folders(store: Store, results: Path) -> None:
    folders = a_few(results)
    store.ingest(folders)
    shutil.rmtree(folders[0].path)
    store.ingest(folders[1:])
    assert one(store, "SELECT count(*) FROM trials") == 4

    store.rebuild(results)

    assert one(store, "SELECT count(*) FROM trials") == 3


def test_what_the_tables_say_of_a_trial(store: Store, results: Path) -> None:
    spec = spec_of(init={"stage": "base", "trial_id": "base-id-0"}, start="../base-id-0/checkpoint")
    folder = write_folder(results, spec)
    add_score(folder)
    store.ingest([folder])

    assert one(store, "SELECT name, seed, method, starts_from, question, folder FROM trials") == (
        "dpo-s0",
        0,
        "dpo",
        "base-id-0",
        "Which method?",
        "quick/dpo-id-0",
    )
    assert one(store, "SELECT levels['method'], spec->>'$.train.learning_rate' FROM trials") == ("dpo", "0.001")
    assert one(store, "SELECT active->>'optimizer' FROM attempts") == "AdamW"
    assert store.query("SELECT phase, started_s, seconds FROM phases").rows == [
        ("model", 0.0, 0.05),
        ("train", 0.08, pytest.approx(8.92)),
    ]
    assert one(store, "SELECT scores['arithmetic_mc.acc'] FROM trial_summary") == 0.9
    assert one(store, "SELECT response, metrics['acc'], logprobs FROM score_documents WHERE document = 1") == (
        "5",
        1.0,
        [-0.5, -1.5],
    )


def test_step_events_become_samples_by_their_public_names(store: Store, results: Path) -> None:
    store.ingest([write_folder(results, spec_of())])

    found = dict(store.query("SELECT metric, value FROM samples WHERE step = 2").rows)

    step = {"step_seconds": 0.1, "data_seconds": 0.01, "real_tokens": 902, "padded_tokens": 1024, "loss_tokens": 300}
    step |= {"reference_tokens": 0, "samples": 32, "measured": 1}
    log = {"loss": 2 * math.exp(-2 / 300), "grad_norm": 0.5, "learning_rate": 1e-3, "rewards/margins": 0.02}
    assert found == pytest.approx(step | log | {"host_uss": 500_000_002})
    assert one(store, "SELECT t FROM samples WHERE step = 2 AND metric = 'loss'") == 0.2


def test_nan_and_infinity_are_kept(store: Store, results: Path) -> None:
    values = [float("nan"), float("inf"), float("-inf"), 1.5]
    events = [{"t": 0.1 * n, "kind": "log", "step": n, "values": {"loss": v}} for n, v in enumerate(values)]
    outcome = replace(OUTCOME, outcome="diverged", summary={"final_loss": float("nan")})
    store.ingest([write_folder(results, spec_of(), events=events, outcome=outcome)])

    found = [value for (value,) in store.query("SELECT value FROM samples ORDER BY step").rows]

    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf, 1.5]
    assert math.isnan(one(store, "SELECT final_loss FROM trial_summary"))


def test_a_torn_last_line_is_legal(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of(), events=step_events(3))
    file = folder.attempts()[0].events
    file.write_bytes(file.read_bytes() + b'{"t":0.4,"kind":"st')

    done = store.ingest([folder])

    assert done.problems == ()
    assert one(store, "SELECT max(step) FROM samples") == 3


DAMAGE: Sequence[tuple[str, bytes]] = [
    ("cut inside", b'{"t":0.2,"kind":"log","st\n'),
    ("not UTF-8", b'\xff\xfe{"kind": "log"}\n'),
    ("zeros", b"\0" * 300 + b"\n"),
    ("no object", b"[1, 2]\n"),
    ("two on a line", b'{"kind":"note"} {"kind":"note"}\n'),
    ("merging with the next", b'{"kind":"note"\n"text":"x"}\n'),
    ("nested without end", b"[" * 100_000 + b"\n"),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGE, ids=[name for name, _ in DAMAGE])
def test_a_damaged_events_file_is_said_and_the_rest_is_stored(
    store: Store, results: Path, name: str, damage: bytes
) -> None:
    folder = write_folder(results, spec_of(), events=step_events(2))
    file = folder.attempts()[0].events
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:3]) + damage + b"".join(lines[3:]))

    done = store.ingest([folder, write_folder(results, spec_of("orpo"))])

    (problem,) = done.problems
    assert "lines are no events" in problem.what
    assert problem.where is not None
    assert (problem.where.file, problem.where.line) == (file, 4)
    assert one(store, "SELECT count(*) FROM samples WHERE trial_id = 'dpo-id-0'") == 2 * 13
    assert one(store, "SELECT count(*) FROM samples WHERE trial_id = 'orpo-id-0'") == 3 * 13


@pytest.mark.parametrize(
    "event",
    [
        {"t": 0.1, "kind": "log", "step": "three", "values": {"loss": 1.0}},
        {"t": 0.1, "kind": "log", "step": None, "values": {"loss": 1.0}},
        {"t": 0.1, "kind": "log", "step": 2**70, "values": {"loss": 1.0}},
        {"t": 0.1, "kind": "log", "step": 1, "values": {"loss": "high", "list": [1], "none": None, "big": 10**400}},
        {"t": 0.1, "kind": "log", "step": 1, "values": [1, 2]},
        {"kind": "log"},
        {"kind": "step"},
        {"kind": ["log"]},
        {"t": 0.1, "kind": "phase", "name": 3, "edge": "start"},
        {"t": 0.1, "kind": "note", "text": {"a": 1}},
        {"t": 0.1, "kind": "active", "values": 1},
        {"t": 0.1, "kind": "of the future", "step": 1},
        {},
    ],
)
def test_events_of_an_odd_shape_are_passed_over(store: Store, results: Path, event: dict[str, Any]) -> None:
    events = [*step_events(2), event, *step_events(2)[:1]]
    folder = write_folder(results, spec_of(), events=[])
    folder.attempts()[0].events.write_text("".join(json.dumps(line) + "\n" for line in events))

    store.ingest([folder])

    assert one(store, "SELECT count(*) FROM samples") == 2 * 13 + 8


def test_events_with_equally_many_but_other_fields_keep_apart(store: Store, results: Path) -> None:
    logs = [{"loss": 1.0, "lr": 0.1}, {"eval_loss": 2.0, "lr": 0.2}, {"lr": 0.3, "loss": 3.0}, {"kind": 4.0, "t": 5.0}]
    events = [{"t": 0.1 * n, "kind": "log", "step": n, "values": values} for n, values in enumerate(logs)]
    store.ingest([write_folder(results, spec_of(), events=events)])

    found: dict[str, list[tuple[int, float]]] = {}
    for metric, step, value in store.query("SELECT metric, step, value FROM samples ORDER BY metric, step").rows:
        found.setdefault(metric, []).append((step, value))
    assert found == {
        "loss": [(0, 1.0), (2, 3.0)],
        "eval_loss": [(1, 2.0)],
        "lr": [(0, 0.1), (1, 0.2), (2, 0.3)],
        "kind": [(3, 4.0)],
        "t": [(3, 5.0)],
    }


def test_a_time_that_is_none_is_null(store: Store, results: Path) -> None:
    events = [
        {"kind": "log", "step": 1, "values": {"loss": 1.0}},
        {"kind": "log", "step": 2, "t": 3, "values": {"loss": 2}},
    ]
    folder = write_folder(results, spec_of(), events=[])
    folder.attempts()[0].events.write_text("".join(json.dumps(event) + "\n" for event in events))
    store.ingest([folder])

    assert store.query("SELECT step, t, value FROM samples ORDER BY step").rows == [(1, None, 1.0), (2, 3.0, 2.0)]


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("attempts/1/outcome.json", "outcome.json cannot be read"),
        ("environment.json", "environment.json cannot be read"),
        ("scores/arithmetic_mc.hf/score.json", "score.json cannot be read"),
        ("scores/arithmetic_mc.hf/documents.jsonl", "1 of its lines are no documents"),
    ],
)
def test_other_damaged_files_are_said_and_the_rest_is_stored(store: Store, results: Path, file: str, what: str) -> None:
    folder = write_folder(results, spec_of())
    add_score(folder)
    (folder.path / file).write_text('{"outcome": "ok"')

    done = store.ingest([folder])

    assert [problem.what for problem in done.problems] == [what]
    assert one(store, "SELECT count(*) FROM trials") == 1
    assert one(store, "SELECT count(*) FROM samples") == 39


def test_a_damaged_spec_leaves_its_folder_out(store: Store, results: Path) -> None:
    good, bad = write_folder(results, spec_of("dpo")), write_folder(results, spec_of("orpo"))
    bad.spec_file.write_text("{")

    done = store.ingest([bad, good])

    assert [problem.what for problem in done.problems] == ["spec.json cannot be read"]
    assert store.query("SELECT trial_id FROM trials").rows == [("dpo-id-0",)]


def test_odd_text_arrives_as_it_can(store: Store, results: Path) -> None:
    spec = spec_of(train={"note": float("nan"), "text": "a 'quoted' \u2028 ümläut"})
    folder = write_folder(
        results, spec, events=[{"t": 1, "kind": "note", "level": "info", "text": "lone \ud800 surrogate"}]
    )
    done = store.ingest([folder])

    assert done.problems == ()
    assert one(store, "SELECT text FROM notes") == "lone ? surrogate"
    assert one(store, "SELECT spec->>'$.train.text', spec->>'$.train.note' FROM trials") == (
        "a 'quoted' \u2028 ümläut",
        "NaN",
    )


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


def test_suites_and_an_unknown_suite(store: Store, results: Path) -> None:
    assert store.suites() == []
    for name in ("b", "a"):
        write_folder(results, spec_of(suite=name))
    store.ingest(run_folders(results))

    assert store.suites() == ["a", "b"]
    assert store.results("unknown").trials == ()


def test_an_ingest_of_nothing_makes_an_empty_store(store: Store) -> None:
    store.ingest([])

    assert store.suites() == []
    assert store.results("quick").trials == ()


def test_trials_of_two_suites_with_one_id_stay_apart(store: Store, results: Path) -> None:
    for name in ("a", "b"):
        write_folder(results, spec_of(suite=name))
    store.ingest(run_folders(results))
    add_attempt(RunFolder(results / "a" / "dpo-id-0"))
    store.ingest(run_folders(results))

    assert store.query("SELECT suite, attempts FROM trial_summary ORDER BY suite").rows == [("a", 2), ("b", 1)]
    assert one(store, "SELECT count(*) FROM samples WHERE suite = 'b'") == 39


def test_an_unreadable_events_file_is_said(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of())
    file = folder.attempts()[0].events
    file.unlink()
    file.mkdir()  # what nobody can read as a file, root included

    done = store.ingest([folder])

    assert [problem.what for problem in done.problems] == ["events.jsonl cannot be read"]
    assert one(store, "SELECT outcome FROM attempts") == "ok"


def test_a_results_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")

    with pytest.raises(StoreError) as caught:
        Store(tmp_path / "results" / "harness.duckdb").ingest([])

    assert "cannot be opened" in str(caught.value)
