"""The matrix: axes of values for one field, and axes of named override sets."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.errors import did_you_mean, nearest
from harness.methods import METHODS
from harness.records.suite import Axis, Level
from harness.suite.context import Context, kind_of
from harness.suite.document import Node, Place
from harness.suite.fields import FIELDS, MERGED, Setting, check, is_path, settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
_KINDS = ("shape", "hub", "path", "source", "stage")  # their value names the whole mapping
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class _Choice:
    """A level before it is checked: its name, its value, and where its name (or value) stands."""

    name: str
    node: Node
    place: Place


def read_matrix(ctx: Context, node: Node) -> tuple[Axis, ...]:
    """The axes of `matrix`; what is wrong with them is noted and left out."""
    if not ctx.mapping(node, "matrix", example="matrix: {train.packing: [false, true]}"):
        return ()
    axes = []
    for name, levels in node.entries.items():
        axis = _axis(ctx, name, levels, node.keys[name])
        if axis is not None:
            axes.append(axis)
    return tuple(axes)


def _axis(ctx: Context, name: str, levels: Node, place: Place) -> Axis | None:
    if not _named_well(ctx, name, place):
        return None
    if levels.value is None or (not levels.is_scalar and not levels.value):
        ctx.add(f"the axis {name!r} has no levels", place, hint="give it at least one, or remove it")
        return None
    if levels.is_scalar:
        ctx.add(
            f"the levels of {name!r} must be a list or a mapping, not {kind_of(levels)}",
            levels,
            hint=f"write [{levels.raw}]",
        )
        return None
    return _field_axis(ctx, name, levels, place) if is_path(name) else _set_axis(ctx, name, levels, place)


def _named_well(ctx: Context, name: str, place: Place) -> bool:
    if name in MERGED:
        hint = (
            f"name one field ({name}.…: [a, b]), or levels of your own that set several (recipe: {{a: {{{name}: …}}}})"
        )
        ctx.add(f"{name!r} is not one field that an axis could set", place, hint=hint)
        return False
    if name == "seed":
        ctx.add("seeds are not an axis", place, hint="set `replicates: {seeds: [0, 1, 2]}`")
        return False
    return is_path(name) or slug_named(ctx, name, "an axis", place)


def slug_named(ctx: Context, name: str, kind: str, place: Node | Place) -> bool:
    """Whether the text can be a name: names become part of trial names, folders and globs."""
    if _NAME.fullmatch(name):
        return True
    hint = "use letters, digits, '.', '-', '_' and '+', beginning with one of the first two"
    ctx.add(f"{name!r} cannot name {kind}", place, why="names become part of the names of trials", hint=hint)
    return False


def _field_axis(ctx: Context, path: str, levels: Node, place: Place) -> Axis | None:
    choices = _mapped(ctx, path, levels) if levels.is_mapping else _listed(ctx, path, levels)
    found = []
    for choice in choices:
        found.append(Level(name=choice.name, sets={path: choice.node.plain()}))
        if not check(ctx, Setting(path, choice.node, place), ctx.methods) and _points_at(ctx, place):
            return None  # the path itself is wrong; once is enough
    return Axis(name=path, field=path, named=levels.is_mapping, levels=tuple(found)) if found else None


def _points_at(ctx: Context, place: Place) -> bool:
    """Whether the last problem stands at this place."""
    return ctx.problems.found[-1].where == ctx.problems.location(place)


def _mapped(ctx: Context, axis: str, levels: Node) -> list[_Choice]:
    return [
        _Choice(name, node, levels.keys[name])
        for name, node in levels.entries.items()
        if slug_named(ctx, name, f"a level of {axis!r}", levels.keys[name])
    ]


def _listed(ctx: Context, axis: str, levels: Node) -> list[_Choice]:
    """The levels of a list, each value once, named by their values."""
    seen: dict[str, Node] = {}
    names: set[str] = set()
    found = []
    for node in levels.items:
        key = json.dumps(node.plain(), sort_keys=True)
        if key in seen:
            ctx.add(
                f"the axis {axis!r} has the level {name_of(node)} twice",
                node,
                why=f"it stands in line {seen[key].place[0]} already",
            )
            continue
        seen[key] = node
        name = _free(name_of(node), names)
        names.add(name)
        found.append(_Choice(name, node, node.place))
    return found


def _free(name: str, taken: set[str]) -> str:
    """The name, or the first of name-2, name-3, … that is free."""
    if name not in taken:
        return name
    number = 2
    while f"{name}-{number}" in taken:
        number += 1
    return f"{name}-{number}"


def name_of(node: Node) -> str:
    """A level's name from its value: `none`, `true`, `8`, `r8` for {r: 8}, `tiny` for {shape: tiny}."""
    return _UNSAFE.sub("-", _said(node)).strip("-.")[:_LONGEST].rstrip("-.") or "x"


def _said(node: Node) -> str:
    if node.is_list:
        return "+".join(_said(item) for item in node.items) or "empty"
    if node.is_mapping:
        return "-".join(_pair(key, inner) for key, inner in node.entries.items()) or "default"
    if node.value is None:
        return "none"
    return node.raw.lower() if isinstance(node.value, bool) else node.raw


def _pair(key: str, node: Node) -> str:
    if key in _KINDS and isinstance(node.value, str):
        return PurePosixPath(node.value).name
    if node.value is True:
        return key
    if isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return f"{key}{node.raw}"
    return f"{key}-{_said(node)}"


def _set_axis(ctx: Context, name: str, levels: Node, place: Place) -> Axis | None:
    if not levels.is_mapping:
        close = nearest(name, FIELDS)
        hint = did_you_mean(name, FIELDS) if close else f"name its levels: {name}: {{first: {{…}}, second: {{…}}}}"
        ctx.add(f"{name!r} is no field path, so its levels must be named", place, hint=hint)
        return None
    if _means_a_field(name, levels):
        what = f"{name!r} is no field path, so each of its levels must be a mapping of field paths"
        ctx.add(what, place, hint=did_you_mean(name, FIELDS))
        return None
    found = []
    for choice in _mapped(ctx, name, levels):
        sets = read_sets(ctx, choice.node, f"level {choice.name!r}")
        found.append(Level(name=choice.name, sets={setting.path: setting.node.plain() for setting in sets}))
    return Axis(name=name, named=True, levels=tuple(found)) if found else None


def _means_a_field(name: str, levels: Node) -> bool:
    """Whether an axis of values was meant: none of them is a set of overrides, or not all and the name is like one."""
    wrong = [not level.is_mapping for level in levels.entries.values()]
    return any(wrong) and (bool(nearest(name, FIELDS)) or (len(wrong) > 1 and all(wrong)))


def read_sets(ctx: Context, node: Node, label: str) -> list[Setting]:
    """The settings of a named override set; what is wrong with them is noted and left out."""
    if not ctx.mapping(node, label, example="field paths and values, or {} for the base as it is"):
        return []
    found = settings(ctx, node, label)
    methods = methods_of(found) or ctx.methods
    return [setting for setting in found if check(ctx, setting, methods)]


def methods_of(found: list[Setting]) -> tuple[str, ...]:
    """The method that these settings choose, if they choose a known one."""
    return tuple(
        s.node.value for s in found if s.path == "method" and isinstance(s.node.value, str) and s.node.value in METHODS
    )
