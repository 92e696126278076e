"""A run goes on while somebody else looks into the store, and the store catches up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from harness.errors import StoreError
from harness.records.progress import Silent
from harness.store import Ingesting, Store
from tests.unit.store.made_up import spec_of, write_folder

READ = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1], read_only=True); print('held', flush=True); "
READ += "time.sleep(60)"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "harness.duckdb", patience_s=0.1)
    made.ingest([write_folder(tmp_path, spec_of("dpo", 0))])
    return made


@pytest.fixture
def reader(store: Store) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", READ, str(store.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def _trials(store: Store) -> int:
    return len(store.query("FROM trials").rows)


def test_a_reader_does_not_stop_a_run_and_is_told_of_once(store: Store, reader: subprocess.Popen[str]) -> None:
    observer = Silent()
    ingesting = Ingesting(store, observer)
    folders = [write_folder(store.path.parent, spec_of("dpo", seed)) for seed in (1, 2)]
    ingesting.at_first(*folders)
    for folder in folders:
        ingesting.when_it_can(folder)
    (told,) = [text for _, text in observer.told]
    assert f"process {reader.pid}" in told
    assert "a reader keeps writers out" in told
    assert "safe in their run folders" in told
    with pytest.raises(StoreError, match=f"process {reader.pid}"):
        ingesting.now(*folders)

    reader.kill()
    reader.wait()
    ingesting.now(*folders)
    assert _trials(store) == 3


def test_a_damaged_store_is_a_reason_not_to_begin_but_none_to_stop(store: Store) -> None:
    store.path.write_bytes(b"not a database at all" * 1000)
    observer = Silent()
    ingesting = Ingesting(store, observer)
    folder = write_folder(store.path.parent, spec_of("dpo", 1))
    with pytest.raises(StoreError, match="store rebuild"):
        ingesting.at_first(folder)
    ingesting.when_it_can(folder)
    assert len(observer.told) == 1


def test_what_cannot_be_read_is_told(store: Store) -> None:
    observer = Silent()
    folder = write_folder(store.path.parent, spec_of("dpo", 1))
    folder.spec_file.write_text("garbage")
    Ingesting(store, observer).when_it_can(folder)
    (told,) = [str(text) for _, text in observer.told]
    assert "warning: " in told
    assert "spec.json" in told


def test_that_an_older_store_was_made_anew_is_told_once(store: Store) -> None:
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("UPDATE meta SET value = '1'")
    observer = Silent()
    ingesting = Ingesting(store, observer)
    folder = write_folder(store.path.parent, spec_of("dpo", 1))

    ingesting.at_first(folder)
    ingesting.now(folder)

    (told,) = [str(text) for _, text in observer.told]
    assert told.endswith("was of an older version and has been made anew from the run folders")
    assert _trials(store) == 2
