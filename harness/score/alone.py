"""Scoring models by themselves: what is wrong with what was asked, the scoring, and the files of lm-eval's own."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import FolderError, InputError, Problem
from harness.records import suite
from harness.records.progress import Observer
from harness.records.run_folder import RunFolder
from harness.records.score import Score
from harness.score.backends import check_backend, choose
from harness.score.parent import ScoreReport, is_of, score_subjects, write_groups
from harness.score.scorefiles import flags_of, matches, read_score
from harness.score.standalone import Given, look_up, run_folder
from harness.score.subjects import Subject, subject_of
from harness.score.tally import Tally
from harness.score.taskfiles import TaskFile, TaskGroup, resolve, resolve_groups

_UNSAFE = re.compile(r"[\"<>:/|\\?*\[\]]+")
"""What lm-eval (0.4.13, `lm_eval.utils.sanitize_model_name`) writes as `__` in the name of a model's folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelScores:
    """One model and its scores on the tasks and groups that were asked for, as far as there are any."""

    name: str
    id: str
    folder: Path
    model: str
    weights_hash: str
    scores: tuple[Score, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Alone:
    """What scoring models by themselves came to. `problems`: files of lm-eval's own that could not be written."""

    report: ScoreReport
    models: tuple[ModelScores, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def folders(self) -> list[RunFolder]:
        """Their run folders."""
        return [RunFolder(one.folder) for one in self.models]


def prepare(
    said: Sequence[str],
    wanted: suite.Score,
    *,
    root: Path,
    name: str | None,
    revision: str | None,
    out: Path | None,
    say: Callable[[str], None],
) -> list[Given]:
    """The models, once everything that was asked for is known to be possible; nothing has been written but `out`.

    Raises:
        InputError: all that is wrong, with models, tasks, backend and `out` alike.
        FolderError: `out` cannot be written.
    """
    problems: list[Problem] = []
    given: list[Given] = []
    try:
        resolve(wanted.tasks, root)
    except InputError as error:
        problems += [_without_suite(problem) for problem in error.problems]
    if problem := check_backend(wanted.backend):
        problems.append(problem)
    try:
        given = look_up(said, name=name, revision=revision, say=say)
    except InputError as error:
        problems += error.problems
    if problem := _wrong_out(out):
        problems.append(problem)
    if problems:
        raise InputError(problems=tuple(problems))
    _make(out)
    return given


def score_alone(
    given: Sequence[Given],
    wanted: suite.Score,
    *,
    results: Path,
    observer: Observer,
    root: Path,
    force: bool,
    out: Path | None,
    doing: Callable[[str], None],
    check: Callable[[], None],
) -> Alone:
    """Scores every model on every task; only what is missing, unless `force` or `out`. More: see `score_subjects`.

    Raises:
        HarnessError: as `score_subjects`; a run folder that cannot be written.
    """
    tasks = resolve(wanted.tasks, root)
    backend, note = choose(wanted.backend)
    doing("looking for what is to be scored")
    folders = [run_folder(one, results) for one in given]
    subjects = [
        subject_of(folder, one.name, one.folder, one.arguments) for folder, one in zip(folders, given, strict=True)
    ]
    asked = _asked_once(subjects, given, observer) if out is not None else subjects
    before = _files(out)
    if out is not None:
        _say_again(asked, tasks, wanted, backend.name, observer)
    report = score_subjects(
        asked,
        tasks,
        wanted,
        backend,
        note,
        root=root,
        tally=Tally(observer=observer, doing=doing, check=check),
        force=force or out is not None,
        out=out,
    )
    write_groups(subjects, wanted, root, report.backend)
    everything: list[TaskGroup | TaskFile] = [*resolve_groups(wanted.tasks, root), *tasks]
    told = [_told(one, folder, everything, report.backend, wanted) for one, folder in zip(given, folders, strict=True)]
    lost = [] if out is None else _unwritten(asked, len(tasks), report, new=_files(out) - before)
    return Alone(report=report, models=tuple(told), problems=tuple(lost))


def _told(
    one: Given, folder: RunFolder, asked: Sequence[TaskGroup | TaskFile], backend: str, wanted: suite.Score
) -> ModelScores:
    """Without scores that an earlier command left, of other flags or another content of the task."""
    found = [(task.hash, read_score(folder, task.name, backend)) for task in asked]
    flags = flags_of(wanted)
    return ModelScores(
        name=one.name,
        id=one.id,
        folder=folder.path,
        model=one.said,
        weights_hash=one.weights,
        scores=tuple(
            score
            for digest, score in found
            if score is not None and matches(score, task_hash=digest, weights_hash=one.weights, flags=flags)
        ),
    )


def _asked_once(subjects: Sequence[Subject], given: Sequence[Given], observer: Observer) -> list[Subject]:
    """Without those whose weights another one has: they are asked once, and lm-eval's files are of the first."""
    first: dict[tuple[str | None, str | None], str] = {}
    asked = []
    for subject, one in zip(subjects, given, strict=True):
        leader = first.setdefault((subject.weights, subject.tokenizer), one.said)
        if leader == one.said:
            asked.append(subject)
        else:
            observer.message(
                f"{one.said} holds the same weights as {leader}: lm-eval's files are written for that alone"
            )
    return asked


def _say_again(
    subjects: Sequence[Subject], tasks: Sequence[TaskFile], wanted: suite.Score, backend: str, observer: Observer
) -> None:
    flags = flags_of(wanted)
    there = sum(
        (have := read_score(subject.folder, task.name, backend)) is not None and is_of(have, subject, task, flags)
        for subject in subjects
        for task in tasks
    )
    if there:
        observer.message(
            f"{there} scored already, asked again: --out needs what lm-eval was answered, which is not kept"
        )


def _without_suite(problem: Problem) -> Problem:
    """What is wrong with a task, for somebody who has no suite: paths are taken from where the command was given."""

    def said(text: str | None) -> str | None:
        return text and text.replace("beside the suite", "here").replace("the suite file", "the current folder")

    return replace(problem, why=said(problem.why), hint=said(problem.hint))


def _wrong_out(out: Path | None) -> Problem | None:
    if out is None or (out.suffix != ".json" and (out.is_dir() or not out.exists())):
        return None
    return Problem(what=f"--out {out} is no folder", hint="name a folder: every model gets one of its own in it")


def _make(out: Path | None) -> None:
    """Makes the folder and tries it, before hours of scoring."""
    if out is None:
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise FolderError.of(f"{out} cannot be written", why=str(error), hint="choose another --out") from error


def _files(out: Path | None) -> set[Path]:
    return set() if out is None else set(out.glob("*/results_*.json"))


def _unwritten(subjects: Sequence[Subject], tasks: int, report: ScoreReport, *, new: Collection[Path]) -> list[Problem]:
    """Models of which something was scored, and whose files lm-eval could not write."""
    written = {path.parent.name for path in new}
    failures = Counter(failure.folder for failure in report.failed)
    lost = [
        subject.name
        for subject in subjects
        if failures[subject.folder.path] < tasks
        and _UNSAFE.sub("__", subject.arguments.get("peft") or subject.arguments["pretrained"]) not in written
    ]
    why = f"the scores are kept; {subjects[0].folder.path.parent / 'score.log'} says what went wrong"
    return [Problem(what=f"lm-eval's files of {', '.join(lost)} could not be written", why=why)] if lost else []
