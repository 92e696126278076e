"""Where in the suite's file a cell got a value from: the level, stage, included cell or base that sets it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from harness.errors import Location
from harness.records.suite import Axis, Setup, Step, Suite

_MERGED = ("train", "measure", "limits")


class Placed(Protocol):
    """A cell, finished or in the making."""

    @property
    def levels(self) -> Mapping[str, str]: ...

    @property
    def origin(self) -> tuple[Step, ...]: ...


def place_of(suite: Suite, cell: Placed, path: str) -> Location:
    """Where the cell's value of a field path stands; where nothing sets it, the cell's own entry, or the base."""
    return suite.where(*_steps(suite, cell, path))


def place_of_level(suite: Suite, cell: Placed, axis: str) -> Location:
    """Where the level of an axis stands that the cell has."""
    for found in suite.matrix:
        if found.name == axis and axis in cell.levels:
            return suite.where(*_level(found, cell.levels[axis]))
    return suite.where(*cell.origin, axis) if cell.origin else suite.where("matrix")


def _steps(suite: Suite, cell: Placed, path: str) -> tuple[Step, ...]:
    match cell.origin:
        case ("include", int(number)) if _named(suite.include[number].sets, path):
            return (*cell.origin, path)
        case ("stages", str(name)) if _says(suite.stages[name], path):
            return (*cell.origin, path)
    for axis in suite.matrix:
        level = next((level for level in axis.levels if level.name == cell.levels.get(axis.name)), None)
        if level is not None and _named(level.sets, path):
            inside = path.removeprefix(axis.field).removeprefix(".") if axis.field else path
            return (*_level(axis, level.name), *([inside] if inside else []))
    return ("base", path) if _says(suite.base, path) or not cell.origin else cell.origin


def _level(axis: Axis, name: str) -> tuple[Step, ...]:
    if axis.named or axis.field is None:
        return "matrix", axis.name, name
    names = [level.name for level in axis.levels]
    return "matrix", axis.name, names.index(name)


def _named(paths: Iterable[str], path: str) -> bool:
    """Whether one of the paths sets this one: itself, all around it, or something in it."""
    return any(one == path or path.startswith(f"{one}.") or one.startswith(f"{path}.") for one in paths)


def _says(setup: Setup, path: str) -> bool:
    root, _, rest = path.partition(".")
    if root not in setup.model_fields_set:
        return False
    if root not in _MERGED or not rest:
        return True
    value = getattr(setup, root)
    return rest.partition(".")[0] in (value if isinstance(value, dict) else value.model_fields_set)
