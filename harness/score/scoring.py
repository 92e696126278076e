"""Scoring one checkpoint after the other, each proven to be itself. Imported by the scoring child alone."""

from __future__ import annotations

import importlib.metadata
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.records.run_folder import RunFolder
from harness.records.score import Score
from harness.score import canary, overlap, parity
from harness.score.evaluation import Evaluator
from harness.score.jobs import Job, JobCheckpoint
from harness.score.opened import Opened, Opener
from harness.score.scorefiles import read_documents, read_score, update_score, write_score

if TYPE_CHECKING:
    from harness.score.outfiles import OutFiles

Tell = Callable[..., None]

_PACKAGES = ("lm_eval", "transformers", "torch", "peft", "vllm")


class EngineDied(Exception):
    """The engine answers no more. What it died of was told."""


@dataclass(kw_only=True, slots=True)
class _Proven:
    """A checkpoint that is open, and what its canary showed."""

    opened: Opened
    canary: dict[str, Any]
    notes: tuple[str, ...]


@dataclass(slots=True)
class Scoring:
    """One job's work. `tell` writes progress lines."""

    job: Job
    opener: Opener
    tell: Tell
    _evaluator: Evaluator = field(init=False)
    _canaries: canary.Canaries = field(default_factory=canary.Canaries, init=False)
    _bases: dict[str, tuple[float, ...]] = field(default_factory=dict, init=False)
    _first: tuple[float, ...] | None = field(default=None, init=False)
    _written: list[tuple[JobCheckpoint, str]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._evaluator = Evaluator(self.job.tasks, self.job.flags)

    def score(self, checkpoint: JobCheckpoint) -> None:
        """Asks a checkpoint all its tasks; what goes wrong is told.

        Raises:
            EngineDied: an engine that others share did not survive it.
        """
        left = list(checkpoint.tasks)
        self.tell("open", checkpoint=checkpoint.key)
        try:
            with ExitStack() as stack:
                proven = self._proven(checkpoint, stack)
                files = self._files(checkpoint, proven, stack)
                while left:
                    self._task(checkpoint, left[0], proven, files)
                    left.pop(0)
        except EngineDied:
            raise
        except Exception as error:
            self._lost(checkpoint, left, error)

    def finish(self) -> None:
        """Asks the weights that a shared engine began with once more, and says so in every score it gave."""
        if self._first is None or not self._written:
            return
        same, note = None, None
        try:
            with self._found(self.opener.first()) as lm:
                same = canary.sing(lm) == self._first if canary.finite(self._first) else None
        except Exception as error:
            traceback.print_exception(error)
            note = f"the engine's first weights could not be asked once more: {cause_of(error)}"
        if same is False:
            note = "the engine's first weights answered otherwise at the end than at the beginning: not proven"
        for checkpoint, task in self._written:
            folder = RunFolder(Path(checkpoint.folder))
            change = partial(_with_base_again, same=same, note=note)
            update_score(folder, task, self.job.backend, checkpoint.step, change)

    def overlaps(self) -> None:
        """Measures how much of the tasks stands in what was trained on; what cannot be measured says so in its file."""
        if not self.job.overlaps:
            return
        self.tell("doing", text="looking for the tasks' documents in the training data")
        for line in overlap.measure_job(self.job, self._evaluator.task):
            print(line, file=sys.stderr)

    def _proven(self, checkpoint: JobCheckpoint, stack: ExitStack) -> _Proven:
        """Opens a checkpoint, by another way if the first does not answer with its weights."""
        if self.job.parity is not None:  # what is asked here only checks another backend's score
            opened = stack.enter_context(self.opener.open(checkpoint))
            return _Proven(opened=opened, canary={}, notes=opened.notes)
        base = self._base_song(checkpoint)
        begins = self.opener.first() is None
        opened = stack.enter_context(self.opener.open(checkpoint))
        song = canary.sing(opened.lm)
        if base is None and opened.bare is not None:
            with opened.bare():
                base = canary.sing(opened.lm)
        if begins and self.opener.first() is not None:
            self._first = song
        notes = opened.notes
        if base is not None and song == base and canary.finite(song) and not opened.null:
            other = self.opener.again(checkpoint)
            if other is not None:
                stack.pop_all().close()
                opened = stack.enter_context(other)
                song = canary.sing(opened.lm)
                notes = (
                    "the engine answered as its base when asked with this adapter, so it was merged",
                    *opened.notes,
                )
        same = self._canaries.same_as(checkpoint.weights_hash, song)
        notes = (*notes, *_doubts(song, base, same, null=opened.null))
        self._canaries.keep(checkpoint.weights_hash, checkpoint.name or checkpoint.key, song, null=opened.null)
        return _Proven(
            opened=opened, canary=canary.record(song, base=base, same_as=same, null=opened.null), notes=notes
        )

    def _base_song(self, checkpoint: JobCheckpoint) -> tuple[float, ...] | None:
        context = self.opener.base(checkpoint)
        if context is None:
            return None
        key = repr(sorted((checkpoint.base or {}).items()))
        if key not in self._bases:
            begins = self.opener.first() is None
            with context as lm:
                self._bases[key] = canary.sing(lm)
            if begins:
                self._first = self._bases[key]
        return self._bases[key]

    def _files(self, checkpoint: JobCheckpoint, proven: _Proven, stack: ExitStack) -> OutFiles | None:
        """What also gets lm-eval's answers, where its own files are wanted; they are written before the model closes.

        The scores lie in the run folder by then, so files that cannot be written end nothing: the parent finds them
        missing.
        """
        if self.job.out is None:
            return None
        from harness.score.outfiles import OutFiles

        files = OutFiles(job=self.job, checkpoint=checkpoint, lm=proven.opened.lm)

        def write() -> None:
            try:
                files.write()
            except Exception as error:
                traceback.print_exception(error)  # stderr is the log

        stack.callback(write)
        return files

    def _task(self, checkpoint: JobCheckpoint, task: str, proven: _Proven, files: OutFiles | None) -> None:
        self.tell("start", checkpoint=checkpoint.key, task=task)
        try:
            if self.job.parity is not None:
                metrics = self._compare(checkpoint, task, proven, self.job.parity)
            else:
                metrics = self._evaluate(checkpoint, task, proven, files)
        except Exception as error:
            self._lost(checkpoint, [task], error)
        else:
            self.tell("done", checkpoint=checkpoint.key, task=task, metrics=metrics)

    def _evaluate(
        self, checkpoint: JobCheckpoint, task: str, proven: _Proven, files: OutFiles | None
    ) -> dict[str, float]:
        began = time.monotonic()
        found = self._evaluator.evaluate(proven.opened.lm, task, hear=files.add if files else None)
        score = Score(
            task=task,
            backend=self.job.backend,
            metrics=found.metrics,
            stderr=found.stderr,
            higher_is_better=found.higher_is_better,
            n_documents=len(found.documents),
            task_hash=next(one.hash for one in self.job.tasks if one.name == task),
            task_version=found.version,
            template_hash=found.template_hash,
            weights_hash=checkpoint.weights_hash,
            flags=dict(self.job.flags),
            versions=_versions(),
            scored_at=datetime.now(UTC).isoformat(timespec="seconds"),
            duration_s=round(time.monotonic() - began, 3),
            notes=(*self.job.notes, *proven.notes, *found.notes),
            tokenizer_hash=checkpoint.tokenizer_hash,
            step=checkpoint.step,
            served=proven.opened.served,
            canary=proven.canary,
            environment=self.job.environment,
        )
        write_score(RunFolder(Path(checkpoint.folder)), score, found.documents)
        self._written.append((checkpoint, task))
        return found.metrics

    def _compare(self, checkpoint: JobCheckpoint, task: str, proven: _Proven, count: int) -> dict[str, float]:
        """Asks the first documents of a score that another backend gave, and writes into it what differs."""
        folder, backend = RunFolder(Path(checkpoint.folder)), str(self.job.parity_of)
        score = read_score(folder, task, backend, checkpoint.step)
        if score is None:
            raise FileNotFoundError(f"the {backend} score of {task} is not there")
        ours = read_documents(folder, task, backend, checkpoint.step)[:count]
        theirs = self._evaluator.evaluate(proven.opened.lm, task, indexes=[one.index for one in ours]).documents
        found = {"asked": count, **parity.compare(ours, theirs, backend=self.job.backend)}
        said = parity.note(found)
        kept = tuple(note for note in score.notes if not note.startswith(parity.NOTE))
        changed = replace(score, parity=found, notes=(*kept, said) if said else kept)
        update_score(folder, task, backend, checkpoint.step, lambda _: changed)
        return {}

    def _lost(self, checkpoint: JobCheckpoint, tasks: list[str], error: Exception) -> None:
        """Tells what could not be scored, and whether the engine died of it.

        Raises:
            EngineDied: it did.
        """
        traceback.print_exception(error)  # stderr is the log
        lives = self.opener.lives()
        for task in tasks:
            kind = "failed" if lives else "crashed"
            self.tell(kind, checkpoint=checkpoint.key, task=task, cause=cause_of(error))
        if not lives:
            raise EngineDied from error

    @staticmethod
    def _found(context: AbstractContextManager[Any] | None) -> AbstractContextManager[Any]:
        assert context is not None, "an engine that sang at first is there at the end"
        return context


def _with_base_again(score: Score, same: bool | None, note: str | None) -> Score:
    notes = (*score.notes, note) if note else score.notes
    return replace(score, canary={**(score.canary or {}), "base_again": same}, notes=notes)


def _doubts(song: tuple[float, ...], base: tuple[float, ...] | None, same: list[str], *, null: bool) -> tuple[str, ...]:
    """What the canary leaves in doubt, for the reader of the score."""
    said = []
    if not canary.finite(song):
        said.append("its log-probabilities are no finite numbers, so nothing proves that these weights answered")
    if null:
        said.append("the adapter changes nothing: every product of its matrices is zero")
    elif base is not None and song == base:
        said.append("it answers to the last bit as its base does, although its weights differ")
    if same and not null:
        said.append(f"it answers to the last bit as {', '.join(same)}, although its weights differ")
    return tuple(said)


def cause_of(error: Exception) -> str:
    """What went wrong in one line."""
    if isinstance(error, HarnessError):
        return "; ".join(problem.what + (f": {problem.why}" if problem.why else "") for problem in error.problems)
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)  # the vllm backend answers for vLLM's CPU build, too
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
