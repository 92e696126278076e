"""The file itself: a zip of baseline.json and Parquet tables, the same bytes for the same content.

baseline.json holds the SHA-256 of every table and of itself, so that a file which was cut off, edited or mixed up by a
merge is told as such rather than read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.records.fingerprint import of_value

SCHEMA = 1
_FORMAT = "harness-baseline"
_HEAD = "baseline.json"
_MOMENT = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can tell; times would make equal content differ
_AGAIN = "save it again, or take it anew from where it was committed or exported"


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """What a file holds: `head` is baseline.json without its checksums, `tables` the Parquet files by name."""

    head: Mapping[str, Any]
    tables: Mapping[str, bytes]


def packed(archive: Archive) -> bytes:
    """The file's bytes."""
    head = {
        "format": _FORMAT,
        "schema": SCHEMA,
        **archive.head,
        "tables": {name: _digest(content) for name, content in sorted(archive.tables.items())},
    }
    text = json.dumps({**head, "sha256": of_value(head)}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        file.writestr(_entry(_HEAD, zipfile.ZIP_DEFLATED), text)
        for name, content in sorted(archive.tables.items()):
            file.writestr(_entry(name, zipfile.ZIP_STORED), content)  # Parquet is compressed
    return held.getvalue()


def _entry(name: str, how: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=_MOMENT)
    entry.compress_type, entry.external_attr, entry.create_system = how, 0o644 << 16, 3
    return entry


def write(path: Path, content: bytes) -> None:
    """Writes the whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read(path: Path) -> Archive:
    """The content of a file, checked against its checksums.

    Raises:
        InputError: there is no such file, it is none of ours, of a newer schema, cut off, or changed since.
    """
    try:
        with zipfile.ZipFile(path) as file:
            members = {name: file.read(name) for name in file.namelist()}
    except FileNotFoundError as error:
        raise InputError.of(f"there is no file {path}", hint="`harness baseline list` names those here") from error
    except IsADirectoryError as error:
        raise InputError.of(f"{path} is a folder, no baseline", hint="name the file") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise _damaged(path, f"it is cut off, or no file that `harness baseline` wrote ({error})") from error
    head = _head(path, members)
    return Archive(head=head, tables=_checked(path, head.pop("tables"), members))


def _head(path: Path, members: Mapping[str, bytes]) -> dict[str, Any]:
    """baseline.json, less what is about the file itself but the checksums of the tables."""
    try:
        head = json.loads(members[_HEAD])
    except (KeyError, ValueError) as error:
        raise _damaged(path, f"it holds no {_HEAD} that can be read") from error
    if not isinstance(head, dict) or head.get("format") != _FORMAT:
        raise InputError.of(f"{path} is no baseline", why=f"its {_HEAD} is of another format", hint=_AGAIN)
    schema = head.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        raise InputError.of(
            f"{path} was written by a newer harness",
            why=f"its schema is version {schema}, this harness knows version {SCHEMA}",
            hint="upgrade trl-harness, or save the baseline with this version",
        )
    told = head.pop("sha256", None)
    if told != of_value(head) or not isinstance(head.get("tables"), dict):
        raise _damaged(path, f"its {_HEAD} was changed after it was saved (its checksum is another)")
    return {name: value for name, value in head.items() if name not in ("format", "schema")}


def _checked(path: Path, told: Mapping[str, str], members: Mapping[str, bytes]) -> dict[str, bytes]:
    wrong = [name for name, digest in told.items() if name not in members or _digest(members[name]) != digest]
    if wrong:
        raise _damaged(path, f"{wrong[0]} in it is missing or was changed after it was saved (its checksum is another)")
    return {name: members[name] for name in told}


def _damaged(path: Path, why: str) -> InputError:
    return InputError.of(f"{path} is damaged", why=why, hint=_AGAIN)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
