"""What of a suite's checkpoints still has to be scored, and having it done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import models
from harness.errors import FolderError, HarnessError
from harness.records import suite
from harness.records.progress import Observer
from harness.records.run_folder import RunFolder
from harness.score import debug
from harness.score.backends import Backend, choose
from harness.score.child import Child
from harness.score.jobs import Job, JobCheckpoint, JobTask
from harness.score.scorefiles import flags_of, matches, read_score, write_score
from harness.score.taskfiles import TaskFile, resolve

_HOPELESS = 3  # children in a row that died without a single score


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A checkpoint that could not be scored on a task. `name` is the trial's, `folder` its own, `cause` one line."""

    name: str
    folder: Path
    task: str
    cause: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreReport:
    """What `score` did, in counts of checkpoint × task. `note` is for the reader of the result."""

    scored: int
    reused: int
    failed: tuple[Failure, ...]
    backend: str
    note: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """One checkpoint to be scored on one task."""

    folder: RunFolder
    name: str
    task: TaskFile
    weights_hash: str | None


@dataclass(kw_only=True, slots=True)
class _Tally:
    """What has come out so far."""

    observer: Observer
    doing: Callable[[str], None]
    check: Callable[[], None]
    total: int = 0
    begun: int = 0
    scored: int = 0
    reused: int = 0
    failed: list[Failure] = field(default_factory=list)

    def begin(self, item: _Item) -> None:
        self.begun += 1
        self.say(f"scoring {self.begun}/{self.total} {item.name} {item.task.name}")

    def say(self, text: str) -> None:
        """What is being done now."""
        self.doing(text)
        self.observer.message(text)

    def fail(self, item: _Item, cause: str) -> None:
        self.failed.append(Failure(name=item.name, folder=item.folder.path, task=item.task.name, cause=cause))
        self.observer.message(f"not scored: {item.name} {item.task.name}: {cause}")


def _nothing(*_: object) -> None:
    """What is done by whoever need not know."""


def score(
    folders: Sequence[RunFolder],
    wanted: suite.Score,
    *,
    observer: Observer,
    root: Path,
    force: bool = False,
    doing: Callable[[str], None] = _nothing,
    check: Callable[[], None] = _nothing,
) -> ScoreReport:
    """Scores every finished checkpoint on every wanted task; only what is missing, unless `force`.

    A folder counts when its outcome is `ok`. A score is kept when it is of the same weights, task content and
    flags, by the same backend. `root` is the suite file's folder, from which task paths are taken. Task output goes to
    `score.log` beside the first run folder that is scored. `doing` is told what is being done. `check` is called twice
    a second, and what it raises ends the scoring.

    Raises:
        InputError: a task or a backend that cannot be used; nothing has been scored then.
        FolderError: the log cannot be written.
        Interrupted, KeyboardInterrupt: of `check`, once the child is gone; what was scored before stays.
    """
    tasks = resolve(wanted.tasks, root)
    backend, note = choose(wanted.backend)
    flags = flags_of(wanted)
    tally = _Tally(observer=observer, doing=doing, check=check)
    tally.doing("looking for what is to be scored")
    made_up: list[_Item] = []
    real: list[_Item] = []
    for folder in folders:
        check()  # the weights of each are hashed
        outcome = folder.outcome()
        if outcome is None or outcome.outcome != "ok":
            continue
        is_debug = debug.is_debug(folder)
        items = _missing(folder, tasks, "debug" if is_debug else backend.name, flags, force, tally)
        (made_up if is_debug else real).extend(items)
    tally.total = len(made_up) + len(real)
    _score_made_up(made_up, flags, tally)
    if real:
        _score_in_children(real, backend, flags, tally)
    only_debug = bool(folders) and all(debug.is_debug(folder) for folder in folders)
    return ScoreReport(
        scored=tally.scored,
        reused=tally.reused,
        failed=tuple(tally.failed),
        backend="debug" if only_debug else backend.name,
        note="made-up scores: these checkpoints hold no model" if only_debug else note,
    )


def _missing(
    folder: RunFolder, tasks: Sequence[TaskFile], backend: str, flags: dict[str, Any], force: bool, tally: _Tally
) -> list[_Item]:
    """The tasks this folder still has to be scored on."""
    spec = folder.spec() or {}
    items = [
        _Item(folder=folder, name=str(spec.get("name", folder.path.name)), task=task, weights_hash=None)
        for task in tasks
    ]
    try:
        weights = _weights(folder)
    except (HarnessError, OSError) as error:
        for item in items:
            tally.fail(item, str(error).splitlines()[0])
        return []
    there = folder.checkpoint.is_dir()
    missing = []
    for item in items:
        known = read_score(folder, item.task.name, backend)
        same = known is not None and matches(known, task_hash=item.task.hash, weights_hash=weights, flags=flags)
        if same and not (force and there):
            tally.reused += 1
        elif there:
            missing.append(_Item(folder=folder, name=item.name, task=item.task, weights_hash=weights))
        else:
            tally.fail(item, "its checkpoint is gone; train it again with `checkpoint: keep` to score it")
    return missing


def _weights(folder: RunFolder) -> str | None:
    """The hash of the weights that lie there; what training recorded, where none do (dropped, or made up)."""
    if folder.checkpoint.is_dir() and not debug.is_debug(folder):
        return models.weights_hash(folder.checkpoint)
    return folder.weights_hash()


def _score_made_up(items: Sequence[_Item], flags: dict[str, Any], tally: _Tally) -> None:
    for item in items:
        tally.check()
        tally.begin(item)
        made, documents = debug.debug_score(item.folder, item.task, weights_hash=item.weights_hash, flags=flags)
        try:
            write_score(item.folder, made, documents)
        except OSError as error:
            tally.fail(item, f"its score cannot be written: {error}")
        else:
            tally.scored += 1


def _score_in_children(items: Sequence[_Item], backend: Backend, flags: dict[str, Any], tally: _Tally) -> None:
    """One child after the other until nothing is left: a child that dies costs what it was on, and no more."""
    log = items[0].folder.path.parent / "score.log"
    try:
        log.write_bytes(b"")
    except OSError as error:
        raise FolderError.of(f"{log} cannot be written", why=str(error)) from error
    left = {(str(item.folder.path.resolve()), item.task.name): item for item in items}
    fruitless = 0
    while left:
        before = tally.scored
        tally.say(f"importing lm-eval ({backend.name}); its log is {log}")
        with Child(_job(left, backend, flags), backend, log, tally.check) as child:
            at = _listen(child, left, tally)
            if not left:
                return
            cause = child.cause()
        fruitless = 0 if tally.scored > before else fruitless + 1
        lost = list(left) if fruitless >= _HOPELESS else [key for key in left if _was_on(key, at)]
        for key in lost:
            tally.fail(left.pop(key), cause)


def _was_on(key: tuple[str, str], at: tuple[str, str | None] | None) -> bool:
    """Whether a child that ended at `at` died of this; of everything, when it never got to the first checkpoint."""
    return at is None or (key[0] == at[0] and at[1] in (None, key[1]))


def _listen(child: Child, left: dict[tuple[str, str], _Item], tally: _Tally) -> tuple[str, str | None] | None:
    """Hears a child out. Returns where it was when it ended: (folder, task), (folder, None) loading, None before."""
    at: tuple[str, str | None] | None = None
    for message in child.messages():
        key = (str(message.get("folder")), str(message.get("task")))
        match message["kind"]:
            case "open":
                at = (key[0], None)
            case "start":
                at = key
                tally.begin(left[key])
            case "done":
                del left[key]
                tally.scored += 1
            case "failed":
                tally.fail(left.pop(key), str(message["cause"]))
    return at


def _job(left: dict[tuple[str, str], _Item], backend: Backend, flags: dict[str, Any]) -> Job:
    assert backend.opener is not None
    tasks = {item.task.name: item.task for item in left.values()}
    by_folder: dict[str, list[_Item]] = {}
    for (folder, _), item in left.items():
        by_folder.setdefault(folder, []).append(item)
    return Job(
        backend=backend.name,
        opener=backend.opener,
        flags=flags,
        tasks=tuple(JobTask(name=task.name, path=str(task.path), hash=task.hash) for task in tasks.values()),
        checkpoints=tuple(
            JobCheckpoint(
                folder=folder, weights_hash=items[0].weights_hash, tasks=tuple(item.task.name for item in items)
            )
            for folder, items in by_folder.items()
        ),
    )
