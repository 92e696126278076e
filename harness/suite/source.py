"""The suite file itself: found, decoded, split into lines."""

from __future__ import annotations

from pathlib import Path

from harness.errors import Location, Problem, SuiteError
from harness.suite.compose import compose
from harness.suite.document import Node, Problems

LARGEST = 8 * 1024 * 1024
"""Bytes; YAML of this size takes half a minute to parse, and a matrix says the same in lines."""


def read(path: Path) -> tuple[Node | None, Problems]:
    """The file's value, and the collector for what else is wrong with it.

    Raises:
        SuiteError: no such file, a folder, not readable, not UTF-8, not YAML.
    """
    text = _text(path)
    problems = Problems(path, text.split("\n"))
    return compose(text, problems), problems


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise _no_file(path, "no such file", hint=_neighbours(path)) from error
    except IsADirectoryError as error:
        raise _no_file(path, "a folder, not a suite file", hint=_neighbours(path / "x")) from error
    except OSError as error:
        raise _no_file(path, f"cannot be read: {error.strerror or error}") from error
    if len(raw) > LARGEST:
        raise _no_file(path, f"{len(raw):,} bytes is too large for a suite", hint="a matrix multiplies its axes")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, raw, error) from error


def _no_file(path: Path, what: str, *, hint: str | None = None) -> SuiteError:
    return SuiteError(problems=(Problem(what=what, where=Location(file=path), hint=hint),))


def _not_utf8(path: Path, raw: bytes, error: UnicodeDecodeError) -> SuiteError:
    before = raw[: error.start]
    line = before.count(b"\n") + 1
    start = before.rfind(b"\n") + 1
    column = len(before[start:].decode("utf-8", "replace").lstrip("\ufeff")) + 1
    text = raw[start:].split(b"\n", 1)[0].decode("utf-8", "replace")
    where = Location(file=path, line=line, column=column, text=text)
    what = f"not UTF-8: the byte 0x{raw[error.start]:02x}"
    return SuiteError(problems=(Problem(what=what, where=where, hint="save the file as UTF-8"),))


def _called(path: Path) -> list[Path]:
    """Where the file of the suite may lie whose name was given in place of a path."""
    if path.suffix in (".yaml", ".yml"):
        return []
    return [
        folder / f"{path.name}{suffix}"
        for folder in (path.parent, path.parent / "suites")
        for suffix in (".yaml", ".yml")
    ]


def _neighbours(path: Path) -> str | None:
    """Suite files that may have been meant: the one of a suite that was named, else those in the same folder."""
    named = next((file for file in _called(path) if file.is_file()), None)
    if named is not None:
        return f"this takes a suite's file: {named}"
    try:
        found = sorted(f.name for f in path.parent.iterdir() if f.suffix in (".yaml", ".yml"))
    except OSError:
        return None
    return f"in {path.parent}: {', '.join(found[:8])}" if found else None
