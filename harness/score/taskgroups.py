"""What a name stands for: a group or a tag is taken apart into its tasks, as lm-eval builds them.

Source: lm-eval 0.4.13, `lm_eval.tasks._factory.TaskFactory`: what a group says beyond its own keys holds for its tasks,
a member's own keys hold over that; a member that nobody knows by name is a task written into the group. One thing is
mended: of a group changed inside another lm-eval gives all tasks the one name of that group; here they keep theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import InputError, Location, Problem
from harness.score import taskyaml
from harness.score.taskindex import Entry

Find = Callable[[str], Entry | None]

_OF_THE_GROUP = frozenset({"group", "group_alias", "task", "aggregate_metric_list", "metadata"})
_NAMES_ONLY = frozenset({"task", "task_alias", "tag", "group", "group_alias", "task_list"})
_HINT = "a member is the name of a task, group or tag, or {task: name, …} with what it changes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A task. `path` is its YAML, None for one that is written into a group; `changes` hold over what the YAML says.

    `group` is the file of the group it was written into.
    """

    name: str
    path: Path | None
    changes: Mapping[str, Any] = field(default_factory=dict)
    group: Path | None = field(default=None, compare=False)

    @property
    def is_plain(self) -> bool:
        """Whether its YAML says all of it."""
        return self.path is not None and not self.changes


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean:
    """One figure of a group: the mean of its tasks' `metric`, by the number of their documents where `by_size`.

    `filters` are those of the metric that count; None takes all there are.
    """

    metric: str
    filters: tuple[str, ...] | None
    by_size: bool

    def takes(self, name: str) -> bool:
        """Whether it is over this metric of the tasks, as scores name it: `acc`, or `acc@filter`."""
        if name != self.metric and not name.startswith(f"{self.metric}@"):
            return False
        return self.filters is None or (name[len(self.metric) + 1 :] or "none") in self.filters


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A group that has figures of its own, over the tasks called `members`. `path` is the YAML that defines it."""

    name: str
    path: Path
    members: tuple[str, ...]
    means: tuple[Mean, ...]
    version: str


@dataclass(kw_only=True, slots=True)
class Expanded:
    """What names stand for. `groups` come after those inside them."""

    members: list[Member] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)


def expand(entry: Entry, find: Find) -> Expanded:
    """The tasks an entry stands for, and the groups among it that have figures of their own.

    Raises:
        InputError: a group that names what there is not, that is inside itself, or that is no list of members.
    """
    found = Expanded()
    _entry(entry, {}, (), find, found)
    return found


def _entry(entry: Entry, changes: Mapping[str, Any], inside: tuple[str, ...], find: Find, out: Expanded) -> list[str]:
    """Adds what an entry stands for; returns the tasks' names."""
    if entry.kind == "tag":
        known = [known for name in entry.tasks if (known := find(name)) is not None]
        return [name for one in known for name in _entry(one, changes, inside, find, out)]
    assert entry.path is not None
    if entry.kind == "group":
        if entry.name in inside:
            circle = " → ".join((*inside[inside.index(entry.name) :], entry.name))
            why, hint = f"{circle}", "take it out of one of them"
            what = f"the group {entry.name!r} is inside itself"
            raise InputError.of(what, where=Location(file=entry.path), why=why, hint=hint)
        config = taskyaml.read(entry.path)[0]
        return _group(entry.name, config, entry.path, changes, inside, find, out)
    out.members.append(Member(name=entry.name, path=entry.path, changes=dict(changes)))
    return [entry.name]


def _group(
    name: str,
    config: Mapping[str, Any],
    path: Path,
    changes: Mapping[str, Any],
    inside: tuple[str, ...],
    find: Find,
    out: Expanded,
) -> list[str]:
    members = config.get("task")
    if not isinstance(members, list) or not members:
        what = f"the group {name!r} names no tasks"
        raise InputError.of(what, where=Location(file=path), hint="give it a list: `task: [one, two]`")
    own = {key: value for key, value in config.items() if key not in _OF_THE_GROUP}
    merged = {**_placed(own, path), **changes}
    names: list[str] = []
    for member in members:
        names += _member(member, name, path, merged, (*inside, name), find, out)
    names = list(dict.fromkeys(names))
    means = _means(config.get("aggregate_metric_list"), name, path)
    if means:
        version = str(_metadata(config).get("version"))
        out.groups.append(Group(name=name, path=path, members=tuple(names), means=means, version=version))
    return names


def _member(
    member: Any,
    group: str,
    path: Path,
    changes: Mapping[str, Any],
    inside: tuple[str, ...],
    find: Find,
    out: Expanded,
) -> list[str]:
    given = {"task": member} if isinstance(member, str) else member
    key = next((key for key in ("group", "task") if isinstance(given, Mapping) and key in given), None)
    name = given[key] if key else None
    if not isinstance(name, str):
        what = f"the group {group!r} has a member that names nothing: {str(member)[:80]!r}"
        raise InputError.of(what, where=Location(file=path), hint=_HINT)
    known = find(name)
    if key == "group" and known is None:
        return _group(f"{group}::{name}", given, path, changes, inside, find, out)
    own = {inner: value for inner, value in given.items() if inner not in _NAMES_ONLY}
    merged = {**changes, **_placed(own, path)}
    if known is not None:
        return _entry(known, merged, inside, find, out)
    if not own:
        raise InputError(problems=(missing(group, name, path),))
    out.members.append(Member(name=f"{group}::{name}", path=None, changes=merged, group=path))
    return [f"{group}::{name}"]


def missing(group: str, name: str, path: Path) -> Problem:
    """What is wrong with a group that names what there is not."""
    return Problem(
        what=f"the group {group!r} names {name!r}, which is no task, group or tag",
        where=Location(file=path),
        why="looked in the folder of the group's file, at the shipped tasks, and at lm-eval's",
    )


def _placed(changes: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What a group sets in tasks: names aside, and files it includes by their whole path."""
    placed = {key: value for key, value in changes.items() if key not in _NAMES_ONLY}
    if "include" in placed:
        given = placed["include"]
        placed["include"] = [str((path.parent / str(one)).resolve()) for one in _listed(given)]
    return placed


def _means(listed: Any, group: str, path: Path) -> tuple[Mean, ...]:
    means = []
    for entry in _listed(listed):
        if not isinstance(entry, Mapping) or "metric" not in entry:
            what = f"the group {group!r} has an aggregate_metric_list whose entry names no metric"
            raise InputError.of(what, where=Location(file=path), hint="write - metric: acc")
        if not isinstance(entry["metric"], str):
            continue  # lm-eval never finds a metric that is code among the tasks' either
        filters = entry.get("filter_list")
        means.append(
            Mean(
                metric=entry["metric"],
                filters=None if filters is None else tuple(str(one) for one in _listed(filters)),
                by_size=bool(entry.get("weight_by_size", True)),
            )
        )
    return tuple(means)


def _metadata(config: Mapping[str, Any]) -> Mapping[str, Any]:
    given = config.get("metadata")
    return given if isinstance(given, Mapping) else {}


def _listed(value: Any) -> Sequence[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
