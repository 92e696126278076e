"""Which parts of which run folders are new or changed, and their rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import Location, Problem
from harness.records.run_folder import RunFolder
from harness.store.folder import TRIAL, Reader, signatures
from harness.store.writing import Change, Part

if TYPE_CHECKING:
    import duckdb

BATCH_SAMPLES = 4_000_000
"""About 150 MB of columns: a change of this size is written before more is read."""
BATCH_DOCUMENTS = 200_000


@dataclass(kw_only=True, slots=True)
class Known:
    """What the database holds of one run folder: its key, and the state of each part."""

    suite: str = ""
    trial_id: str = ""
    parts: dict[str, str] = field(default_factory=dict)


def known_of(connection: duckdb.DuckDBPyConnection) -> dict[str, Known]:
    """What the database holds, by run folder."""
    found: dict[str, Known] = {}
    for folder, part, signature in connection.execute("SELECT folder, part, signature FROM ingested").fetchall():
        found.setdefault(folder, Known()).parts[part] = signature
    for folder, suite, trial_id in connection.execute("SELECT folder, suite, trial_id FROM trials").fetchall():
        entry = found.setdefault(folder, Known())
        entry.suite, entry.trial_id = suite, trial_id
    return found


@dataclass(kw_only=True, slots=True)
class Reading:
    """Reads run folders against what is known. The counts and problems grow as `changes` is walked through."""

    base: Path  # the database's folder: run folders are named relative to it
    known: Mapping[str, Known]
    trials: int = 0
    unchanged: int = 0
    problems: list[Problem] = field(default_factory=list)
    _taken: dict[tuple[str, str], str] = field(default_factory=dict)

    def changes(self, folders: Iterable[RunFolder]) -> Iterator[Change]:
        """Changes of bounded size; one trial is never split."""
        self._taken = {(entry.suite, entry.trial_id): folder for folder, entry in self.known.items()}
        change = Change()
        for folder in folders:
            self._folder(folder, change)
            if change.rows.n_samples >= BATCH_SAMPLES or change.rows.n_documents >= BATCH_DOCUMENTS:
                yield change
                change = Change()
        if change.replaced:
            yield change

    def _folder(self, folder: RunFolder, change: Change) -> None:
        name = Path(os.path.relpath(folder.path.resolve(), self.base.resolve())).as_posix()
        now = signatures(folder)
        known = self.known.get(name) or Known()
        if known.parts == now:
            self.unchanged += 1
            return
        spec = folder.spec()
        suite, trial_id = (spec.get("suite"), spec.get("trial_id")) if spec else (None, None)
        if spec is None or not isinstance(suite, str) or not isinstance(trial_id, str):
            self._left_out(folder, "spec.json cannot be read", "it is missing, damaged, or names no suite and trial")
            return
        moved = bool(known.parts) and (known.suite, known.trial_id) != (suite, trial_id)
        if not self._claim(folder, name, suite, trial_id, change):
            return
        self.trials += 1
        if moved:
            change.replaced += [
                Part(folder=name, part=part, suite=known.suite, trial_id=known.trial_id) for part in known.parts
            ]
        changed = [part for part in now if moved or known.parts.get(part) != now[part]]
        gone = [part for part in known.parts if part not in now and not moved]
        change.replaced += [Part(folder=name, part=part, suite=suite, trial_id=trial_id) for part in (*changed, *gone)]
        reader = Reader(
            folder=folder,
            name=name,
            suite=suite,
            trial_id=trial_id,
            spec=spec,
            rows=change.rows,
            problems=self.problems,
        )
        for part in changed:
            reader.read(part)
            change.rows.add("ingested", name, part, now[part])

    def _claim(self, folder: RunFolder, name: str, suite: str, trial_id: str, change: Change) -> bool:
        """Whether this folder may speak for the trial: two folders of one trial would count it twice."""
        other = self._taken.setdefault((suite, trial_id), name)
        if other == name:
            return True
        if (self.base / other / "spec.json").exists():
            self._left_out(
                folder, f"trial {trial_id} of suite {suite} lies in two folders", f"{other} is stored already"
            )
            return False
        parts = self.known[other].parts if other in self.known else {TRIAL: ""}
        change.replaced += [Part(folder=other, part=part, suite=suite, trial_id=trial_id) for part in parts]
        self._taken[suite, trial_id] = name
        return True

    def _left_out(self, folder: RunFolder, what: str, why: str) -> None:
        hint = "the folder was left out; move it away, or run the trial again"
        self.problems.append(Problem(what=what, where=Location(file=folder.spec_file), why=why, hint=hint))
