"""What decides a task's questions and marks, hashed so that a score names it; and tasks that groups change, as YAML."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import FolderError
from harness.records.fingerprint import cache_folder, of_file, of_value
from harness.score import taskyaml
from harness.score.taskgroups import Member
from harness.score.taskindex import lm_eval_folder, lm_eval_version
from harness.score.taskyaml import Function

_DATA = r"jsonl|json|csv|tsv|parquet|arrow|txt"
_NAMED = re.compile(rf"[^\s'\"()\[\]{{}},:]+\.(?:{_DATA})\b")


def config_of(member: Member) -> tuple[dict[str, Any], list[Path]]:
    """A task's configuration with what a group changes in it, and the YAML files it is made of.

    Raises:
        InputError: see `taskyaml.read`.
    """
    changes = dict(member.changes)
    given = [*([member.path] if member.path else []), *map(Path, changes.pop("include", ()))]
    merged: dict[str, Any] = {}
    files: list[Path] = []
    for path in given:
        config, more = taskyaml.read(path)
        merged.update(config)
        files += more
    return {**merged, **changes}, files


def content_of(member: Member) -> str:
    """A hash of all that decides what a task asks and how it marks.

    Of lm-eval's own: its version, the YAML files and the Python beside them. Of another: the YAML files, the Python
    beside them and where a `!function` leads, and the data on this machine that any of these name. What a group changes
    is in it; where the files lie is not.

    Raises:
        OSError: one of the files cannot be read.
        InputError: one of them is no YAML any more.
    """
    config, files = config_of(member)
    code = _code(files, config)
    parts: list[Any] = [[file.name, of_file(file)] for file in (*files, *code)]
    if is_lm_evals(member):
        parts.append(["lm_eval", lm_eval_version()])
    else:
        parts += [[name, of_file(file)] for name, file in _data(files, code, member.changes)]
        parts += [[name, of_file(file)] for name, file in _dataset(config)]
    changes = {key: value for key, value in member.changes.items() if key != "include"}  # it is among the files
    return of_value([parts, plain(changes)] if member.changes else parts)


def is_lm_evals(member: Member) -> bool:
    """Whether the task comes with lm-eval."""
    folder = lm_eval_folder()
    return folder is not None and member.path is not None and member.path.is_relative_to(folder)


def plain(value: Any) -> Any:
    """A YAML value as JSON has it: a function by its name, what is neither as text."""
    match value:
        case Function():
            return ["!function", value.name]
        case Mapping():
            return {str(key): plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case str() | bool() | int() | float() | None:
            return value
        case _:
            return str(value)


def yaml_of(member: Member, digest: str) -> Path:
    """The YAML file to give to lm-eval: its own; of a task that a group changes, a file in the cache that includes it.

    Raises:
        FolderError: it cannot be written.
    """
    if member.is_plain:
        assert member.path is not None
        return member.path
    place = cache_folder() / "tasks" / of_value([digest, str(member.path)])[:32]
    file = place / "task.yaml"
    if not file.is_file():
        try:
            _write(member, place)
        except OSError as error:
            raise FolderError.of(f"{place} cannot be written", why=str(error)) from error
    return file


def _write(member: Member, place: Path) -> None:
    """All of the folder at once: another process may look for it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as made:
        changes = _linked(dict(member.changes), Path(made))
        included = [str(member.path)] if member.path else []
        config = {"include": [*included, *changes.pop("include", [])], "task": member.name, **changes}
        (Path(made) / "task.yaml").write_text(taskyaml.dump(config), encoding="utf-8")
        with contextlib.suppress(FileExistsError):
            place.mkdir()
        for item in sorted(Path(made).iterdir(), key=lambda item: item.name == "task.yaml"):
            item.replace(place / item.name)


def _linked(value: Any, place: Path) -> Any:
    """Functions of other folders by a link in `place`: lm-eval looks for modules below the YAML's own folder alone."""
    if isinstance(value, Mapping):
        return {key: _linked(inner, place) for key, inner in value.items()}
    if isinstance(value, list):
        return [_linked(inner, place) for inner in value]
    if not isinstance(value, Function) or not value.file.is_file():
        return value
    link = place / f"from_{of_value(str(value.folder))[:12]}"
    if not link.is_symlink():
        link.symlink_to(value.folder)
    return Function(f"{link.name}.{value.name}", place)


def _code(files: Sequence[Path], config: Mapping[str, Any]) -> list[Path]:
    """The Python beside the YAML files, and the modules of functions that lie elsewhere."""
    beside = [code for folder in dict.fromkeys(file.parent for file in files) for code in sorted(folder.glob("*.py"))]
    named = sorted(function.file for function in _functions(config) if function.file.is_file())
    return list(dict.fromkeys([*beside, *named]))


def _functions(value: Any) -> Iterator[Function]:
    if isinstance(value, Function):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _functions(inner)


def _data(files: Iterable[Path], code: Iterable[Path], changes: Mapping[str, Any]) -> list[tuple[str, Path]]:
    """Files of data that YAML or Python name: beside them, in a folder there, or where the process runs."""
    sources = [*files, *code]
    texts = [source.read_text(encoding="utf-8", errors="replace") for source in sources]
    names = {name for text in (*texts, str(plain(changes))) for name in _NAMED.findall(text)}
    folders = [*dict.fromkeys(source.parent for source in sources), Path.cwd()]
    found: dict[Path, str] = {}
    for name in sorted(names):
        for folder in folders:
            beside = [folder / name, *(folder.glob(f"*/{name}") if "/" not in name and folder != Path.cwd() else ())]
            found.update((file.resolve(), name) for file in beside if file.is_file())
    return [(name, file) for file, name in found.items()]


def _dataset(config: Mapping[str, Any]) -> list[tuple[str, Path]]:
    """The files of a dataset that is a folder of this machine."""
    given = config.get("dataset_path")
    if not isinstance(given, str) or not Path(given).is_dir():
        return []
    folder = Path(given)
    return [(file.relative_to(folder).as_posix(), file) for file in sorted(folder.rglob("*")) if file.is_file()]
