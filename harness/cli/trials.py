"""Finding trials among the run folders by name, glob or id."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.errors import SelectionError, did_you_mean
from harness.records.run_folder import RunFolder, run_folders


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One trial on disk."""

    suite: str
    folder: RunFolder
    spec: dict[str, Any]

    @property
    def id(self) -> str:
        return self.folder.path.name

    @property
    def name(self) -> str:
        return str(self.spec.get("name", self.id))

    @property
    def called(self) -> str:
        """With its suite: what tells it from trials of the same name elsewhere."""
        return f"{self.suite}/{self.name}"


def everything(results: Path, suite: str | None = None) -> list[Found]:
    """Every trial with a readable spec.json, of one suite or of all.

    Raises:
        SelectionError: `suite` has no results.
    """
    if suite is not None and not (results / suite).is_dir():
        raise unknown_suite(results, suite)
    folders = run_folders(results, suite)
    return [
        Found(suite=folder.path.parent.name, folder=folder, spec=spec) for folder in folders if (spec := folder.spec())
    ]


def unknown_suite(results: Path, suite: str) -> SelectionError:
    """The error for a suite without results, with the names that have some."""
    known = suites_of(results)
    return SelectionError.of(
        f"no results of a suite {suite!r} in {results}",
        hint=did_you_mean(suite, known) if known else "run it first: harness run SUITE",
    )


def suites_of(results: Path) -> list[str]:
    """Names of suites that have run folders."""
    return sorted({folder.path.parent.name for folder in run_folders(results)})


def find(results: Path, wanted: str, suite: str | None = None) -> Found:
    """The one trial of that name (alone, or as `suite/name`), id, start of an id, or glob.

    Raises:
        SelectionError: none matches, or several do.
    """
    known = everything(results, suite)
    matching = _matching(known, wanted)
    if len(matching) == 1:
        return matching[0]
    if not matching:
        names = {trial.name for trial in known}
        raise SelectionError.of(
            f"no trial {wanted!r} in {results}",
            hint=did_you_mean(wanted, names) if names else "nothing has run here yet: harness run SUITE",
        )
    names_here = [trial.called for trial in matching]
    shown = ", ".join(
        trial.called if names_here.count(trial.called) == 1 else f"{trial.called} ({trial.id})"
        for trial in matching[:8]
    )
    more = f" and {len(matching) - 8} more" if len(matching) > 8 else ""
    raise SelectionError.of(
        f"{wanted!r} matches {len(matching)} trials",
        why=shown + more,
        hint="name one of them as it stands here, or by its id",
    )


def _matching(known: Sequence[Found], wanted: str) -> list[Found]:
    """By exact name or id first, then by the start of an id, then as a glob."""
    exact = [trial for trial in known if wanted in (trial.name, trial.called, trial.id)]
    if exact:
        return exact
    if re.fullmatch(r"[0-9a-f]{4,}", wanted):
        started = [trial for trial in known if trial.id.startswith(wanted)]
        if started:
            return started
    return [trial for trial in known if fnmatchcase(trial.name, wanted)]
