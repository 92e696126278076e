"""Who builds, who uses: `flock`, which the kernel gives back however its holder ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_LOOK_EVERY_S = 0.1
_TELL_AFTER_S = 0.3
"""Whoever only looks holds a lock for an instant; that is nothing to tell."""

MOMENT_S = 0.5
"""Patience with those who only look."""

_KEPT_OUT = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def alone(path: Path, *, patience_s: float = 0.0, waiting: Callable[[str], None] | None = None) -> Iterator[bool]:
    """Holds the lock for this process alone, and says in the file who it is; gives False where others hold it.

    Looks for `patience_s` seconds (infinity: until it has it); `waiting` is told once who holds it.

    Raises:
        OSError: the lock's file cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        taken = _take(descriptor, fcntl.LOCK_EX, patience_s, lambda: waiting(holder(path)) if waiting else None)
        if taken:
            _sign(descriptor)
        yield taken
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def shared(path: Path, *, patience_s: float) -> Iterator[bool]:
    """Holds the lock together with others; gives False where somebody holds it alone for longer than `patience_s`.

    Where this user may not write locks (a cache that others keep, read-only), nobody is kept out: True all the same.
    """
    descriptor = _readable(path)
    if descriptor is None:
        yield True
        return
    try:
        yield _take(descriptor, fcntl.LOCK_SH, patience_s, lambda: None)
    finally:
        os.close(descriptor)


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock, shared or alone."""
    return _could_be_taken(path, fcntl.LOCK_EX)


def is_held_alone(path: Path) -> bool:
    """Whether somebody holds the lock alone."""
    return not _could_be_taken(path, fcntl.LOCK_SH)


def _could_be_taken(path: Path, kind: int) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return _take(descriptor, kind, MOMENT_S if kind == fcntl.LOCK_EX else 0.0, lambda: None)
    finally:
        os.close(descriptor)


def holder(path: Path) -> str:
    """Who builds, as the lock's file tells: `process 7 on this machine since 12:30:05 UTC`."""
    said = _read(path)
    if "pid" not in said:
        return "another process"
    here = said.get("host") == socket.gethostname()
    return f"process {said['pid']} {'here' if here else 'on ' + str(said.get('host'))} since {said.get('since')}"


def users(path: Path) -> list[int]:
    """Processes that hold a lock, as the kernel lists them (`/proc/locks`); empty where it does not."""
    try:
        status = path.stat()
        lines = Path("/proc/locks").read_text("ascii").splitlines()
    except OSError:
        return []
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    rows = [line.split() for line in lines]
    return sorted({int(row[4]) for row in rows if len(row) > 5 and row[1] == "FLOCK" and row[5] == place})


def _readable(path: Path) -> int | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno not in _KEPT_OUT:
            raise
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _take(descriptor: int, kind: int, patience_s: float, waiting: Callable[[], object]) -> bool:
    began, told = time.monotonic(), False
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - began
            if waited >= patience_s:
                return False
            if not told and waited >= _TELL_AFTER_S:
                told = True
                waiting()
            time.sleep(_LOOK_EVERY_S)
        else:
            return True


def _sign(descriptor: int) -> None:
    now = datetime.now(UTC).strftime("%H:%M:%S UTC")
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now}).encode(), 0)


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # the holder has just taken it and not yet said who it is
    return said if isinstance(said, dict) else {}
