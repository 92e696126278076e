"""Tasks by name: those that ship, lm-eval's own, its groups and tags, and YAML files and folders of the user's.

lm-eval is not imported, and its 14,683 names are looked at only where a suite names one that is not shipped or local.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import data
from harness.errors import InputError, Location, Problem, nearest
from harness.records.fingerprint import of_file, of_value
from harness.score import taskindex, taskyaml
from harness.score.taskconfig import metrics_of, wrong_with
from harness.score.taskcontent import config_of, content_of, is_lm_evals, yaml_of
from harness.score.taskgroups import Expanded, Find, Group, Mean, Member, expand
from harness.score.taskindex import Entry, lm_eval_index

FOLDER = Path(__file__).parent / "tasks"

_YAML = (".yaml", ".yml")
_LONGEST = 200  # characters of a name


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskInfo:
    """A task that ships. `metric` is its main metric, `chance` what guessing scores on it."""

    name: str
    description: str
    source: str
    metric: str
    chance: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFile:
    """A task as it will be scored. `hash` names its content: see `harness.score.taskcontent.content_of`."""

    name: str
    path: Path
    hash: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskGroup:
    """A group whose figures are means over `members` (task name → content hash). `hash` names them and the means."""

    name: str
    members: Mapping[str, str]
    means: tuple[Mean, ...]
    hash: str
    version: str


_ALL = (
    TaskInfo(
        name="arithmetic_mc",
        description="the larger of two unseen numbers: the right answer among four",
        source="arithmetic",
        metric="acc",
        chance=0.25,
    ),
    TaskInfo(
        name="arithmetic_gen",
        description="the larger of two unseen numbers: the answer written out",
        source="arithmetic",
        metric="exact_match",
        chance=0.0,
    ),
    TaskInfo(
        name="pydoc_mc",
        description="unseen objects of Python's standard library: what the docstring says, among four",
        source="pydoc",
        metric="acc_norm",
        chance=0.25,
    ),
    TaskInfo(
        name="pydoc_gen",
        description="unseen objects of Python's standard library: what the docstring says, written out",
        source="pydoc",
        metric="exact_match",
        chance=0.0,
    ),
)

TASKS: dict[str, TaskInfo] = {info.name: info for info in _ALL}


@dataclass(kw_only=True, slots=True)
class _Found:
    """What the names of a suite stand for, by task name and by group name; and what is wrong with them."""

    members: dict[str, Member] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    problems: list[tuple[str, Problem]] = field(default_factory=list)

    def add(self, given: str, found: Expanded) -> None:
        """Takes in what one name stands for."""
        for member in found.members:
            known = self.members.setdefault(member.name, member)
            if known != member:
                self.problems.append((given, _two(member.name, known, member)))
        for group in found.groups:
            other = self.groups.setdefault(group.name, group)
            if other != group:
                why = f"scores are kept by name: {other.path}, {group.path}"
                problem = Problem(what=f"two groups are called {group.name!r}", why=why, hint="rename one of them")
                self.problems.append((given, problem))
        for name in self.members.keys() & self.groups.keys():
            why = f"scores are kept by name: {self.members[name].path}, {self.groups[name].path}"
            problem = Problem(what=f"a task and a group are called {name!r}", why=why, hint="rename one of them")
            self.problems.append((given, problem))


def check_tasks(names: Sequence[str], root: Path) -> list[Problem]:
    """What is wrong with the tasks a suite names; paths are relative to `root`, the suite file's folder."""
    return [problem for _, problem in wrong_tasks(names, root)]


def wrong_tasks(names: Sequence[str], root: Path) -> list[tuple[str, Problem]]:
    """What is wrong with the tasks a suite names, each with the name it is about; see `check_tasks`."""
    return _look_up(names, root).problems


def task_metrics(name: str, root: Path) -> dict[str, tuple[str, ...] | None]:
    """The tasks and groups that a name stands for, each with the metrics it is marked by, as scores name them.

    None where those cannot be read from YAML: a task that is Python code. Empty where something is wrong with the name.
    """
    found = _look_up([name], root)
    if found.problems:
        return {}
    metrics = {member.name: metrics_of(config_of(member)[0]) for member in found.members.values()}
    return {**metrics, **{group.name: _group_metrics(group, metrics) for group in found.groups.values()}}


def resolve(names: Sequence[str], root: Path) -> list[TaskFile]:
    """The tasks that names and paths stand for, in the order given, each once.

    Raises:
        InputError: every problem `check_tasks` finds, or a file of a task that cannot be read.
        FolderError: the user's cache cannot be written, where a group changes a task.
    """
    found = _right(names, root)
    return [
        TaskFile(name=member.name, path=yaml_of(member, digest), hash=digest)
        for member, digest in ((member, _content(member)) for member in found.members.values())
    ]


def resolve_groups(names: Sequence[str], root: Path) -> list[TaskGroup]:
    """The groups among the names (and inside those) that have figures of their own, inner ones first.

    Raises:
        InputError: see `resolve`.
    """
    found = _right(names, root)
    groups = []
    for group in found.groups.values():
        members = {name: _content(found.members[name]) for name in group.members}
        means = [[mean.metric, mean.filters, mean.by_size] for mean in group.means]
        digest = of_value([means, sorted(members.items())])
        groups.append(
            TaskGroup(name=group.name, members=members, means=group.means, hash=digest, version=group.version)
        )
    return groups


def _right(names: Sequence[str], root: Path) -> _Found:
    found = _look_up(names, root)
    if found.problems:
        raise InputError(problems=tuple(problem for _, problem in found.problems))
    return found


def _look_up(names: Sequence[str], root: Path) -> _Found:
    found = _Found()
    for given in dict.fromkeys(names):
        try:
            expanded = _expanded(given, root)
            wrong = [problem for member in expanded.members if (problem := _wrong(member, given)) is not None]
        except InputError as error:
            wrong = list(error.problems)
        else:
            if not wrong:
                found.add(given, expanded)
        found.problems += [(given, problem) for problem in wrong]
    return found


def _expanded(given: str, root: Path) -> Expanded:
    """What one name or path stands for.

    Raises:
        InputError: there is no such task, or something is wrong with what there is.
    """
    path = (root / Path(given).expanduser()).resolve()
    if given.endswith(_YAML):
        return _file(path, given)
    if "/" in given or given.startswith((".", "~")):
        return _folder(path, given)
    entry = _named(given)
    if entry is not None:
        return expand(entry, _named)
    if path.is_dir():
        return _folder(path, given)
    raise InputError(problems=(_unknown(given),))


def _named(name: str) -> Entry | None:
    """A task that ships, or any name that lm-eval knows."""
    if name in TASKS:
        return Entry(name=name, kind="task", path=FOLDER / f"{name}.yaml")
    return lm_eval_index().get(name)


def _unknown(name: str) -> Problem:
    known = lm_eval_index()
    close = nearest(name, [*TASKS, *known])
    near = f"did you mean {' or '.join(map(repr, close))}?" if close else f"shipped: {', '.join(TASKS)}"
    return Problem(
        what=f"unknown task {name!r}",
        why=f"it is neither shipped nor one of the {len(known):,} tasks, groups and tags of lm-eval "
        f"{taskindex.lm_eval_version()}, and there is no folder of that name beside the suite",
        hint=f"{near}; your own: the path of a .yaml file or of a folder, relative to the suite file",
    )


def _file(path: Path, given: str) -> Expanded:
    if not path.is_file():
        is_folder = path.is_dir()
        what = f"task file {given!r} is a folder" if is_folder else f"task file {given!r} does not exist"
        hint = f"write {given}/ for all tasks in it" if is_folder else "paths are relative to the suite file"
        raise InputError.of(what, why=f"looked at {path}", hint=hint)
    config = taskyaml.read(path)[0]
    task = config.get("task")
    if "group" in config and "class" not in config:
        beside = taskindex.scan(path.parent, taskindex.whole_head, ending=_YAML)
        return expand(Entry(name=str(config["group"]), kind="group", path=path), _beside(beside))
    if not isinstance(task, str):
        is_list = isinstance(task, list)
        what = f"{given!r} is a list of tasks without a name" if is_list else f"{given!r} names no task"
        hint = (
            "give it a `group:` key with the group's name" if is_list else "give it a `task:` key with the task's name"
        )
        raise InputError.of(what, where=Location(file=path), hint=hint)
    return Expanded(members=[Member(name=task, path=path)])


def _beside(entries: Mapping[str, Entry]) -> Find:
    """Looks in a folder first, then everywhere else."""
    return lambda name: entries.get(name) or _named(name)


def _folder(path: Path, given: str) -> Expanded:
    """All tasks and groups that the YAML files below a folder define."""
    if not path.is_dir():
        hint = "give a folder of task files, or a .yaml file, relative to the suite file"
        raise InputError.of(f"there is no task folder {given!r}", why=f"looked at {path}", hint=hint)
    heads, problems = _heads(path)
    if problems:
        raise InputError(problems=tuple(problems))
    entries = taskindex.scan(path, lambda file: heads.get(file, {}), ending=_YAML)
    if not entries:
        hint = "a task is a YAML file with a `task:` key; see lm-eval's task guide"
        raise InputError.of(f"no tasks in the folder {given!r}", why=f"looked at {path} and below", hint=hint)
    found, find = Expanded(), _beside(entries)
    for entry in entries.values():
        if entry.kind == "tag":
            continue  # its tasks are in the folder too
        more = expand(entry, find)
        found.members += [member for member in more.members if member not in found.members]
        found.groups += [group for group in more.groups if group not in found.groups]
    return found


def _heads(folder: Path) -> tuple[dict[Path, Mapping[str, Any]], list[Problem]]:
    """The configurations of a folder's files, and what is wrong: no YAML, or a name that is there twice."""
    heads: dict[Path, Mapping[str, Any]] = {}
    problems: list[Problem] = []
    first: dict[str, Path] = {}
    for file in taskindex.yaml_files(folder, ending=_YAML):
        try:
            heads[file] = taskyaml.read(file)[0]
        except InputError as error:
            problems += error.problems
            continue
        name = taskindex.name_of(heads[file])
        if name is not None and first.setdefault(name, file) != file:
            why = f"scores are kept by name: {first[name]}, {file}"
            problems.append(Problem(what=f"two tasks are called {name!r}", why=why, hint="rename one of them"))
    return heads, problems


def _wrong(member: Member, given: str) -> Problem | None:
    """What is wrong with a task that is neither shipped nor lm-eval's; those are taken as they are."""
    is_shipped = member.path is not None and member.path.parent == FOLDER
    if is_shipped or is_lm_evals(member):
        return None
    file = member.path or member.group
    where = Location(file=file) if file else None
    name = member.name
    if name in TASKS:
        why, hint = "a shipped task has that name", "choose another name"
        return Problem(what=f"task name {name!r} cannot be used", where=where, why=why, hint=hint)
    if not name.strip() or name != name.strip() or not name.isprintable() or len(name) > _LONGEST:
        why, hint = "it becomes a folder's name and part of a metric's", "choose letters, digits, _ and -"
        return Problem(what=f"task name {name[:_LONGEST]!r} cannot be used", where=where, why=why, hint=hint)
    return wrong_with(config_of(member)[0], name, file)


def _two(name: str, one: Member, other: Member) -> Problem:
    if one.path == other.path:
        why = f"a group changes what {one.path or 'it'} says, and both would be kept as one score"
        return Problem(what=f"the task {name!r} is there in two ways", why=why, hint="name one of them alone")
    why = f"scores are kept by task name: {one.path}, {other.path}"
    return Problem(what=f"two tasks are called {name!r}", why=why, hint="give one of them another `task:` name")


def _group_metrics(group: Group, metrics: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
    known = [metrics[name] for name in group.members]
    if any(one is None for one in known):
        return None
    theirs = dict.fromkeys(name for one in known for name in one or ())
    return tuple(name for mean in group.means for name in theirs if mean.takes(name))


def _content(member: Member) -> str:
    """The task's hash. A shipped task's is over its documents too: pydoc's differ between versions of Python."""
    if member.name in TASKS:
        assert member.path is not None
        rows = list(data.heldout(TASKS[member.name].source))
        return of_value([rows, *([file.name, of_file(file)] for file in (member.path, FOLDER / "utils.py"))])
    try:
        return content_of(member)
    except OSError as error:
        raise InputError.of(f"a file of the task {member.name!r} cannot be read", why=str(error)) from error
