"""Errors of writing results, told in words a user can act on."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from harness.errors import FolderError, Problem
from harness.records.refusal import REFUSALS


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns any OSError inside into a FolderError that names `path`."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> FolderError:
    """The FolderError for a path that could not be written."""
    what = "the disk is full" if error.errno == errno.ENOSPC else "results cannot be written"
    _, hint = REFUSALS.get(error.errno or 0, ("", ""))
    if "--results" not in hint:
        hint = "choose another folder with --results"
    return FolderError(problems=(Problem(what=f"{what}: {path}", why=error.strerror or str(error), hint=hint),))


_FULL = ("No space left on device", "Disk quota exceeded", "the disk is full")
_NOTHING_LEFT = 2**20


def is_full(path: Path, cause: str | None) -> bool:
    """Whether an attempt crashed because nothing more can be written: its cause says so, or under 1 MiB is left."""
    if cause is not None and any(words in cause for words in _FULL):
        return True
    try:
        state = os.statvfs(path)
    except OSError:
        return False
    return state.f_bavail * state.f_frsize < _NOTHING_LEFT


def full(path: Path) -> FolderError:
    """The FolderError of a full disk."""
    return unwritable(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
