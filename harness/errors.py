"""What went wrong, where, why, and what to do next.

Every error that a user can cause or cure is a `HarnessError` and carries the exit code
the command ends with. Nothing but the CLI turns it into one.

    HarnessError
      x InputError          2   the suite, an option or a file the user named
        · SuiteError            every problem of one suite file at once
        · DataError             a data source that cannot be used
        · ModelError            a model that cannot be used
        · SelectionError        --only/--skip that choose nothing, an unknown trial
        · HeldError             another run holds the suite
        · FolderError           a results folder that cannot be written
        · BuildError            a Python environment that cannot be built, or is not there
      x StoreError          2   the database: locked, damaged, or from a newer version
      x Regressed           1   a gate failed: something regressed, or is missing
      x Undecided           3   a strict gate: too few runs, or too much noise, to tell
      x NoBaseline          4   nothing to compare with: no such baseline, of another device, no cell in common
      x TrialsFailed        5   trials ended badly for reasons other than a regression
      x Interrupted       130
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

EXIT_OK = 0
EXIT_REGRESSED = 1
EXIT_INPUT = 2
EXIT_UNDECIDED = 3
EXIT_NO_BASELINE = 4
EXIT_TRIALS_FAILED = 5
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """A place in a file. `line` and `column` count from 1; `text` is the offending line, unchanged."""

    file: Path
    line: int | None = None
    column: int | None = None
    text: str | None = None

    def __str__(self) -> str:
        parts = [str(self.file), *(str(n) for n in (self.line, self.column) if n is not None)]
        return ":".join(parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong: what, where, why, and what to do next (`hint`)."""

    what: str
    where: Location | None = None
    why: str | None = None
    hint: str | None = None

    def render(self, severity: str = "error") -> str:
        """The problem as plain text, several lines, without a trailing newline."""
        lines = [f"{self.where}: {severity}: {self.what}" if self.where else f"{severity}: {self.what}"]
        if self.where and self.where.text is not None and self.where.line is not None:
            shown, caret = _shown(self.where.text, self.where.column)
            lines.append(f"{self.where.line:>5} | {shown}")
            if caret is not None:
                lines.append(f"      | {' ' * caret}^")
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.hint:
            lines.append(f"  try: {self.hint}")
        return _USER_IN_URL.sub(lambda found: found[1] + "*" * len(found[2]), "\n".join(lines))


_USER_IN_URL = re.compile(r"([A-Za-z]{2,20}:/{1,2})([^/\s@]+)(?=@)")
"""Users and passwords of addresses, masked letter by letter so that a caret below stays where it is."""
_WIDEST = 100  # characters of an offending line


def _shown(line: str, column: int | None) -> tuple[str, int | None]:
    """The line for one row of a terminal, what surrounds its column where it is long, and where the caret stands.

    Every character that would move the cursor is a point: files hold anything, and a terminal would obey it.
    """
    caret = None if column is None else len(line[: column - 1].expandtabs(4))
    text = line.rstrip("\r\n").expandtabs(4)
    if len(text) > _WIDEST:
        start = max(0, min((caret or 0) - _WIDEST // 2, len(text) - _WIDEST))
        end = start + _WIDEST
        left, right = "…" * (start > 0), "…" * (end < len(text))
        text = left + text[start + len(left) : end - len(right)] + right
        caret = None if caret is None else caret - start
    return "".join(letter if letter.isprintable() else "·" for letter in text), caret


MOST_TOLD = 50
"""Problems that are told at once; the rest are counted."""


def in_order(problems: Iterable[Problem], file: Path) -> tuple[Problem, ...]:
    """Each problem once: those of `file` by line and column, then those of other files; at most `MOST_TOLD`."""
    unique = sorted(dict.fromkeys(problems), key=lambda problem: _order(problem.where, file))
    if len(unique) <= MOST_TOLD:
        return tuple(unique)
    rest = Problem(what=f"and {len(unique) - MOST_TOLD:,} more problems", where=Location(file=file))
    return (*unique[:MOST_TOLD], rest)


def _order(where: Location | None, file: Path) -> tuple[bool, str, int, int]:
    if where is None:
        return False, "", 0, 0
    return where.file != file, str(where.file) if where.file != file else "", where.line or 0, where.column or 0


@dataclass(kw_only=True)
class HarnessError(Exception):
    """The root: one or more problems, and the exit code they end a command with."""

    problems: Sequence[Problem] = field(default_factory=tuple)
    exit_code: int = 1

    def __str__(self) -> str:
        return "\n".join(problem.render() for problem in self.problems)

    @classmethod
    def of(cls, what: str, *, why: str | None = None, hint: str | None = None, where: Location | None = None) -> Self:
        """The error for a single problem; subclasses give their own class and exit code."""
        return cls(problems=(Problem(what=what, why=why, hint=hint, where=where),))


@dataclass(kw_only=True)
class InputError(HarnessError):
    """The suite, an option or a file the user named is wrong."""

    exit_code: int = EXIT_INPUT


class SuiteError(InputError):
    """A suite file is wrong; carries every problem found in it."""


class DataError(InputError):
    """A data source cannot be used."""


class ModelError(InputError):
    """A model cannot be used."""


class SelectionError(InputError):
    """A selection names nothing that exists."""


class HeldError(InputError):
    """Another run holds what this one needs; says who."""


class FolderError(InputError):
    """A results folder cannot be written: read-only, full, or not a folder."""


class BuildError(InputError):
    """A Python environment cannot be built, or is not there: no uv, no network, no CUDA, no space, …"""


@dataclass(kw_only=True)
class StoreError(HarnessError):
    """The database is locked, damaged, or from a newer version. Run folders are never touched."""

    exit_code: int = EXIT_INPUT


@dataclass(kw_only=True)
class Regressed(HarnessError):
    """A gate failed; what it printed says on what."""

    exit_code: int = EXIT_REGRESSED


@dataclass(kw_only=True)
class Undecided(HarnessError):
    """A strict gate could not tell."""

    exit_code: int = EXIT_UNDECIDED


@dataclass(kw_only=True)
class NoBaseline(HarnessError):
    """There is nothing to compare with."""

    exit_code: int = EXIT_NO_BASELINE


@dataclass(kw_only=True)
class TrialsFailed(HarnessError):
    """Trials ended badly; the report says which and why."""

    exit_code: int = EXIT_TRIALS_FAILED


@dataclass(kw_only=True)
class Interrupted(HarnessError):
    """The user stopped the run; what was finished is kept and the suite resumes."""

    exit_code: int = EXIT_INTERRUPTED


_MOST_LISTED = 20  # names that a reader can look through
_LEAST_CONTAINED = 3  # letters; fewer are in too many names to mean one


def nearest(name: str, known: Iterable[str], *, most: int = 3) -> list[str]:
    """The known names closest in spelling to `name`, best first; empty when none is close."""
    return difflib.get_close_matches(name, list(known), n=most, cutoff=0.6)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known ones, in spelling or because they contain it.

    Where none is near, all of them when they are few, else the first in order of likeness.
    """
    names = sorted(set(known))
    close = _close(name, names)
    if close:
        return "did you mean " + " or ".join(repr(n) for n in close) + "?"
    if len(names) <= _MOST_LISTED:
        return "known: " + (", ".join(names) or "none")
    likest = difflib.get_close_matches(name, names, n=_MOST_LISTED, cutoff=0.0)
    return f"known: {', '.join(likest)} and {len(names) - len(likest)} more"


def _close(name: str, names: Sequence[str], most: int = 3) -> list[str]:
    """Names that are `name` but for capitals, then those spelled alike, then those that contain it."""
    lowered = name.casefold()
    same = [known for known in names if known.casefold() == lowered]
    containing = [known for known in names if len(name) >= _LEAST_CONTAINED and lowered in known.casefold()]
    return list(dict.fromkeys([*same, *nearest(name, names, most=most), *containing]))[:most]
