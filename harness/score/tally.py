"""What has come out of scoring so far, and telling it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.records.progress import Observer
from harness.score.memory_back import Memory
from harness.score.scorefiles import failure_file, write_failure
from harness.score.subjects import Subject
from harness.score.taskfiles import TaskFile


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A checkpoint that could not be scored on a task. `name` is the trial's, `folder` its own, `cause` one line."""

    name: str
    folder: Path
    task: str
    cause: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One subject to be scored on one task."""

    subject: Subject
    task: TaskFile

    @property
    def key(self) -> tuple[str, str]:
        """What it is called between parent and child."""
        return self.subject.key, self.task.name


@dataclass(kw_only=True, slots=True)
class Tally:
    """Counts of subject × task. `doing` is told what is being done; `check` may raise, which ends the scoring.

    It may go on through several rounds of one run: what is `settled`, scored or failed, is not looked at again.
    `memory` knows what was in use on the devices before, `variables` are given to children beside those of their place.
    """

    observer: Observer
    doing: Callable[[str], None]
    check: Callable[[], None]
    total: int = 0
    begun: int = 0
    scored: int = 0
    reused: int = 0
    failed: list[Failure] = field(default_factory=list)
    settled: set[tuple[str, str]] = field(default_factory=set)
    backend: str = ""  # what scores in this round
    note: str | None = None  # which backend was taken, and why
    notes: tuple[str, ...] = ()  # for the reader of every score
    logged: bool = False  # whether what the children print is in the log already
    memory: Memory = field(default_factory=Memory.look)
    variables: Mapping[str, str] = field(default_factory=dict)

    def counts(self) -> tuple[int, int, set[tuple[str, str]]]:
        """What `back_to` goes back to."""
        return self.reused, len(self.failed), set(self.settled)

    def back_to(self, counts: tuple[int, int, set[tuple[str, str]]]) -> None:
        """Forgets what was counted since: it is looked for again, by another backend."""
        self.reused, known, self.settled = counts
        del self.failed[known:]

    def done(self, item: Item) -> None:
        """An item that has its score now."""
        self.scored += 1
        self.settled.add(item.key)

    def keep(self, item: Item) -> None:
        """An item that had its score."""
        self.reused += 1
        self.settled.add(item.key)
        subject = item.subject
        place = failure_file(subject.folder, item.task.name, self._backend(item), subject.step)
        with suppress(OSError):
            place.unlink(missing_ok=True)  # a forced score failed; this one counts

    def begin(self, item: Item) -> None:
        """An item is being scored now."""
        self.begun += 1
        self.say(f"scoring {self.begun}/{self.total} {item.subject.name} {item.task.name}")

    def say(self, text: str) -> None:
        """What is being done now."""
        self.doing(text)
        self.observer.message(text)

    def _backend(self, item: Item) -> str:
        return "debug" if item.subject.made_up else self.backend

    def fail(self, item: Item, cause: str, *, log: Path | None = None, kept: bool = True) -> None:
        """An item that could not be scored; unless not `kept`, its run folder says so too, with the end of the log."""
        self.settled.add(item.key)
        if kept:
            subject, task, backend = item.subject, item.task.name, self._backend(item)
            place = failure_file(subject.folder, task, backend, subject.step)
            write_failure(place, task=task, backend=backend, step=subject.step, cause=cause, log=log)
        where = item.subject.folder.path
        self.failed.append(Failure(name=item.subject.name, folder=where, task=item.task.name, cause=cause))
        self.observer.message(f"not scored: {item.subject.name} {item.task.name}: {cause}")
