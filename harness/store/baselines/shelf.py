"""Baselines by name, in `results/baselines/<name>.harness-baseline`: files of their own, whatever the store holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from harness.errors import HarnessError, InputError, NoBaseline, did_you_mean
from harness.records.baseline import Baseline
from harness.records.document_scores import DocumentProvider
from harness.records.machine import machines_of
from harness.records.results import SuiteResults
from harness.store.baselines import archive, tables
from harness.store.baselines.archive import Archive
from harness.store.baselines.documents import SavedDocuments, documents_of
from harness.store.baselines.documents import tables_of as document_tables

SUFFIX = ".harness-baseline"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """One saved baseline as a list shows it. `problem`: why its file cannot be used; then nothing else is known."""

    name: str
    file: Path
    size: int  # bytes
    suite: str = ""
    cells: int = 0
    trials: int = 0
    documents: int = 0  # scores that have values of single documents
    devices: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Baselines:
    """Those in one folder."""

    folder: Path

    def file(self, name: str) -> Path:
        """Where a baseline of this name lies.

        Raises:
            InputError: it cannot be a name.
        """
        if not _NAME.fullmatch(name):
            why = "names are letters, digits, - _ and ., and begin with a letter or digit; at most 80"
            raise InputError.of(f"{name!r} cannot be the name of a baseline", why=why, hint="e.g. h100-trl-1.16")
        return self.folder / f"{name}{SUFFIX}"

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(path.name.removesuffix(SUFFIX) for path in self.folder.glob(f"*{SUFFIX}"))

    def save(
        self, name: str, results: SuiteResults, documents: DocumentProvider | None = None, *, replace: bool = False
    ) -> Kept:
        """Keeps all trials of these results.

        Raises:
            InputError: there is one of this name, and `replace` does not say that it may go; or no such name can be.
        """
        self._free(name, replace=replace)
        scored = documents_of(results, documents) if documents is not None else []
        content = Archive(
            head=_head(results, len(scored)), tables={**tables.tables_of(results), **document_tables(scored)}
        )
        archive.write(self.file(name), archive.packed(content))
        return _kept(name, self.file(name), content.head)

    def load(self, name: str, *, curves: bool = True) -> Baseline:
        """The baseline of a name, or that in a file (a path with a slash, or with our suffix).

        Without `curves` these are left out: reading them takes as long as all the rest.

        Raises:
            NoBaseline: there is none of this name.
            InputError: its file is damaged, or of a newer schema.
        """
        path = self._found(name)
        content = archive.read(path)
        try:
            results = _results(content, curves=curves)
        except (KeyError, TypeError, ValueError) as error:  # whole, by its checksums, yet not what we write
            raise InputError.of(f"{path} cannot be read", why=str(error), hint="save it again") from error
        return Baseline(
            name=path.name.removesuffix(SUFFIX),
            results=results,
            documents=SavedDocuments(content.tables),
            devices=tuple(content.head["devices"]),
        )

    def list(self) -> list[Kept]:
        """All of them, by name; a file that cannot be read says so and does not hide the others."""
        return [self._listed(name) for name in self.names()]

    def export(self, name: str, to: Path, *, replace: bool = False) -> Path:
        """Copies it to a file, or under its own name into a folder; the same bytes, checked.

        Raises:
            NoBaseline, InputError: as `load`; or there is such a file already.
        """
        source = self._found(name)
        archive.read(source)
        target = to / source.name if to.is_dir() else to
        if target.exists() and not replace:
            raise InputError.of(f"{target} is there already", hint="--replace writes over it")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        return target

    def import_(self, file: Path, name: str | None = None, *, replace: bool = False) -> Kept:
        """Takes a file in, under its own name or another.

        Raises:
            InputError: it is no whole baseline, or there is one of this name, and `replace` does not say it may go.
        """
        content = archive.read(file)
        chosen = name if name is not None else file.name.removesuffix(SUFFIX)
        self._free(chosen, replace=replace)
        archive.write(self.file(chosen), file.read_bytes())
        return _kept(chosen, self.file(chosen), content.head)

    def remove(self, name: str) -> Path:
        """Deletes it; the file that it was.

        Raises:
            NoBaseline: there is none of this name.
        """
        path = self.file(name)
        if not path.exists():
            raise self._none(name)
        path.unlink()
        return path

    def _found(self, name: str) -> Path:
        if "/" in name or name.endswith(SUFFIX):
            path = Path(name)
            if not path.exists():
                raise NoBaseline.of(
                    f"there is no baseline file {name}", hint="`harness baseline list` names those kept"
                )
            return path
        path = self.file(name)
        if not path.exists():
            raise self._none(name)
        return path

    def _none(self, name: str) -> NoBaseline:
        known = self.names()
        hint = did_you_mean(name, known) if known else f"make one: harness baseline save {name} SUITE"
        return NoBaseline.of(f"there is no baseline {name!r} in {self.folder}", hint=hint)

    def _free(self, name: str, *, replace: bool) -> None:
        if self.file(name).exists() and not replace:
            why = "what is compared with it would be compared with something else from then on"
            raise InputError.of(f"there is a baseline {name!r} already", why=why, hint="--replace, or another name")

    def _listed(self, name: str) -> Kept:
        path = self.file(name)
        try:
            return _kept(name, path, archive.read(path).head)
        except HarnessError as error:
            problem = error.problems[0]
            return Kept(name=name, file=path, size=path.stat().st_size, problem=problem.why or problem.what)


def _head(results: SuiteResults, documents: int) -> dict[str, Any]:
    trials = results.trials
    return {
        "suite": results.suite,
        "question": results.question,
        "suite_file": PurePath(results.suite_file).name,
        "score_backends": list(results.score_backends),
        "cells": len({(trial.kind, trial.cell_id) for trial in trials if trial.kind == "cell"}),
        "trials": len(trials),
        "documents": documents,
        "devices": list(machines_of(trials, results)),
        "environments": tables.environments_in_use(results, trials),
    }


def _kept(name: str, path: Path, head: Mapping[str, Any]) -> Kept:
    return Kept(
        name=name,
        file=path,
        size=path.stat().st_size,
        suite=head["suite"],
        cells=head["cells"],
        trials=head["trials"],
        documents=head["documents"],
        devices=tuple(head["devices"]),
    )


def _results(content: Archive, *, curves: bool) -> SuiteResults:
    head = content.head
    known = SuiteResults(
        suite=head["suite"],
        question=head["question"],
        suite_file=head["suite_file"],
        score_backends=tuple(head["score_backends"]),
        environments=head["environments"],
        trials=tables.trials_of(content.tables),
        scores=tables.scores_of(content.tables),
        curves=(),
    )
    return replace(known, curves=tables.curves_of(content.tables)) if curves else known
