"""The database file: opened for a moment, checked, and each way it can fail turned into a StoreError with a way out."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import StoreError

if TYPE_CHECKING:
    import duckdb

SCHEMA_VERSION = 4
REBUILD = "`harness store rebuild` makes it anew from the run folders, which hold everything"
_PAUSE_S = 0.05
_HOLDER = re.compile(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")
_FULL = ("No space left", "File too large", "Disk quota", "disk is full")
_UNREACHABLE = ("Permission denied", "Read-only file system", "No such file or directory", "Is a directory")


class Unusable(StoreError):
    """The file is no database of this harness's schema: damaged, foreign, or of another version."""


class Older(Unusable):
    """Of an earlier schema version, and otherwise sound: its run folders hold what it holds."""


class Held(StoreError):
    """Another process has the file open, and had for longer than was waited."""


@contextmanager
def opened(
    path: Path, *, write: bool, patience_s: float, oldest: int = SCHEMA_VERSION
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for the body; a writer creates the file and its schema where there is none.

    Readers can change nothing: neither the database nor, through it, any file. `oldest` is the earliest schema
    version that the body can do with.

    Raises:
        StoreError: missing (readers), in a place that cannot be, or the disk is full.
        Held: locked for longer than `patience_s` seconds.
        Older: of an earlier schema version.
        Unusable: damaged, not a harness database, or of a later schema version.
    """
    import duckdb

    if path.parent.exists() and not path.parent.is_dir():
        raise StoreError.of(
            f"there is no database in {path.parent}", why="it is not a folder", hint="name a folder with --results"
        )
    if not write and not path.exists():
        raise StoreError.of(
            f"there is no database at {path}",
            why="nothing has been stored there yet",
            hint="`harness run` makes one; if there are run folders already, `harness store rebuild` does",
        )
    connection = None
    try:
        if not path.exists():
            _create(path)
        connection = _connect(path, write=write, patience_s=patience_s)
        _check(connection, path, oldest)
        yield connection
    except duckdb.Error as error:
        raise translated(error, path) from error
    finally:
        if connection is not None:
            _close(connection)


def _create(path: Path) -> None:
    """Makes the file with its schema beside, then gives it its name, so that nobody ever opens half of it."""
    import duckdb

    beside = path.with_name(f".{path.name}.new-{os.getpid()}")
    beside.unlink(missing_ok=True)
    try:
        with duckdb.connect(str(beside)) as connection:
            connection.begin()
            connection.execute(resources.files("harness.store").joinpath("schema.sql").read_text(encoding="utf-8"))
            connection.commit()
            connection.execute("CHECKPOINT")  # else the contents lie in a log that keeps the temporary name
        _name(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _name(made: Path, path: Path) -> None:
    try:
        os.link(made, path)
    except FileExistsError:
        return  # another process was faster, and its file is as good
    except OSError:  # a file system without hard links
        made.replace(path)


def _connect(path: Path, *, write: bool, patience_s: float) -> duckdb.DuckDBPyConnection:
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {} if write else {"enable_external_access": "false"}
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return duckdb.connect(str(path), read_only=not write, config=config)
        except (duckdb.IOException, duckdb.ConnectionException) as error:
            if not _is_lock(error) or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_S)


def _is_lock(error: Exception) -> bool:
    # The second is what a reader and a writer of one process get of each other.
    return "Could not set lock" in str(error) or "different configuration" in str(error)


def _close(connection: duckdb.DuckDBPyConnection) -> None:
    import duckdb

    try:
        connection.close()
    except duckdb.Error:  # a full disk: what was committed lies in the write-ahead log and is found on the next opening
        return


def _check(connection: duckdb.DuckDBPyConnection, path: Path, oldest: int) -> None:
    tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    found = (
        connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
        if "meta" in tables
        else None
    )
    if found is None:
        raise Unusable.of(f"{path} is not a database of the harness", why="it has no schema version", hint=REBUILD)
    version = int(found[0]) if str(found[0]).isdigit() else 0
    if version > SCHEMA_VERSION:
        raise Unusable.of(
            f"{path} was written by a newer harness",
            why=f"its schema is version {version}, this harness knows version {SCHEMA_VERSION}",
            hint=f"upgrade trl-harness; or {REBUILD}",
        )
    if version < oldest:
        raise Older.of(
            f"{path} was written by an older harness",
            why=f"its schema is version {found[0]}, this harness writes version {SCHEMA_VERSION}",
            hint=REBUILD,
        )


def read_everything(connection: duckdb.DuckDBPyConnection) -> None:
    """Reads every block of every table, as their checksums are looked at only then.

    Raises:
        duckdb.Error: some block is damaged.
    """
    for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        connection.execute(f'SELECT bit_xor(hash(held)) FROM "{name}" AS held').fetchall()


def translated(error: Exception, path: Path) -> StoreError:
    """What duckdb said, as what happened to the file and the way out. The run folders are never at stake."""
    said = " ".join(str(error).split())
    if _is_lock(error):
        holder = _HOLDER.search(said)
        who = f"process {holder['pid']} ({holder['program']})" if holder else "another process"
        end = f", or end that process (kill {holder['pid']})" if holder else ""
        return Held.of(
            f"{path} is held by {who}",
            why="a writer keeps everybody else out, and a reader keeps writers out",
            hint=f"try again in a moment{end}",
        )
    if any(sign in said for sign in _FULL):
        return StoreError.of(
            f"{path} cannot be written: the disk is full",
            why=said,
            hint="free some space and run the same command again; run folders and what was stored before are untouched",
        )
    if any(sign in said for sign in _UNREACHABLE):
        return StoreError.of(f"{path} cannot be opened", why=said, hint="choose another folder with --results")
    if "version number" in said or "newer version of DuckDB" in said:
        return Unusable.of(
            f"{path} was written by another version of DuckDB", why=said, hint=f"upgrade duckdb; or {REBUILD}"
        )
    if "out of memory" in said.lower():
        return StoreError.of("the query needs more memory than there is", why=said, hint="ask for less, or aggregate")
    return Unusable.of(f"{path} is damaged", why=said, hint=f"{REBUILD}; the damaged file is kept beside it")
