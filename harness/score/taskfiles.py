"""Tasks by name: those that ship with the harness, and lm-eval YAML files of the user's own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import data
from harness.errors import InputError, Location, Problem, did_you_mean
from harness.records.fingerprint import of_file, of_value
from harness.score.taskconfig import metrics_of, wrong_with

FOLDER = Path(__file__).parent / "tasks"

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
_DATA = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt")


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
    """A task as it will be scored. `hash` names its content: the YAML, the Python and data beside it, the documents."""

    name: str
    path: Path
    hash: str


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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """A task that exists; its content has not been hashed yet. `files` are the YAML files it is made of."""

    name: str
    path: Path
    files: tuple[Path, ...]


def check_tasks(names: Sequence[str], root: Path) -> list[Problem]:
    """What is wrong with the tasks a suite names; paths are relative to `root`, the suite file's folder."""
    return [problem for _, problem in wrong_tasks(names, root)]


def wrong_tasks(names: Sequence[str], root: Path) -> list[tuple[str, Problem]]:
    """What is wrong with the tasks a suite names, each with the name it is about; see `check_tasks`."""
    return _look_up(names, root)[1]


def task_metrics(name: str, root: Path) -> tuple[str, tuple[str, ...]] | None:
    """A task's own name and the metrics it is marked by, as scores name them.

    None where that cannot be read from its YAML: no such task, something wrong with it, or one that is Python code.
    """
    found = _find(name, root)
    if isinstance(found, Problem):
        return None
    metrics = metrics_of(_read(found.path, ())[0])
    return None if metrics is None else (found.name, metrics)


def resolve(names: Sequence[str], root: Path) -> list[TaskFile]:
    """The tasks by name or path, in the order given, each once.

    Raises:
        InputError: every problem `check_tasks` finds, or a file of a task that cannot be read.
    """
    found, problems = _look_up(names, root)
    if problems:
        raise InputError(problems=tuple(problem for _, problem in problems))
    try:
        return [TaskFile(name=task.name, path=task.path, hash=_content(task)) for task in found]
    except OSError as error:
        raise InputError.of("a file of a task cannot be read", why=str(error)) from error


def _look_up(names: Sequence[str], root: Path) -> tuple[list[_Found], list[tuple[str, Problem]]]:
    looked = {name: _find(name, root) for name in dict.fromkeys(names)}
    found = {given: item for given, item in looked.items() if isinstance(item, _Found)}
    problems = [(given, item) for given, item in looked.items() if isinstance(item, Problem)]
    for name, count in Counter(task.name for task in found.values()).items():
        if count == 1:
            continue
        same = {given: task for given, task in found.items() if task.name == name}
        problem = Problem(
            what=f"two tasks are called {name!r}",
            why="scores are kept by task name: " + ", ".join(str(task.path) for task in same.values()),
            hint="give one of them another `task:` name",
        )
        problems.append((list(same)[1], problem))
    return list(found.values()), problems


def _find(name: str, root: Path) -> _Found | Problem:
    if name in TASKS:
        path = FOLDER / f"{name}.yaml"
        return _Found(name=name, path=path, files=(path,))
    if not name.endswith((".yaml", ".yml")):
        return Problem(
            what=f"unknown task {name!r}",
            why="it does not ship with the harness; your own tasks and lm-eval's are named by their YAML file",
            hint=f"{did_you_mean(name, TASKS)}; or give the path of a task's .yaml file, relative to the suite file",
        )
    return _local((root / Path(name).expanduser()).resolve(), name)


def _local(path: Path, given: str) -> _Found | Problem:
    if not path.is_file():
        what = f"task file {given!r} is a folder" if path.is_dir() else f"task file {given!r} does not exist"
        hint = "give the task's .yaml file, relative to the suite file"
        return Problem(what=what, why=f"looked at {path}", hint=hint)
    try:
        config, files = _read(path, ())
    except InputError as error:
        return error.problems[0]
    task = config.get("task")
    if "group" in config or not isinstance(task, str):
        is_group = "group" in config or isinstance(task, list)
        what = f"{given!r} is a group of tasks" if is_group else f"{given!r} names no task"
        hint = "name the task files one by one" if is_group else "give it a `task:` key with the task's name"
        return Problem(what=what, where=Location(file=path), hint=hint)
    if not _NAME.match(task) or task in TASKS:
        why = "a shipped task has that name" if task in TASKS else "it becomes a folder's name and part of a metric's"
        hint = "choose another name of letters, digits, _ and -"
        return Problem(what=f"task name {task!r} cannot be used", where=Location(file=path), why=why, hint=hint)
    problem = wrong_with(config, given, path)
    return problem or _Found(name=task, path=path, files=tuple(files))


def _read(path: Path, seen: tuple[Path, ...]) -> tuple[dict[str, Any], list[Path]]:
    """A task's configuration with what it includes, the nearer winning, as lm-eval merges it; and the files read."""
    if path in seen:
        raise InputError.of(f"task file {path} includes itself", hint="break the circle of `include:`")
    config = _parse(path)
    merged: dict[str, Any] = {}
    files = [path]
    included = config.pop("include", None) or []
    for name in included if isinstance(included, list) else [included]:
        inner, more = _read((path.parent / str(name)).resolve(), (*seen, path))
        merged.update(inner)
        files += more
    return {**merged, **config}, files


def _parse(path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    reader = YAML(typ="rt")  # keeps unknown tags such as !function instead of refusing them
    reader.allow_duplicate_keys = True  # as lm-eval's own reader does
    try:
        value = reader.load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = Location(file=path, line=mark.line + 1, column=mark.column + 1) if mark else Location(file=path)
        raise InputError.of("a task file is not YAML", where=where, why=str(error.problem)) from error
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise InputError.of(f"task file {path} cannot be read", why=str(error)) from error
    if not isinstance(value, Mapping):
        raise InputError.of("a task file must be a mapping", where=Location(file=path), hint="see lm-eval's task guide")
    return dict(value)


def _content(task: _Found) -> str:
    """A hash of what decides a task's questions and marks.

    For a shipped task its YAML, the code beside it and its documents; for another the YAML files, the Python beside
    the task's, and the data beside it that either mentions by name.
    """
    if task.name in TASKS:
        rows = of_value(list(data.heldout(TASKS[task.name].source)))  # pydoc's differ between Python versions
        return of_value([rows, *([file.name, of_file(file)] for file in (task.path, FOLDER / "utils.py"))])
    code = sorted(task.path.parent.glob("*.py"))
    text = "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in [*task.files, *code])
    beside = sorted(file for file in task.path.parent.iterdir() if file.suffix in _DATA and file.name in text)
    return of_value([[file.name, of_file(file)] for file in [*task.files, *code, *beside]])
