"""Declarations from a file: a suite with a section `environments`, or one environment by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.environments.declaration import Declaration, declare
from harness.errors import InputError, Location, Problem

SECTION = "environments"


def read_file(path: Path, *, name: str | None = None) -> dict[str, Declaration]:
    """The environments a YAML file declares, by name: those of its section `environments`, or, where the file itself
    has `requirements`, that one, which goes by `name` or the file's.

    Raises:
        InputError: no file, not YAML, none declared, or something wrong with one.
    """
    content = _read(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    if "requirements" in content:
        called = name or path.stem
        return {called: declare(called, _plain(content), where=_places(path, lines, content, None))}
    section = content.get(SECTION)
    if not isinstance(section, Mapping) or not section:
        raise InputError.of(
            f"{path} declares no environment",
            hint=f"write `{SECTION}:` and under it name: {{requirements: [trl==1.15.0], harness: true}}",
        )
    found: dict[str, Declaration] = {}
    problems: list[Problem] = []
    for key, fields in section.items():
        where = _places(path, lines, fields, _place(path, lines, section, key))
        if not isinstance(fields, Mapping):
            what = f"environment {key!r} must be a mapping, with requirements"
            problems.append(Problem(what=what, where=where[""]))
            continue
        try:
            found[str(key)] = declare(str(key), _plain(fields), where=where)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems=tuple(problems))
    return found


def _read(path: Path) -> Mapping[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    where = Location(file=path)
    try:
        content = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError.of(f"{path} cannot be read", why=error.strerror, hint="check the path") from error
    except UnicodeDecodeError as error:
        raise InputError.of("this is not a text file in UTF-8", where=where) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        if mark is not None:
            where = Location(file=path, line=mark.line + 1, column=mark.column + 1)
        raise InputError.of(f"this is not YAML: {error.problem}", where=where) from error
    except YAMLError as error:
        raise InputError.of(f"this is not YAML: {error}", where=where) from error
    if not isinstance(content, Mapping):
        raise InputError.of("the file must be a mapping", where=where)
    return content


def _places(path: Path, lines: list[str], fields: Any, whole: Location | None) -> dict[str, Location]:
    """Where every key of a mapping stands, and under "" the mapping itself."""
    keys = fields if isinstance(fields, Mapping) else {}
    return {"": whole or Location(file=path), **{str(key): _place(path, lines, fields, key) for key in keys}}


def _place(path: Path, lines: list[str], mapping: Any, key: Any) -> Location:
    line, column = mapping.lc.key(key)
    return Location(file=path, line=line + 1, column=column + 1, text=lines[line] if line < len(lines) else None)


def _plain(value: Any) -> Any:
    """What ruamel read, as plain Python values."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, str):
        return str(value)
    return value
