"""Having items scored by children: one job per engine, and another child wherever one dies before its job is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import FolderError
from harness.records.overlap import read_overlap
from harness.score.backends import Backend, Place
from harness.score.child import Child
from harness.score.jobs import Job, JobCheckpoint, JobTask
from harness.score.memory_back import Back
from harness.score.scorefiles import overlap_file
from harness.score.subjects import Subject, in_order
from harness.score.tally import Item, Tally

_HOPELESS = 3  # children in a row that died without a single score

Left = dict[tuple[str, str], Item]


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """What every job of one backend has in common. `done` hears of each item that came to its end; `measured` are the
    items whose overlap with the training is to be known."""

    backend: Backend
    place: Place
    flags: Mapping[str, Any]
    engine: Mapping[str, Any]
    root: Path
    log: Path
    done: Callable[[Item], None]
    notes: tuple[str, ...] = ()
    measured: Sequence[Item] = ()
    parity: int | None = None
    parity_of: str | None = None
    out: Path | None = None


def score_in_children(items: Sequence[Item], orders: Orders, tally: Tally) -> None:
    """Scores the items, each family of theirs by an engine of its own where the backend shares one.

    Raises:
        FolderError: the log cannot be written.
    """
    try:
        orders.log.open("ab").close()
    except OSError as error:
        raise FolderError.of(f"{orders.log} cannot be written", why=str(error)) from error
    for family in _families(items) if orders.backend.shares else [list(items)]:
        _score_family(family, orders, tally)


def measure_in_child(orders: Orders, tally: Tally) -> None:
    """One child that scores nothing and measures the overlaps which are not known; where it dies, they stay so."""
    with _child({}, orders, tally) as child:
        _listen(child, {}, orders, tally)


def _families(items: Sequence[Item]) -> list[list[Item]]:
    """Items by family, in an order in which an engine changes its weights seldom."""
    found: dict[str, list[Item]] = {}
    for item in items:
        assert item.subject.found is not None, "only what has passed its preflight is scored"
        found.setdefault(item.subject.found.family, []).append(item)
    sorted_: list[list[Item]] = []
    for family in found.values():
        subjects = {item.subject.key: item.subject for item in family}
        place = {subject.key: index for index, subject in enumerate(in_order(list(subjects.values())))}
        sorted_.append(sorted(family, key=lambda item: place[item.subject.key]))
    return sorted_


def _score_family(items: Sequence[Item], orders: Orders, tally: Tally) -> None:
    """One child after the other until nothing is left: a child that dies costs what it was on, and no more."""
    left: Left = {item.key: item for item in items}
    fruitless = 0
    while left:
        before = len(left)
        tally.say(f"importing lm-eval ({orders.backend.name}); its log is {orders.log}")
        with _child(left, orders, tally) as child:
            heard = _listen(child, left, orders, tally)
            if heard.ended:
                return
            cause = child.cause() if heard.at is None else f"crashed: {child.cause()}"
        fruitless = 0 if len(left) < before and heard.fruits else fruitless + 1
        if heard.crashed is not None and fruitless < _HOPELESS:
            continue
        lost = list(left) if fruitless >= _HOPELESS else [key for key in left if _was_on(key, heard.at)]
        for key in lost:
            _fail(left.pop(key), cause, orders, tally)


@dataclass(kw_only=True, slots=True)
class _Heard:
    """What a child said. `at`: where it was when it ended: (checkpoint, task), (checkpoint, None) while it loaded, None
    before the first. `crashed`: the item its engine died of."""

    at: tuple[str, str | None] | None = None
    fruits: int = 0
    crashed: tuple[str, str] | None = None
    ended: bool = False


def _was_on(key: tuple[str, str], at: tuple[str, str | None] | None) -> bool:
    """Whether a child that ended at `at` died of this; of everything, when it never got to the first checkpoint."""
    return at is None or (key[0] == at[0] and at[1] in (None, key[1]))


def _listen(child: Child, left: Left, orders: Orders, tally: Tally) -> _Heard:
    """Hears a child out."""
    heard = _Heard()
    for message in child.messages():
        key = (str(message.get("checkpoint")), str(message.get("task")))
        match message["kind"]:
            case "doing":
                tally.say(str(message["text"]))
            case "open":
                if heard.at is None and orders.backend.shares:
                    tally.say(f"starting the {orders.backend.name} engine, which serves all that share their build")
                heard.at = (key[0], None)
            case "start":
                heard.at = key
                _begin(left[key], orders, tally)
            case "done":
                item = left.pop(key)
                heard.fruits += 1
                orders.done(item)
            case "failed":
                _fail(left.pop(key), str(message["cause"]), orders, tally)
            case "crashed":
                heard.crashed = key
                said = f"crashed: the {orders.backend.name} engine died: {message['cause']}; its log is {orders.log}"
                _fail(left.pop(key), said, orders, tally)
            case "end":
                heard.ended = not left
    return heard


def _begin(item: Item, orders: Orders, tally: Tally) -> None:
    if orders.parity is None:
        tally.begin(item)
    else:
        tally.say(f"asking {item.subject.name} {item.task.name} again with {orders.backend.name}")


def _fail(item: Item, cause: str, orders: Orders, tally: Tally) -> None:
    if orders.parity is None:
        tally.fail(item, cause, log=orders.log)
    else:
        said = f"its score is there, but not compared with {orders.backend.name}: {cause}"
        tally.fail(item, said, kept=False)


def _child(left: Left, orders: Orders, tally: Tally) -> Child:
    """A child for what is left, once the memory of who was on its devices before is back."""
    place = replace(orders.place, variables={**orders.place.variables, **tally.variables})
    back = tally.memory.back(place.variables, tally.say, tally.check)
    for note in back.notes:
        tally.say(note)
    job = _job(left, orders)
    job = replace(job, engine=_within(back, orders), notes=(*orders.notes, *back.notes))
    return Child(job, orders.backend, place, orders.log, tally.check)


def _within(back: Back, orders: Orders) -> Mapping[str, Any]:
    """The engine's settings, with the share of the device that is free where vLLM's own would not fit."""
    asked = orders.engine
    known = any(name in asked for name in ("gpu_memory_utilization", "kv_cache_memory_bytes"))
    if not orders.backend.shares or known or not orders.place.cuda:
        return asked
    devices = asked.get("tensor_parallel_size", 1)
    share = back.share(devices if isinstance(devices, int) else 1)
    return asked if share is None else {**asked, "gpu_memory_utilization": share}


def _job(left: Left, orders: Orders) -> Job:
    assert orders.backend.opener is not None
    tasks = {item.task.name: item.task for item in (*orders.measured, *left.values())}
    by_subject: dict[str, list[Item]] = {}
    for (key, _), item in left.items():
        by_subject.setdefault(key, []).append(item)
    return Job(
        backend=orders.backend.name,
        opener=orders.backend.opener,
        flags=orders.flags,
        tasks=tuple(JobTask(name=task.name, path=str(task.path), hash=task.hash) for task in tasks.values()),
        checkpoints=tuple(_checkpoint(items[0].subject, items) for items in by_subject.values()),
        engine=orders.engine,
        environment=orders.place.record,
        parity=orders.parity,
        parity_of=orders.parity_of,
        overlaps=unmeasured(orders.measured) if orders.parity is None else (),
        root=str(orders.root.resolve()),
        out=None if orders.out is None else str(orders.out.resolve()),
    )


def unmeasured(items: Sequence[Item]) -> tuple[tuple[str, str], ...]:
    """Run folders of trainings, with tasks whose overlap with them is not known."""
    wanted = {(str(item.subject.folder.path.resolve()), item.task.name): item for item in items}
    return tuple(key for key, item in sorted(wanted.items()) if _trained(item.subject) and not _measured(item))


def _measured(item: Item) -> bool:
    """Whether somebody has looked, and found an overlap, none, or why it cannot be known."""
    found = read_overlap(overlap_file(item.subject.folder, item.task.name))
    return found is not None and found.task_hash == item.task.hash


def _trained(subject: Subject) -> bool:
    return not subject.made_up and bool((subject.folder.spec() or {}).get("method"))


def _checkpoint(subject: Subject, items: Sequence[Item]) -> JobCheckpoint:
    found = subject.found
    assert found is not None, "only what has passed its preflight is scored"
    return JobCheckpoint(
        folder=str(subject.folder.path.resolve()),
        checkpoint=str(subject.checkpoint.resolve()),
        weights_hash=subject.weights,
        tasks=tuple(item.task.name for item in items),
        name=subject.name,
        step=subject.step,
        tokenizer_hash=subject.tokenizer,
        way=found.way,
        why=found.why,
        base=found.base,
        rank=found.rank,
        modules=found.modules,
        arguments=subject.arguments,
    )
