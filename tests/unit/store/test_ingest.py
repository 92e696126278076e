"""What an ingest takes, replaces and leaves alone, and that a rebuild comes to the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from harness.records.events import encode
from harness.records.run_folder import RunFolder, run_folders, write_json
from harness.store import Store
from tests.unit.store.asked import content, one
from tests.unit.store.made_up import (
    OUTCOME,
    a_few,
    add_attempt,
    add_device,
    add_overlap,
    add_score,
    spec_of,
    step_events,
    write_folder,
)


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


def test_samples_of_the_device_are_read_when_they_come(store: Store, results: Path) -> None:
    folder = write_folder(results, spec_of())
    store.ingest([folder])
    add_device(folder, samples=2)
    assert store.ingest([folder]).samples == 39 + 2 * 3
    add_device(folder, samples=4)

    again = store.ingest([folder])

    assert (again.attempts, again.samples) == (1, 39 + 4 * 3)
    assert one(store, "SELECT count(*) FROM device_timeline") == 4


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

    for table in ("trials", "attempts", "metrics", "samples", "notes", "findings", "phases", "environment_files"):
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
    add_score(folders[1], acc=0.3, step=2)
    add_score(folders[1], acc=0.3, backend="vllm")
    replaced = {"task": "arithmetic_mc", "backend": "hf", "weights_hash": "w0", "metrics": {"acc": 0.1}}
    (add_score(folders[1]) / "earlier.jsonl").write_text(json.dumps(replaced) + "\nno score\n", encoding="utf-8")
    add_overlap(folders[1])
    add_device(folders[1])
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
