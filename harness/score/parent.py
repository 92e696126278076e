"""What of a suite's checkpoints still has to be scored, and having it done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.environments import Declaration
from harness.errors import BuildError, FolderError, HeldError
from harness.records import suite
from harness.records.progress import Observer
from harness.records.run_folder import RunFolder
from harness.records.score import Score
from harness.score import debug, known
from harness.score.backends import BACKENDS, PREFERENCE, Backend, Place, choose, said
from harness.score.children import Orders, measure_in_child, score_in_children, unmeasured
from harness.score.groupscores import score_groups
from harness.score.scorefiles import flags_of, matches, read_documents, read_score, write_score
from harness.score.subjects import Subject, subjects_of
from harness.score.tally import Failure, Item, Tally
from harness.score.taskfiles import TaskFile, resolve, resolve_groups

__all__ = ["Failure", "ScoreReport", "score"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreReport:
    """What `score` did, in counts of checkpoint × task. `note` is for the reader of the result."""

    scored: int
    reused: int
    failed: tuple[Failure, ...]
    backend: str
    note: str | None = None

    def and_(self, other: ScoreReport) -> ScoreReport:
        """Both together: what was done at first, and then."""
        return ScoreReport(
            scored=self.scored + other.scored,
            reused=self.reused + other.reused,
            failed=(*self.failed, *other.failed),
            backend=self.backend,
            note=self.note or other.note,
        )


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
    tally: Tally | None = None,
    environment: Declaration | None = None,
) -> ScoreReport:
    """Scores every finished checkpoint on every wanted task; only what is missing, unless `force`.

    A folder counts when its outcome is `ok`. `root` is the suite file's folder, from which task paths are taken.
    `environment` is where vLLM is to run. More: see `score_subjects`.
    """
    tasks = resolve(wanted.tasks, root)
    backend, note = choose(wanted.backend, environment)
    tally = tally or Tally(observer=observer, doing=doing, check=check)
    tally.doing("looking for what is to be scored")
    subjects = []
    for folder in folders:
        tally.check()  # the weights of each are hashed
        subjects += subjects_of(folder, every=wanted.every != "end")
    told = score_subjects(subjects, tasks, wanted, backend, note, root=root, tally=tally, force=force)
    write_groups(subjects, wanted, root, told.backend)
    return told


def score_subjects(
    subjects: Sequence[Subject],
    tasks: Sequence[TaskFile],
    wanted: suite.Score,
    backend: Backend,
    note: str | None,
    *,
    root: Path,
    tally: Tally,
    force: bool = False,
    out: Path | None = None,
) -> ScoreReport:
    """Scores every subject on every task; only what is missing, unless `force`.

    A score is kept when it is of the same weights and tokenizer, task content and flags, by the same backend; where
    other run folders of the same results hold one, it is taken over. What the children print goes to `score.log` beside
    the first run folder that is scored. `tally` says whom to tell and what to check, and holds what earlier rounds of
    this run came to: the report is of all rounds. `out`: see `harness.score.jobs.Job`.

    Raises:
        InputError: a backend that cannot be used; nothing has been scored then.
        FolderError: the log cannot be written.
        Interrupted, KeyboardInterrupt: of the tally's `check`, once the child is gone; what was scored before stays.
    """
    flags = flags_of(wanted)
    tally.backend = backend.name
    made_up = _missing([one for one in subjects if one.made_up], tasks, "debug", flags, force, tally)
    real_ones = [one for one in subjects if not one.made_up]
    with ExitStack() as stack:
        before = tally.counts()
        real = _missing(real_ones, tasks, backend.name, flags, force, tally)
        place = Place()
        if real:
            backend, place, note, changed = _placed(backend, wanted, note, tally, stack)
            tally.note, tally.backend = note, backend.name
            if changed:
                tally.back_to(before)
                real = _missing(real_ones, tasks, backend.name, flags, force, tally)
        tally.total = tally.begun + len(made_up) + len(real)
        _score_made_up(made_up, flags, tally)
        if real:
            done = _Done(tally=tally, backend=backend.name, flags=flags, twins={})
            orders = Orders(
                backend=backend,
                place=place,
                flags=flags,
                engine=wanted.engine,
                root=root,
                log=_log(real, tally),
                done=done,
                notes=(*((note,) if note else ()), *tally.notes),
                measured=[Item(subject=one, task=task) for one in real_ones for task in tasks],
                out=out,
            )
            _score_real(real, orders, done, tally, elsewhere=not force)
    _measure_overlaps(real_ones, tasks, flags, root, tally)
    if wanted.parity and backend.shares:
        _check_parity(real_ones, tasks, wanted, backend, flags, root, tally)
    only_debug = bool(subjects) and all(one.made_up for one in subjects)
    return _report(tally, backend, tally.note or note, only_debug=only_debug)


def _score_real(items: Sequence[Item], orders: Orders, done: _Done, tally: Tally, *, elsewhere: bool) -> None:
    """Asks each weights once; the others with the same get the score, or fail as it did."""
    leaders = done.leaders(items, elsewhere=elsewhere)
    if leaders:
        score_in_children(leaders, orders, tally)
    done.followers_of_failures()


def _report(tally: Tally, backend: Backend, note: str | None, *, only_debug: bool) -> ScoreReport:
    return ScoreReport(
        scored=tally.scored,
        reused=tally.reused,
        failed=tuple(tally.failed),
        backend="debug" if only_debug else backend.name,
        note="made-up scores: these checkpoints hold no model" if only_debug else note,
    )


def write_groups(subjects: Sequence[Subject], wanted: suite.Score, root: Path, backend: str) -> None:
    """Writes the scores of groups, which follow from those of tasks; what a group lacks has been told of its tasks.

    Raises:
        FolderError: a run folder cannot be written.
    """
    groups = resolve_groups(wanted.tasks, root)
    for subject in subjects if groups else ():
        by = "debug" if subject.made_up else backend
        try:
            score_groups(
                subject.folder, groups, by, flags=flags_of(wanted), weights_hash=subject.weights, step=subject.step
            )
        except OSError as error:
            raise FolderError.of(f"{subject.folder.path} cannot be written", why=str(error)) from error


def _placed(
    backend: Backend, wanted: suite.Score, note: str | None, tally: Tally, stack: ExitStack
) -> tuple[Backend, Place, str | None, bool]:
    """Where the children run, made if need be. `auto` takes transformers where that fails, and says so."""
    try:
        place = stack.enter_context(backend.place(tally.say))
        named = note is not None and place.record is not None
        return backend, place, said(backend, PREFERENCE, place) if named else note, False
    except (BuildError, HeldError) as error:
        if wanted.backend != "auto":
            raise
        other = BACKENDS["hf"]
        reasons = [(problem.what, (problem.why or "").splitlines()) for problem in error.problems]
        note = said(other, "; ".join(what + (f" ({why[0]})" if why else "") for what, why in reasons))
        tally.say(note)
        for line in [why[-1].strip() for _, why in reasons if len(why) > 1]:
            tally.say(line)  # where the log of the build lies
        return other, stack.enter_context(other.place(tally.say)), note, True


def _log(items: Sequence[Item], tally: Tally) -> Path:
    """Where the children print to; what an earlier run printed is gone."""
    log = items[0].subject.folder.path.parent / "score.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        if not tally.logged:
            log.write_bytes(b"")
    except OSError as error:
        raise FolderError.of(f"{log} cannot be written", why=str(error)) from error
    tally.logged = True
    return log


def _missing(
    subjects: Sequence[Subject],
    tasks: Sequence[TaskFile],
    backend: str,
    flags: dict[str, Any],
    force: bool,
    tally: Tally,
) -> list[Item]:
    """What still has to be scored."""
    missing = []
    for subject in subjects:
        for task in tasks:
            item = Item(subject=subject, task=task)
            if item.key in tally.settled:
                continue
            if subject.problem is not None:
                tally.fail(item, subject.problem)
                continue
            have = read_score(subject.folder, task.name, backend, subject.step)
            same = have is not None and is_of(have, subject, task, flags)
            if same and not (force and subject.there):
                tally.keep(item)
            elif subject.there:
                missing.append(item)
            else:
                cause = "its checkpoint is gone; train it again with `checkpoint: keep` to score it"
                tally.fail(item, cause, kept=False)
    return missing


def is_of(have: Score, subject: Subject, task: TaskFile, flags: dict[str, Any]) -> bool:
    """Whether a score is of these weights and this tokenizer, this task and these flags, and was proven."""
    same = matches(have, task_hash=task.hash, weights_hash=subject.weights, flags=flags)
    tokenizer = subject.tokenizer is None or have.tokenizer_hash in (None, subject.tokenizer)
    return same and tokenizer and (have.canary or {}).get("base_again") is not False


def _score_made_up(items: Sequence[Item], flags: dict[str, Any], tally: Tally) -> None:
    for item in items:
        tally.check()
        tally.begin(item)
        subject = item.subject
        made, documents = debug.debug_score(
            subject.folder, item.task, weights_hash=subject.weights, flags=flags, step=subject.step
        )
        try:
            write_score(subject.folder, made, documents)
        except OSError as error:
            tally.fail(item, f"its score cannot be written: {error}")
        else:
            tally.done(item)


@dataclass(kw_only=True, slots=True)
class _Done:
    """Counts what is scored, and gives a score to every other subject with the same weights."""

    tally: Tally
    backend: str
    flags: dict[str, Any]
    twins: dict[tuple[str, str], list[Item]]

    def leaders(self, items: Sequence[Item], *, elsewhere: bool) -> list[Item]:
        """One item of those with the same weights, tokenizer and task; none where their score lies `elsewhere`."""
        leaders: dict[tuple[str | None, str | None, str, str], Item] = {}
        scores = known.Elsewhere(items[0].subject.folder.path.parent.parent, self.backend) if elsewhere else None
        for item in items:
            self.tally.check()
            subject = item.subject
            if scores is not None and (found := scores.find(item, self.flags)) is not None:
                self._copy(found, item)
                continue
            same = (subject.weights, subject.tokenizer, item.task.name, item.task.hash)
            leader = leaders.setdefault(same, item)
            if leader is not item:
                self.twins.setdefault(leader.key, []).append(item)
        return list(leaders.values())

    def __call__(self, item: Item) -> None:
        self.tally.done(item)
        for twin in self.twins.pop(item.key, []):
            self.tally.begin(twin)
            self._copy(item, twin)

    def followers_of_failures(self) -> None:
        """What waited for a score that never came fails as it did."""
        causes = {(failure.folder, failure.task): failure.cause for failure in self.tally.failed}
        for (key, task), twins in self.twins.items():
            folder = Path(key.partition("@")[0])
            for twin in twins:
                cause = next(
                    (why for (where, of), why in causes.items() if where.resolve() == folder and of == task), ""
                )
                self.tally.fail(twin, cause or "the same weights could not be scored")
        self.twins.clear()

    def _copy(self, source: Item, item: Item) -> None:
        there, task = source.subject, item.task.name
        try:
            have = read_score(there.folder, task, self.backend, there.step)
            documents = read_documents(there.folder, task, self.backend, there.step)
            assert have is not None, "it has just been found or written"
            note = f"the same weights were scored as {there.name}; they were not asked again"
            kept = replace(have, step=item.subject.step, notes=(*have.notes, note))
            write_score(item.subject.folder, kept, documents)
        except (OSError, ValueError) as error:
            self.tally.fail(item, f"its score cannot be written: {error}")
        else:
            self.tally.done(item)


def _measure_overlaps(
    subjects: Sequence[Subject], tasks: Sequence[TaskFile], flags: dict[str, Any], root: Path, tally: Tally
) -> None:
    """Has the overlaps measured that no scoring child came to: it died, or there was nothing left to score."""
    items = [Item(subject=one, task=task) for one in subjects for task in tasks]
    if not unmeasured(items):
        return
    backend = BACKENDS["hf"]
    with backend.place(tally.say) as place:
        log = items[0].subject.folder.path.parent / "score.log"
        measure_in_child(
            Orders(
                backend=backend,
                place=place,
                flags=flags,
                engine={},
                root=root,
                log=log,
                done=_nothing,
                measured=items,
            ),
            tally,
        )


def _check_parity(
    subjects: Sequence[Subject],
    tasks: Sequence[TaskFile],
    wanted: suite.Score,
    backend: Backend,
    flags: dict[str, Any],
    root: Path,
    tally: Tally,
) -> None:
    """Has transformers asked the first documents of every score that has not been checked so."""
    items = []
    for subject in subjects:
        for task in tasks:
            have = read_score(subject.folder, task.name, backend.name, subject.step)
            if have is None or not subject.there or not is_of(have, subject, task, flags):
                continue
            if (have.parity or {}).get("asked") != wanted.parity:
                items.append(Item(subject=subject, task=task))
    if not items:
        return
    other = BACKENDS["hf"]
    with other.place(tally.say) as place:
        orders = Orders(
            backend=other,
            place=place,
            flags=flags,
            engine={},
            root=root,
            log=items[0].subject.folder.path.parent / "score.log",
            done=_nothing,
            parity=wanted.parity,
            parity_of=backend.name,
        )
        score_in_children(items, orders, tally)
