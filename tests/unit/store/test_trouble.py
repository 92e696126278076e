"""Locked, damaged, foreign, of another version, full disk: a clear error, a way out, and no run folder touched."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from harness.errors import EXIT_INPUT, StoreError
from harness.records.run_folder import RunFolder, run_folders
from harness.store import Store
from tests.unit.store.made_up import add_score, spec_of, step_events, write_folder

HOLD = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(60)"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def folders(results: Path) -> list[RunFolder]:
    made = [write_folder(results, spec_of("dpo", seed)) for seed in (0, 1)]
    add_score(made[0])
    return made


@pytest.fixture
def store(results: Path, folders: list[RunFolder]) -> Store:
    made = Store(results / "harness.duckdb", patience_s=0.2)
    made.ingest(folders)
    return made


@pytest.fixture
def holder(store: Store) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(store.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def said(error: pytest.ExceptionInfo[StoreError]) -> str:
    assert error.value.exit_code == EXIT_INPUT
    assert len(error.value.problems) == 1
    assert error.value.problems[0].hint, "an error without a way out"
    return str(error.value)


def test_a_lock_names_its_holder(store: Store, holder: subprocess.Popen[str], folders: list[RunFolder]) -> None:
    add_score(folders[1])
    for call in (store.suites, lambda: store.ingest(folders), lambda: store.rebuild(store.path.parent)):
        with pytest.raises(StoreError) as error:
            call()
        assert f"process {holder.pid}" in said(error)

    holder.kill()
    holder.wait()
    assert store.ingest(folders).scores == 1
    assert sorted(path.name for path in store.path.parent.iterdir()) == ["harness.duckdb", "quick"]


def test_a_lock_that_goes_away_is_waited_for(store: Store, holder: subprocess.Popen[str]) -> None:
    threading.Timer(0.3, holder.kill).start()

    assert Store(store.path, patience_s=20).suites() == ["quick"]


def test_a_reader_and_a_writer_of_one_process_wait_for_each_other(store: Store) -> None:
    connection = duckdb.connect(str(store.path))
    threading.Timer(0.3, connection.close).start()

    assert Store(store.path, patience_s=20).suites() == ["quick"]


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_file_is_said_and_rebuilt(store: Store, keep: float) -> None:
    before = store.query("SELECT * FROM samples ORDER BY ALL").rows
    raw = store.path.read_bytes()
    store.path.write_bytes(raw[: int(keep * len(raw))])
    broken = store.path.read_bytes()
    errors = []

    for call in (store.suites, lambda: store.results("quick"), lambda: store.query("FROM samples")):
        try:
            call()
        except StoreError as error:
            errors.append(str(error))
    store.rebuild(store.path.parent)

    assert errors, "no call noticed the loss"
    assert all("is damaged" in error and "harness store rebuild" in error for error in errors)
    assert store.path.with_name("harness.duckdb.damaged-1").read_bytes() == broken
    assert store.query("SELECT * FROM samples ORDER BY ALL").rows == before


@pytest.mark.parametrize("content", [b"", b"not a database\n" * 1000, b"SQLite format 3\0" + b"\0" * 5000])
def test_a_file_that_is_no_database(store: Store, folders: list[RunFolder], content: bytes) -> None:
    store.path.write_bytes(content)

    for call in (store.suites, lambda: store.ingest(folders)):
        with pytest.raises(StoreError) as error:
            call()
        assert "is damaged" in said(error)
        assert "harness store rebuild" in said(error)
    assert store.path.read_bytes() == content


def test_every_damaged_file_is_kept(store: Store, results: Path) -> None:
    for number in (1, 2, 3):
        store.path.write_bytes(b"damage %d" % number)
        store.rebuild(results)

    kept = {path.name: path.read_bytes() for path in results.glob("*.damaged-*")}
    assert kept == {f"harness.duckdb.damaged-{n}": b"damage %d" % n for n in (1, 2, 3)}


def test_damage_in_the_middle_is_said(store: Store) -> None:
    raw = bytearray(store.path.read_bytes())
    for start in range(12288, len(raw), 4096):
        raw[start + 64 : start + 128] = b"\xff" * 64
    store.path.write_bytes(raw)

    with pytest.raises(StoreError) as error:
        store.results("quick")

    assert "is damaged" in said(error)
    assert store.rebuild(store.path.parent).trials == 2
    assert store.path.with_name("harness.duckdb.damaged-1").read_bytes() == raw


def set_version(store: Store, version: str) -> None:
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("UPDATE meta SET value = ?", [version])


def test_a_store_of_a_newer_harness(store: Store, folders: list[RunFolder]) -> None:
    set_version(store, "7")

    for call in (store.suites, lambda: store.ingest(folders), lambda: store.query("SELECT 1")):
        with pytest.raises(StoreError) as error:
            call()
        assert "version 7" in said(error)
        assert "version 4" in said(error)
        assert "upgrade" in said(error)


def test_a_store_of_an_older_harness_is_rebuilt(store: Store) -> None:
    set_version(store, "1")

    with pytest.raises(StoreError) as error:
        store.suites()
    assert "older" in said(error)
    assert "harness store rebuild" in said(error)

    store.rebuild(store.path.parent)
    assert store.suites() == ["quick"]
    assert list(store.path.parent.glob("*.damaged-*")) == []  # it was sound, and nothing is lost with it


def of_version_1(store: Store) -> None:
    """The database as the first schema had it: without what the second and the third added."""
    with duckdb.connect(str(store.path)) as connection:
        views = ("score_documents", "score_values", "scores", "quality_curves", "trial_metrics", "trial_scores")
        for view in ("memory_breakdown", "device_timeline", "trial_summary", *views):
            connection.execute(f"DROP VIEW {view}")
        for table in ("score_metrics", "score_results", "document_sets", "task_documents", "task_choices"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("ALTER TABLE task_scores RENAME TO scores")
        connection.execute("DROP TABLE findings")
        for column in ("facts", "disturbed", "breakdown", "compute", "step_hashes"):
            connection.execute(f"ALTER TABLE attempts DROP COLUMN {column}")
    set_version(store, "1")


def test_an_ingest_makes_an_older_store_anew(store: Store, results: Path, folders: list[RunFolder]) -> None:
    before = store.query("SELECT * FROM samples ORDER BY ALL").rows
    of_version_1(store)
    new = write_folder(results, spec_of("orpo"))

    done = store.ingest([new])

    assert done.renewed
    assert done.trials == 1
    assert store.query("SELECT trial_id FROM trials ORDER BY 1").rows == [("dpo-id-0",), ("dpo-id-1",), ("orpo-id-0",)]
    assert store.query("SELECT * FROM samples WHERE trial_id <> 'orpo-id-0' ORDER BY ALL").rows == before
    assert not store.ingest([new, *folders]).renewed
    assert sorted(path.name for path in results.iterdir()) == ["harness.duckdb", "quick"]


def test_an_older_store_that_holds_more_than_the_run_folders_is_left_alone(
    store: Store, folders: list[RunFolder]
) -> None:
    of_version_1(store)
    shutil.rmtree(folders[1].path)
    before = store.path.read_bytes()

    with pytest.raises(StoreError) as error:
        store.ingest(folders[:1])

    assert "would lose 1 trials whose run folders are gone (the first: dpo-id-1)" in said(error)
    assert store.path.read_bytes() == before
    assert store.rebuild(store.path.parent).trials == 1


def test_an_older_store_that_somebody_holds_is_waited_for_and_left(store: Store, folders: list[RunFolder]) -> None:
    of_version_1(store)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(store.path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError) as error:
            store.ingest(folders)
        holder.kill()
    assert f"process {holder.pid}" in said(error)
    assert store.ingest(folders).renewed


def test_somebody_elses_database_is_not_written_to(store: Store, folders: list[RunFolder]) -> None:
    store.path.unlink()
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 42 AS answer")

    with pytest.raises(StoreError) as error:
        store.ingest(folders)
    assert "not a database of the harness" in said(error)

    store.rebuild(store.path.parent)
    with duckdb.connect(str(store.path.with_name("harness.duckdb.damaged-1")), read_only=True) as connection:
        assert connection.execute("SELECT answer FROM mine").fetchall() == [(42,)]


def test_a_missing_store_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as error:
        Store(tmp_path / "harness.duckdb").query("SELECT 1")

    assert "there is no database" in said(error)
    assert list(tmp_path.iterdir()) == []


def test_a_leftover_log_is_not_taken_for_the_new_file(store: Store, results: Path) -> None:
    killed = "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]); c.execute(\"SET wal_autocheckpoint='1TB'\"); "
    killed += "c.execute(\"UPDATE trials SET name = 'from the log'\"); os._exit(9)"
    subprocess.run([sys.executable, "-c", killed, str(store.path)], check=False)
    assert store.path.with_name("harness.duckdb.wal").exists()

    store.rebuild(results)

    assert store.query("SELECT DISTINCT name FROM trials ORDER BY 1").rows == [("dpo-s0",), ("dpo-s1",)]


def limited_ingest(path: Path, results: Path, limit: int) -> subprocess.CompletedProcess[str]:
    """Ingests in a process whose files cannot grow beyond `limit` bytes: the nearest thing to a full disk."""
    code = (
        "import sys; from pathlib import Path; from harness.store import Store; from harness.errors import StoreError\n"
        "from harness.records.run_folder import run_folders\n"
        "try:\n    Store(Path(sys.argv[1])).ingest(run_folders(Path(sys.argv[2])))\n"
        "except StoreError as error:\n    print(error)\n    sys.exit(error.exit_code)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(path), str(results)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


def test_a_full_disk_keeps_what_was_stored_and_the_run_folders(
    store: Store, results: Path, folders: list[RunFolder]
) -> None:
    for seed in range(2, 8):
        write_folder(results, spec_of("dpo", seed), events=step_events(2000))
    events = {path: path.read_bytes() for path in results.glob("quick/*/attempts/*/events.jsonl")}

    done = limited_ingest(store.path, results, store.path.stat().st_size + 4096)

    assert done.returncode == EXIT_INPUT, done.stderr
    assert "the disk is full" in done.stdout
    assert {path: path.read_bytes() for path in events} == events
    assert store.query("SELECT count(*) FROM trials").rows == [(2,)]
    assert store.ingest(run_folders(results)).trials == 6


def test_an_ingest_killed_in_the_middle_leaves_whole_trials(store: Store, results: Path) -> None:
    for seed in range(2, 30):
        write_folder(results, spec_of("dpo", seed), events=step_events(300))
    code = "import sys; from pathlib import Path; from harness.store import Store; print('x', flush=True); "
    code += "from harness.records.run_folder import run_folders; p = Path(sys.argv[1]); "
    code += "[Store(p / 'harness.duckdb').ingest([f]) for f in run_folders(p)]"
    process = subprocess.Popen([sys.executable, "-c", code, str(results)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(1.0)
    process.kill()
    process.communicate()

    samples = store.query("SELECT count(*) FROM samples GROUP BY trial_id HAVING count(*) NOT IN (39, 300 * 13)").rows
    assert list(samples) == []
    store.ingest(run_folders(results))
    assert store.query("SELECT count(*), count(DISTINCT trial_id) FROM samples WHERE metric = 'loss'").rows == [
        (28 * 300 + 2 * 3, 30)
    ]


def test_processes_that_ingest_the_same_at_once_store_it_once(results: Path, folders: list[RunFolder]) -> None:
    code = "import sys; from pathlib import Path; from harness.store import Store; "
    code += "from harness.records.run_folder import run_folders; p = Path(sys.argv[1]); "
    code += "Store(p / 'harness.duckdb', patience_s=60).ingest(run_folders(p))"
    running = [subprocess.Popen([sys.executable, "-c", code, str(results)], stderr=subprocess.PIPE) for _ in range(2)]

    assert [process.communicate()[1] for process in running] == [b"", b""]
    store = Store(results / "harness.duckdb")
    assert store.query("SELECT count(*) FROM trials").rows == [(2,)]
    assert store.query("SELECT count(*) FROM samples").rows == [(2 * 39,)]
