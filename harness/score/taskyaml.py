"""A task's YAML as lm-eval reads it: by PyYAML, the last of two equal keys, `include:` merged and the nearer winning.

Source: lm-eval 0.4.13, `lm_eval.tasks._yaml_loader`. Only `!function` differs: it stays a name, nothing is imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from harness.errors import InputError, Location

_yaml: Any = importlib.import_module("yaml")  # lm-eval brings it; there are no types of it here


@dataclass(frozen=True, slots=True)
class Function:
    """`!function name` (`module.function`) in a YAML file that lies in `folder`."""

    name: str
    folder: Path

    @property
    def file(self) -> Path:
        """Where lm-eval looks for the module first; it imports one by its name where there is no such file."""
        return self.folder / f"{self.name.rpartition('.')[0].replace('.', '/')}.py"


def read(path: Path) -> tuple[dict[str, Any], list[Path]]:
    """A task's configuration with what it includes, and the files read, the task's own first.

    Raises:
        InputError: a file that cannot be read, that is no YAML, or that comes in twice, a circle to lm-eval.
    """
    files: list[Path] = []
    return _merged(path.expanduser().resolve(), files, ()), files


def parse(path: Path) -> dict[str, Any]:
    """One file alone, without what it includes.

    Raises:
        InputError: it cannot be read, or it is no YAML mapping.
    """
    try:
        state = path.stat()
        return dict(_parsed(path, state.st_mtime_ns, state.st_size))
    except OSError as error:
        raise InputError.of(f"task file {path} cannot be read", why=str(error)) from error


def dump(value: Mapping[str, Any]) -> str:
    """A configuration as YAML; of a `Function` its name alone."""
    return str(_yaml.dump(dict(value), Dumper=_dumper(), sort_keys=False, allow_unicode=True))


def _merged(path: Path, files: list[Path], inside: tuple[Path, ...]) -> dict[str, Any]:
    if path in inside:
        raise InputError.of(f"task file {path} includes itself", hint="break the circle of `include:`")
    if path in files:
        why = "lm-eval takes a second time for a circle"
        raise InputError.of(f"task file {path} is included twice", why=why, hint="include it in one place")
    config = parse(path)
    files.append(path)
    included = config.pop("include", None) or []
    merged: dict[str, Any] = {}
    for name in included if isinstance(included, list) else [included]:
        inner = _merged((path.parent / str(name)).resolve(), files, (*inside, path))
        inner.pop("task_list", None)
        merged.update(inner)
    return {**merged, **config}


@lru_cache(maxsize=4096)
def _parsed(path: Path, changed_ns: int, size: int) -> Mapping[str, Any]:
    """The file's mapping; `changed_ns` and `size` make another content another entry."""
    try:
        value = _yaml.load(path.read_bytes(), Loader=_loader(path.parent))
    except _yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = Location(file=path, line=mark.line + 1, column=mark.column + 1) if mark else Location(file=path)
        raise InputError.of("a task file is not YAML", where=where, why=str(error.problem)) from error
    except (ValueError, _yaml.YAMLError) as error:
        raise InputError.of(f"task file {path} cannot be read", why=str(error).splitlines()[0]) from error
    if not isinstance(value, Mapping):
        raise InputError.of("a task file must be a mapping", where=Location(file=path), hint="see lm-eval's task guide")
    return {str(key): inner for key, inner in value.items()}


@cache
def _loader(folder: Path) -> Any:
    base = _yaml.CSafeLoader if _yaml.__with_libyaml__ else _yaml.SafeLoader
    loader: Any = type("Loader", (base,), {})
    loader.add_constructor("!function", lambda self, node: Function(str(self.construct_scalar(node)), folder))
    return loader


@cache
def _dumper() -> Any:
    dumper: Any = type("Dumper", (_yaml.SafeDumper,), {})
    dumper.add_representer(Function, lambda self, value: self.represent_scalar("!function", value.name))
    return dumper
