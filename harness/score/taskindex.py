"""What tasks, groups and tags there are by name, without importing lm-eval: its own 14,683, and those of a folder.

Source: lm-eval 0.4.13, `lm_eval.tasks._index.TaskIndex`: every `*.yaml` below a folder in the order of their paths, the
first of a name wins, a tag is what tasks name it. lm-eval parses each file whole for that (6 s); here the lines of five
keys are read and a file is parsed where they are not plain. The index of lm-eval's own is kept in the user's cache.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from harness.errors import InputError
from harness.records.fingerprint import cache_folder, of_value
from harness.records.run_folder import write_atomic
from harness.score import taskyaml

Kind = Literal["task", "group", "tag"]
Head = Mapping[str, Any]

_FORM = 1  # of the cached file
_KEYS = ("task", "group", "tag", "include", "class")
_LINE = re.compile(rf"""^(["']?)({"|".join(_KEYS)})\1[ \t]*:(?:[ \t]+(.*))?$""", re.MULTILINE)
_PLAIN = re.compile(r"""(?P<quote>["']?)(?P<text>[A-Za-z_][\w.()+/-]*)(?P=quote)[ \t]*(?:\s#.*)?""", re.ASCII)
_OTHER_THAN_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})  # YAML 1.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A name. `path` is the YAML of a task or a group; `tasks` are the names of a tag's."""

    name: str
    kind: Kind
    path: Path | None = None
    tasks: tuple[str, ...] = ()


Index = Mapping[str, Entry]


def lm_eval_version() -> str | None:
    """The installed lm-eval's version; None where there is none."""
    with contextlib.suppress(PackageNotFoundError):
        return version("lm_eval")
    return None


@cache
def lm_eval_folder() -> Path | None:
    """Where lm-eval's own tasks lie; None where it is not installed."""
    found = importlib.util.find_spec("lm_eval")  # finds it, imports nothing
    places = list(found.submodule_search_locations or ()) if found else []
    return Path(places[0]).resolve() / "tasks" if places else None


@cache
def lm_eval_index() -> Index:
    """All names that lm-eval knows; empty where it is not installed. 1 s the first time, then read from the cache."""
    folder = lm_eval_folder()
    if folder is None or not folder.is_dir():
        return {}
    key = of_value([_FORM, lm_eval_version(), str(folder), folder.stat().st_mtime_ns])
    kept = cache_folder() / "lm-eval-tasks" / f"{lm_eval_version()}-{key[:16]}.json"
    known = _read(kept, folder)
    if known is not None:
        return known
    found = scan(folder, light_head)
    # A cache that cannot be written costs a second the next time, never the result.
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(kept, json.dumps({name: _plain(entry, folder) for name, entry in found.items()}))
    return found


def scan(folder: Path, head: Callable[[Path], Head], *, ending: tuple[str, ...] = (".yaml",)) -> dict[str, Entry]:
    """The names that the YAML files below a folder define. Files whose `head` raises InputError define none."""
    tasks: dict[str, set[str]] = {}
    found: dict[str, Entry] = {}
    for path in yaml_files(folder, ending=ending):
        try:
            keys = head(path)
        except InputError:
            continue
        _add(keys, path, found, tasks)
    return {
        name: entry if entry.kind != "tag" else Entry(name=name, kind="tag", tasks=tuple(sorted(tasks[name])))
        for name, entry in found.items()
    }


def yaml_files(folder: Path, *, ending: tuple[str, ...] = (".yaml",)) -> Iterator[Path]:
    """The YAML files below a folder in the order of their paths; hidden folders and Python's caches are left out."""
    paths = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        paths += [f"{place}/{name}" for name in files if name.endswith(ending)]
    yield from (Path(path) for path in sorted(paths))


def whole_head(path: Path) -> Head:
    """The configuration of a file with what it includes.

    Raises:
        InputError: see `taskyaml.read`.
    """
    return taskyaml.read(path)[0]


def light_head(path: Path) -> Head:
    """Of a file with what it includes, the keys that say what it defines.

    Raises:
        InputError: a file that cannot be read, or that is no YAML where that had to be seen.
    """
    return _light(path, ())


def _light(path: Path, inside: tuple[Path, ...]) -> dict[str, Any]:
    if path in inside:
        raise InputError.of(f"task file {path} includes itself")
    keys = dict(_own(path))
    included = keys.pop("include", None) or []
    merged: dict[str, Any] = {}
    for name in included if isinstance(included, list) else [included]:
        merged.update(_light(Path(os.path.normpath(path.parent / str(name))), (*inside, path)))
    return {**merged, **keys}


@cache
def _own(path: Path) -> Head:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError.of(f"task file {path} cannot be read", why=str(error)) from error
    keys: dict[str, Any] = {}
    for found in _LINE.finditer(text):
        name, value = found[2], found[3] or ""
        if name == "class":
            keys[name] = value
            continue
        plain = _PLAIN.fullmatch(value.rstrip())
        goes_on = text[found.end() + 1 : found.end() + 2] in (" ", "\t")
        if plain is None or goes_on or (not plain["quote"] and plain["text"].lower() in _OTHER_THAN_TEXT):
            return {key: inner for key, inner in taskyaml.parse(path).items() if key in _KEYS}
        keys[name] = plain["text"]
    return keys


def name_of(keys: Head) -> str | None:
    """The name of the task or group that a configuration defines; None where it defines none."""
    name = keys.get("group" if _is_group(keys) else "task")
    return name if isinstance(name, str) else None


def _is_group(keys: Head) -> bool:
    return "group" in keys and "class" not in keys


def _add(keys: Head, path: Path, found: dict[str, Entry], tasks: dict[str, set[str]]) -> None:
    name = name_of(keys)
    if name is None or name in found:
        return
    found[name] = Entry(name=name, kind="group" if _is_group(keys) else "task", path=path)
    if _is_group(keys):
        return
    tags = keys.get("tag") or []
    for tag in tags if isinstance(tags, list) else [tags]:
        if isinstance(tag, str):
            found.setdefault(tag, Entry(name=tag, kind="tag"))
            tasks.setdefault(tag, set()).add(name)


def _plain(entry: Entry, folder: Path) -> list[Any]:
    path = entry.path.relative_to(folder).as_posix() if entry.path else None
    return [entry.kind, path, list(entry.tasks)]


def _read(kept: Path, folder: Path) -> dict[str, Entry] | None:
    """The cached index; None where there is none, or none that can be read."""
    try:
        return {
            str(name): Entry(name=name, kind=kind, path=folder / path if path else None, tasks=tuple(tasks))
            for name, (kind, path, tasks) in json.loads(kept.read_bytes()).items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return None
