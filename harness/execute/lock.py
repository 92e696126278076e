"""One run per suite: a lock that the kernel gives back whenever its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import harness.execute.disk as disk
from harness.errors import HeldError, Problem
from harness.records.run_folder import suite_folder

_PATIENCE_S = 0.5
"""`holder` holds a shared lock for an instant when it looks; a run must not fail for that."""


def lock_file(results: Path, suite: str) -> Path:
    """Where the suite's lock lies."""
    return suite_folder(results, suite) / "run.lock"


@contextlib.contextmanager
def hold(results: Path, suite: str) -> Iterator[None]:
    """Holds the suite for this process; the file says who. The file stays behind, the lock does not.

    Raises:
        HeldError: another process runs this suite.
        FolderError: the folder cannot be made or written.
    """
    path = lock_file(results, suite)
    with disk.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not _taken(descriptor):
            raise _held(suite, _read(path))
        with disk.writing(path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps(_self()).encode())
        yield
    finally:
        os.close(descriptor)


def holder(results: Path, suite: str) -> dict[str, Any] | None:
    """Who runs the suite now: {pid, host, started_at, command, user}; None when nobody does."""
    path = lock_file(results, suite)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _read(path)
    finally:
        os.close(descriptor)
    return None


def _taken(descriptor: int) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _self() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "user": os.environ.get("USER") or str(os.getuid()),
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # the holder has just taken it and not yet said who it is
    return value if isinstance(value, dict) else {}


def _held(suite: str, who: dict[str, Any]) -> HeldError:
    pid, host = who.get("pid", "unknown"), who.get("host", "unknown")
    since, command = who.get("started_at", "unknown"), who.get("command", "unknown")
    here = host == socket.gethostname()
    stop = f"stop it (kill -INT {pid})" if here else f"stop it there (kill -INT {pid} on {host})"
    return HeldError(
        problems=(
            Problem(
                what=f"suite {suite!r} is being run already",
                why=f"process {pid} on {host}, by {who.get('user', 'unknown')}, since {since}: {command}",
                hint=f"watch it with `harness status {suite}`, wait until it has ended, or {stop}; "
                "another --results folder runs beside it",
            ),
        )
    )
