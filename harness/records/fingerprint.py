"""Content hashes: of a JSON value and of a file. Large files are hashed once and remembered by size and times."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

_REMEMBER_FROM = 4 * 2**20  # bytes; smaller files are hashed faster than a cache entry is worth
_SETTLED_NS = 2 * 10**9  # a file changed this recently may change again within one tick of its clock


def of_value(value: Any) -> str:
    """sha256 (hex) of a JSON-able value, independent of the order of mapping keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def of_file(path: Path) -> str:
    """sha256 (hex) of a file's bytes, read in pieces.

    Raises:
        OSError: the file cannot be read.
    """
    status = path.stat()
    if status.st_size < _REMEMBER_FROM:
        return _hash(path)
    key = of_value([str(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino])
    entry = cache_folder() / "hashes" / key
    with contextlib.suppress(OSError):
        known = entry.read_text("ascii").strip()
        if len(known) == 64:
            return known
    digest = _hash(path)
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS:
        _remember(entry, digest)
    return digest


def cache_folder() -> Path:
    """Where this user's caches lie: `$XDG_CACHE_HOME/trl-harness`, or `~/.cache/trl-harness`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "trl-harness"


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remember(entry: Path, digest: str) -> None:
    # A cache that cannot be written (read-only home, full disk) costs time, never the result.
    with contextlib.suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=entry.parent)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(digest)
        Path(name).replace(entry)
