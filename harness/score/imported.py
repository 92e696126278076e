"""Scores that somebody else's lm-eval wrote, as run folders: results/imported/<id>/, one for each results file.

The id is of the file's content, so that importing it again changes nothing, from wherever and under whatever name. As
nothing was trained or asked here, spec.json is of kind `imported` and scores name no weights: none of them is ever
taken for a score of weights that lie here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import FolderError, InputError, Location, Problem
from harness.records.events import encode
from harness.records.outcome import Outcome
from harness.records.run_folder import RunFolder, read_json, suite_folder, write_atomic, write_json
from harness.score import lmeval_scores
from harness.score.lmeval_documents import documents
from harness.score.lmeval_files import Run, Samples, find
from harness.score.scorefiles import folder_of

SUITE = "imported"
"""The folder of results that holds them, where a suite's name stands for others."""

_ID_LETTERS = 12
_NOTE = "imported from files of lm-eval: the harness neither trained nor asked this model"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedRun:
    """One results file as it lies in the results now. `documents` counts those that were read of samples files."""

    name: str
    id: str
    folder: Path
    file: Path
    backend: str
    scored_at: str | None
    tasks: tuple[str, ...]
    documents: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What importing came to. `problems`: files that were left out, whole or in part; `unread` counts results files."""

    runs: tuple[ImportedRun, ...]
    problems: tuple[Problem, ...]
    unread: int

    @property
    def folders(self) -> list[RunFolder]:
        """Their run folders."""
        return [RunFolder(run.folder) for run in self.runs]


def look_for(path: Path) -> tuple[list[Run], list[Problem]]:
    """The results files at or below a path, and what is wrong with others.

    Raises:
        InputError: there is none that can be read.
    """
    if not path.exists():
        raise InputError.of(f"{path} does not exist", hint="give the folder of lm_eval's --output_path")
    runs, problems = find(path)
    if runs:
        return runs, problems
    hint = "give the folder of lm_eval's --output_path: results_<date>.json lies in it, or in a folder for each model"
    none = Problem(what=f"no results of lm-eval in {path}", hint=hint)
    raise InputError(problems=tuple(problems) or (none,))


def take_in(
    runs: list[Run],
    problems: list[Problem],
    results: Path,
    *,
    name: str | None,
    doing: Callable[[str], None],
    check: Callable[[], None],
) -> Imported:
    """Writes a run folder for each results file; what is there already and the same stays untouched.

    `check` is called before every task, and what it raises ends the importing.

    Raises:
        FolderError: a run folder cannot be written.
    """
    found: list[Problem] = []
    done = []
    for run in {run.digest: run for run in runs}.values():
        doing(f"importing {run.file}")
        try:
            done.append(_take(run, results, name or lmeval_scores.name_of(run), found, check))
        except OSError as error:
            raise FolderError.of(f"{results / SUITE} cannot be written", why=str(error)) from error
    unread = sum(problem.where is not None and problem.where.file.suffix == ".json" for problem in problems)
    return Imported(runs=tuple(done), problems=(*problems, *found), unread=unread)


def _take(run: Run, results: Path, name: str, problems: list[Problem], check: Callable[[], None]) -> ImportedRun:
    trial_id = run.digest[:_ID_LETTERS]
    folder = RunFolder(suite_folder(results, SUITE) / trial_id)
    _write(folder.spec_file, lmeval_scores.spec_json(run, trial_id, SUITE, name))
    _close(folder, run)
    tasks, count = [], 0
    for task in run.content["results"]:
        check()
        read = _score(folder, run, task, problems)
        if read is not None:
            tasks.append(task)
            count += read
    return ImportedRun(
        name=name,
        id=trial_id,
        folder=folder.path,
        file=run.file,
        backend=lmeval_scores.backend_of(run),
        scored_at=lmeval_scores.scored_at(run),
        tasks=tuple(tasks),
        documents=count,
    )


def _close(folder: RunFolder, run: Run) -> None:
    """The one attempt, which says that there is something, and when it was made."""
    if folder.outcome() is not None:
        return
    attempt = folder.last_attempt() or folder.new_attempt()
    write_atomic(attempt.events, encode({"t": 0.0, "kind": "note", "level": "info", "text": _NOTE}))
    when = lmeval_scores.scored_at(run) or ""
    seconds = lmeval_scores.duration_s(run) or 0.0
    attempt.close(Outcome(outcome="ok", attempt=attempt.number, started_at=when, ended_at=when, duration_s=seconds))


def _score(folder: RunFolder, run: Run, task: str, problems: list[Problem]) -> int | None:
    """Writes the score of one task; returns how many documents it has, None for a group without figures."""
    found = lmeval_scores.metrics_of(run, task)
    group = lmeval_scores.is_group(run, task)
    if group and not found.values and not found.notes:
        return None
    samples = Samples(file=run.samples[task]) if task in run.samples else None
    read: list[dict[str, Any]] = []
    notes: list[str] = []
    if samples is not None:
        kind = lmeval_scores.output_type(run, task)
        try:
            filters = list(dict.fromkeys(found.filters))
            source = lmeval_scores.source_field(run, task)
            read, notes = documents(samples, kind=kind, metrics=found.names, filters=filters, source=source)
        except OSError as error:
            where = Location(file=samples.file)
            problems.append(Problem(what=f"{samples.file.name} cannot be read", where=where, why=str(error)))
        if samples.lost:
            notes.append(f"damaged or cut off lines of its samples file: {samples.lost}")
            problems.append(Problem(what=notes[-1], where=Location(file=samples.file), why="the rest was imported"))
    elif not group:
        notes.append(
            "no samples: lm-eval was not asked for them (--log_samples), or their file is not beside the results"
        )
    said = lmeval_scores.score_json(run, task, found, n_documents=None, notes=notes)
    if said["n_documents"] is None and read and not (samples and samples.lost):
        said["n_documents"] = len(read)
    elif read and said["n_documents"] not in (None, len(read)):
        said["notes"].append(f"{len(read)} of {said['n_documents']} documents are in its samples file")
    place = folder_of(folder, task, said["backend"])
    _write_score(place, said, read)
    return len(read)


def _write_score(place: Path, said: dict[str, Any], read: list[dict[str, Any]]) -> None:
    """Documents first, then score.json; documents that came with samples which are gone by now stay."""
    file = place / "documents.jsonl"
    text = "".join(encode(one) for one in read)
    there = file.read_text("utf-8") if file.is_file() else None
    if there and not read and (place / "score.json").is_file():
        return
    if there != text:
        (place / "score.json").unlink(missing_ok=True)
        write_atomic(file, text)
    _write(place / "score.json", said)


def _write(file: Path, value: dict[str, Any]) -> None:
    if read_json(file) != json.loads(json.dumps(value)):
        write_json(file, value)
