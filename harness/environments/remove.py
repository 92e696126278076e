"""Removing environments: never one that runs, and never half of one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from harness.environments import locks
from harness.environments.build import clean, set_aside, used, writing
from harness.environments.places import Place
from harness.environments.state import Condition, State, disk_usage, overview
from harness.errors import HeldError, SelectionError, did_you_mean


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """An environment that can be removed, and what that frees."""

    place: Place
    condition: Condition
    why: str | None
    size_bytes: int
    frees_bytes: int
    """Less than its size where uv's cache holds the same files; `uv cache prune` frees those."""


def removable(names: Sequence[str] = (), *, everything: bool = False, stale: bool = False) -> list[Found]:
    """What there is to remove: all of the names (or `<name>-<hash>`), or everything; with `stale` only what nobody
    needs any more: broken and outdated ones, and what builds that did not end have left.

    Raises:
        SelectionError: a name that nothing in the cache goes by.
    """
    states = [state for state in overview() if _is_there(state)]
    for name in names:
        if not any(name in (state.name, state.place.key) for state in states):
            known = sorted({state.name for state in states})
            raise SelectionError.of(f"no environment {name!r} is built", hint=did_you_mean(name, known))
    chosen = [
        state
        for state in states
        if everything or not names or state.name in names or state.place.key in names
        if not stale or _is_stale(state)
    ]
    return [_found(state) for state in chosen]


def remove(found: Sequence[Found]) -> tuple[list[Found], list[HeldError]]:
    """Removes them; gives those that are gone, and an error for each that is in use or being built.

    Raises:
        BuildError: the cache cannot be written.
    """
    gone: list[Found] = []
    kept: list[HeldError] = []
    for one in found:
        try:
            _remove(one.place)
        except HeldError as error:
            kept.append(error)
        else:
            gone.append(one)
    return gone, kept


def _remove(place: Place) -> None:
    with writing(place), locks.alone(place.build_lock, patience_s=locks.MOMENT_S) as building:
        if not building:
            raise HeldError.of(
                f"environment {place.key!r} is being built", why=locks.holder(place.build_lock), hint="try again later"
            )
        with locks.alone(place.use_lock, patience_s=locks.MOMENT_S) as taken:
            if not taken:
                raise used(place)
            set_aside(place)
        clean(place)
        if place.leftovers():
            shutil.rmtree(place.leftovers()[0])  # says what stands in the way


def _is_there(state: State) -> bool:
    return state.place.folder.exists() or bool(state.place.leftovers())


def _is_stale(state: State) -> bool:
    return state.condition in ("broken", "outdated") or (state.condition == "not built" and _is_there(state))


def _found(state: State) -> Found:
    folders = (state.place.folder, *state.place.leftovers())
    return Found(
        place=state.place,
        condition=state.condition,
        why=state.why,
        size_bytes=state.size_bytes,
        frees_bytes=sum(disk_usage(folder)[1] for folder in folders),
    )
