"""The store: one DuckDB file beside the run folders, made from them and from nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import InputError, StoreError
from harness.records.history import Past
from harness.records.results import SuiteResults
from harness.records.run_folder import RunFolder, run_folders
from harness.store import answers
from harness.store.connection import Older, Unusable, opened, read_everything
from harness.store.ingested import Ingested
from harness.store.past import past
from harness.store.reading import Known, Reading, known_of
from harness.store.single_documents import SingleDocuments
from harness.store.table import Table
from harness.store.writing import write


@dataclass(frozen=True, slots=True)
class Store:
    """The database at `path`. It is open only for the moment of a call; nothing is held between calls.

    Everything in it comes from run folders, so nothing is lost with it: `rebuild` makes it anew.
    `patience_s` is how long a call waits for another process that holds the file.
    """

    path: Path
    patience_s: float = 5.0

    def ingest(self, folders: Iterable[RunFolder]) -> Ingested:
        """Stores what is new or changed in these run folders; the file and its schema are made where missing.

        A part (spec, one attempt, one score) whose files kept sizes and modification times is skipped. Each trial
        is stored in one transaction. A folder being written now is stored as it stands, its attempt without an
        outcome, and replaced by the next ingest. A database of an earlier schema version is made anew first, from the
        run folders it names, where all of them are there still.

        Raises:
            StoreError: locked, damaged, of a later version, of an earlier one that holds trials without a run folder,
                or the disk is full; what was stored before stays.
        """
        self._make_folder()
        folders = list(folders)
        try:
            return _ingest(self.path, folders, base=self.path.parent, patience_s=self.patience_s)
        except Older:
            self._renew()
            done = _ingest(self.path, folders, base=self.path.parent, patience_s=self.patience_s)
            return replace(done, renewed=True)

    def rebuild(self, results: Path) -> Ingested:
        """The same content from the run folders under `results` alone, in a new file that then replaces the old one.

        A damaged file, or one that is no harness database, is moved aside to `<name>.damaged-<n>`, never deleted.

        Raises:
            InputError: `results` is no folder.
            StoreError: another process holds the database, or the disk is full; the old file stays as it was.
        """
        if not results.is_dir():
            why = "it is not a folder" if results.exists() else "there is no such folder"
            raise InputError.of(f"no results in {results}", why=why, hint="name the folder of results with --results")
        self._make_folder()
        return self._anew(run_folders(results))

    def _anew(self, folders: Iterable[RunFolder]) -> Ingested:
        """A new file of these run folders in the place of the old one."""
        new = self.path.with_name(f".{self.path.name}.new-{os.getpid()}")
        _remove(new)
        try:
            done = _ingest(new, folders, base=self.path.parent, patience_s=self.patience_s)
            self._take_place(new)
        finally:
            _remove(new)
        return done

    def _renew(self) -> None:
        """A database of an earlier schema version becomes one of this version, unless a trial would be lost."""
        with opened(self.path, write=False, patience_s=self.patience_s, oldest=0) as connection:
            names = [name for (name,) in connection.execute("SELECT folder FROM trials ORDER BY folder").fetchall()]
        held = [RunFolder(self.path.parent / name) for name in names]
        gone = [folder.path.name for folder in held if not folder.spec_file.exists()]
        if gone:
            raise Older.of(
                f"{self.path} was written by an older harness",
                why=f"made anew it would lose {len(gone)} trials whose run folders are gone (the first: {gone[0]})",
                hint="keep a copy of it if you need them, then `harness store rebuild`",
            )
        self._anew(held)

    def query(self, sql: str) -> Table:
        """The rows of one SQL statement, on a connection that cannot write: neither to the database nor to files.

        Raises:
            StoreError: duckdb's message with the position in the statement, and the names of the tables; or the
                database is missing, locked, damaged or of another version.
        """
        with opened(self.path, write=False, patience_s=self.patience_s) as connection:
            return answers.query(connection, sql)

    def results(self, suite: str) -> SuiteResults:
        """Everything the store knows of one suite; no trials where it knows none.

        Raises:
            StoreError: the database is missing, locked, damaged or of another version.
        """
        with opened(self.path, write=False, patience_s=self.patience_s) as connection:
            return answers.results(connection, suite)

    def past(self, metric: str, suites: Sequence[str] = ()) -> Past:
        """Every attempt of these suites (of all where none is named) with its figure of one metric.

        Raises:
            StoreError: the database is missing, locked, damaged or of another version.
        """
        with opened(self.path, write=False, patience_s=self.patience_s) as connection:
            return past(connection, metric, suites)

    def last_end(self, suite: str) -> str | None:
        """When the last of a suite's attempts ended, ISO 8601 UTC; None where none has.

        Raises:
            StoreError: the database is missing, locked, damaged or of another version.
        """
        with opened(self.path, write=False, patience_s=self.patience_s) as connection:
            found = connection.execute("SELECT last_ended_at FROM suites WHERE suite = ?", [suite]).fetchone()
        return found[0] if found else None

    def figures(self, suite: str) -> SuiteResults:
        """The same as `results` without curves, timelines and overlaps: what verdicts are made from, much sooner.

        Raises:
            StoreError: the database is missing, locked, damaged or of another version.
        """
        with opened(self.path, write=False, patience_s=self.patience_s) as connection:
            return answers.figures(connection, suite)

    def documents(self, suite: str) -> SingleDocuments:
        """What it knows of single documents of a suite's scores, to be asked task by task."""
        return SingleDocuments(self.path, suite, self.patience_s)

    def suites(self) -> list[str]:
        """Names of the suites it holds, sorted; none where there is no database yet.

        Raises:
            StoreError: the database is locked, damaged or of another version.
        """
        if not self.path.exists():
            return []
        with opened(self.path, write=False, patience_s=self.patience_s) as connection:
            return [name for (name,) in connection.execute("SELECT suite FROM suites ORDER BY suite").fetchall()]

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "choose another folder with --results"
            raise StoreError.of(f"{self.path} cannot be opened", why=str(error), hint=hint) from error

    def _take_place(self, new: Path) -> None:
        if not self.path.exists():
            _remove(_log(self.path))
            new.replace(self.path)
            return
        try:
            # Held while it is replaced, so that no other process is in the middle of writing to it. The checkpoint
            # empties its write-ahead log, which would be taken for the new file's. Damage may lie where opening does
            # not look; such a file is kept too.
            with opened(self.path, write=True, patience_s=self.patience_s, oldest=0) as connection:
                connection.execute("CHECKPOINT")
                read_everything(connection)
                new.replace(self.path)
        except Unusable:
            _set_aside(self.path)
            new.replace(self.path)


def _ingest(path: Path, folders: Iterable[RunFolder], *, base: Path, patience_s: float) -> Ingested:
    started = time.monotonic()
    known: dict[str, Known] = {}
    if path.exists():
        with opened(path, write=False, patience_s=patience_s) as connection:
            known = known_of(connection)
    reading = Reading(base=base, known=known)
    attempts = samples = scores = documents = 0
    wrote = False
    for change in reading.changes(folders):
        with opened(path, write=True, patience_s=patience_s) as connection:
            write(connection, change)
        wrote = True
        tables = change.rows.tables
        attempts += len(tables["attempts"])
        samples += change.rows.n_samples
        scores += len(change.rows.scores)
        documents += change.rows.n_documents
    if not wrote and not path.exists():
        with opened(path, write=True, patience_s=patience_s):
            pass  # an empty database, so that it can be asked
    return Ingested(
        trials=reading.trials,
        attempts=attempts,
        samples=samples,
        scores=scores,
        documents=documents,
        unchanged=reading.unchanged,
        seconds=time.monotonic() - started,
        problems=tuple(reading.problems),
    )


def _log(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def _remove(path: Path) -> None:
    for file in (path, _log(path)):
        file.unlink(missing_ok=True)


def _set_aside(path: Path) -> None:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    if _log(path).exists():
        _log(path).replace(_log(aside))
    path.replace(aside)
