"""Commands that a reader may paste as they stand."""

from __future__ import annotations

import os
from pathlib import Path

_RESULTS, _REPORTS = "results", "reports"


def run(suite: str, results: str = _RESULTS, reports: str = _REPORTS) -> str:
    """`harness run` of a suite's file, with the options that find its folders where they are not the usual ones."""
    return f"harness run {word(shown_path(suite))}{within(results)}{_folder('--reports', reports, _REPORTS)}"


def again(suite: str, results: str = _RESULTS, reports: str = _REPORTS) -> str:
    """What measures disturbed trials of a suite again."""
    return f"{run(suite, results, reports)} --retry disturbed"


def within(results: str) -> str:
    """The option that finds run folders in `results`, where that is not the usual place."""
    return _folder("--results", results, _RESULTS)


def _folder(option: str, given: str, usual: str) -> str:
    folder = shown_path(given)
    return "" if folder == usual else f" {option} {word(folder)}"


def word(value: str) -> str:
    """One word of a shell's line, quoted where it must be."""
    plain = all(c.isalnum() or c in "/._-+=" for c in value)
    return value if plain and value else quoted(value)


def shown_path(path: str) -> str:
    """Relative to the working directory where it lies below it, so that a command can be typed as it stands."""
    relative = os.path.relpath(path, Path.cwd()) if Path(path).is_absolute() else path
    return path if relative.startswith("..") else Path(relative).as_posix()


def quoted(value: str) -> str:
    """For a POSIX shell, in single quotes always: names may hold globs."""
    return "'" + value.replace("'", "'\\''") + "'"
