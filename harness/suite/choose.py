"""What chooses among cells or adds to them: `exclude`, `baseline`, `include`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import did_you_mean, nearest
from harness.methods import METHODS
from harness.records.suite import Axis, Include, Selector
from harness.suite.axes import methods_of, slug_named
from harness.suite.context import Context, kind_of
from harness.suite.document import Node
from harness.suite.fields import FIELDS, MERGED, Setting, check, is_path, settings
from harness.suite.guess import near


@dataclass(frozen=True, slots=True)
class Axes:
    """The suite's axes by name, with their levels' names and values at hand.

    `broken` are those that could not be read, `missing` the levels of the others that could not, `unknown` says that no
    axis could be: what chooses them is not complained about again.
    """

    by_name: Mapping[str, Axis]
    values: Mapping[str, Mapping[str, Any]]
    keys: Mapping[str, Mapping[str, str]]
    broken: frozenset[str] = frozenset()
    missing: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unknown: bool = False

    @classmethod
    def of(cls, axes: Sequence[Axis], matrix: Node | None, *, unknown: bool = False) -> Axes:
        """`values`: level name → value, for field axes; `keys`: value as JSON → level name."""
        values = {a.name: {level.name: level.sets[a.field] for level in a.levels} for a in axes if a.field}
        keys = {name: {_key(value): level for level, value in levels.items()} for name, levels in values.items()}
        by_name = {axis.name: axis for axis in axes}
        declared = {**matrix.entries, **{lost.key: lost.node for lost in matrix.lost}} if matrix else {}
        return cls(
            by_name=by_name,
            values=values,
            keys=keys,
            broken=frozenset(declared) - set(by_name),
            missing={
                name: _declared(declared[name]) - {one.name for one in axis.levels} for name, axis in by_name.items()
            },
            unknown=unknown or (matrix is not None and not matrix.is_mapping),
        )

    def may_be(self, name: str) -> bool:
        """Whether a name may be that of an axis that could not be read."""
        return self.unknown or bool(near(name, self.broken))

    def named(self, name: str) -> Axis | None:
        """The axis of named override sets of this name."""
        axis = self.by_name.get(name)
        return axis if axis is not None and axis.field is None else None


def _declared(levels: Node | None) -> frozenset[str]:
    """What levels are called, those that are wrong too."""
    if levels is None:
        return frozenset()
    lost = [one.node for one in levels.lost if one.node is not None]
    names = [one.key for one in levels.lost] + [node.raw for node in lost if node.is_scalar]
    return frozenset([*levels.entries, *names])


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def read_exclude(ctx: Context, axes: Axes, node: Node) -> tuple[Selector, ...]:
    """The selectors of `exclude`."""
    if not ctx.listing(node, "exclude", example="exclude: [{method: dpo, train.packing: true}]"):
        return ()
    found = [read_selector(ctx, axes, item, "exclude") for item in node.items]
    return tuple(selector for selector in found if selector is not None)


def read_selector(ctx: Context, axes: Axes, node: Node, label: str) -> Selector | None:
    """One selector: axis names and field paths, each with a value or a list of them."""
    if not ctx.mapping(node, label, example="{method: dpo, train.packing: true}"):
        return None
    if not node.entries:
        ctx.add(f"{label} chooses every cell", node, hint="name at least one axis or field path")
        return None
    levels: dict[str, tuple[str, ...]] = {}
    fields: dict[str, tuple[Any, ...]] = {}
    for key, inner in node.entries.items():
        place = node.keys[key]
        axis = axes.named(key)
        if axis is not None:
            levels[key] = _levels(ctx, axes, axis, inner)
        elif key in MERGED and inner.is_mapping:
            for name, one in inner.entries.items():
                fields[f"{key}.{name}"] = _values(ctx, axes, Setting(f"{key}.{name}", one, inner.keys[name]))
        elif is_path(key) and key not in MERGED:
            fields[key] = _values(ctx, axes, Setting(key, inner, place))
        elif not axes.may_be(key):
            known = [*axes.by_name, *FIELDS]
            hint = None if nearest(key, known) else f"axes of this suite: {', '.join(axes.by_name) or 'none'}"
            ctx.unknown("axis or field path", key, known, place, hint=hint)
    return Selector(levels=levels, fields=fields)


def _levels(ctx: Context, axes: Axes, axis: Axis, node: Node) -> tuple[str, ...]:
    """The levels of a named axis that a value or a list of values means."""
    known = [level.name for level in axis.levels]
    found = []
    for item in node.items if node.is_list else [node]:
        if not item.is_scalar or item.value is None:
            ctx.add(f"{axis.name} wants the name of a level, not {kind_of(item)}", item, hint=did_you_mean("", known))
        elif item.raw in axes.missing[axis.name]:
            continue
        elif item.raw not in known:
            ctx.unknown(f"level of {axis.name!r}:", item.raw, known, item)
        else:
            found.append(item.raw)
    if node.is_list and not node.items:
        ctx.add(f"{axis.name} lists no level", node)
    return tuple(found)


def _values(ctx: Context, axes: Axes, setting: Setting) -> tuple[Any, ...]:
    """The values of a field path that a value or a list of them means; names of levels stand for their values."""
    node = setting.node
    whole = _key(node.plain()) in axes.keys.get(setting.path, {})  # the value may itself be a list
    alternatives = node.items if node.is_list and not whole else [node]
    if not alternatives:
        ctx.add(f"{setting.path} lists no value", node)
    found = []
    for item in alternatives:
        level = _level_named(axes, setting.path, item)
        if level is not None:
            found.append(axes.values[setting.path][level])
        elif _may_name_a_level(axes, setting.path, item):
            continue
        elif _can_only_name_a_level(axes, setting.path, item):
            ctx.unknown(f"level of {setting.path!r}:", item.raw, axes.values[setting.path], item)
        elif check(
            ctx, Setting(setting.path, item, setting.place), tuple(METHODS)
        ):  # choosing asks nothing of a method
            found.append(item.plain())
    return tuple(found)


def _level_named(axes: Axes, path: str, node: Node) -> str | None:
    """The level of a field axis that a scalar names, unless it is a value of that axis already."""
    if not node.is_scalar or _key(node.plain()) in axes.keys.get(path, {}):
        return None
    return node.raw if node.raw in axes.values.get(path, {}) else None


def _may_name_a_level(axes: Axes, path: str, node: Node) -> bool:
    """Whether a text may name a level that could not be read."""
    return isinstance(node.value, str) and (axes.may_be(path) or node.raw in axes.missing.get(path, ()))


def _can_only_name_a_level(axes: Axes, path: str, node: Node) -> bool:
    """Whether a text is no value of a field axis, since all of that axis' values are mappings (or null)."""
    values = axes.values.get(path, {}).values()
    return isinstance(node.value, str) and bool(values) and all(one is None or isinstance(one, dict) for one in values)


def read_include(ctx: Context, axes: Axes, node: Node) -> tuple[Include, ...]:
    """The extra cells of `include`."""
    if not ctx.listing(node, "include", example="include: [{method: sft, train.learning_rate: 1e-4}]"):
        return ()
    found = [_extra(ctx, axes, item) for item in node.items]
    return tuple(extra for extra in found if extra is not None)


def _extra(ctx: Context, axes: Axes, node: Node) -> Include | None:
    if not ctx.mapping(node, "a cell of include", example="{method: sft, train.learning_rate: 1e-4}"):
        return None
    levels: dict[str, str] = {}
    besides = ["name"]
    for key, inner in node.entries.items():
        axis = axes.named(key)
        if axis is not None:
            besides.append(key)
            if inner.is_list:
                ctx.add(f"a cell has one level of {key!r}, not a list of them", inner, hint="add one entry per cell")
                continue
            chosen = _levels(ctx, axes, axis, inner)
            if chosen:
                levels[key] = chosen[0]
            elif ctx.again:
                ctx.add(f"the level of {key!r} was left out", inner)
        elif key in axes.values and (level := _level_of(axes, key, inner)) is not None:
            besides.append(key)
            levels[key] = level
        elif key != "name" and (_may_name_a_level(axes, key, inner) or (not is_path(key) and axes.may_be(key))):
            besides.append(key)
            if ctx.again:
                ctx.add(f"the axis {key!r} was left out", node.keys[key])
    own = settings(ctx, node, "a cell of include", besides=besides)
    methods = methods_of(own) or _chosen_methods(axes, levels) or ctx.methods
    sets = {setting.path: setting.node.plain() for setting in own if check(ctx, setting, methods)}
    return Include(name=_name(ctx, node), levels=levels, sets=sets)


def _level_of(axes: Axes, path: str, node: Node) -> str | None:
    """The level of a field axis whose value or name this is."""
    return axes.keys[path].get(_key(node.plain())) or _level_named(axes, path, node)


def _chosen_methods(axes: Axes, levels: Mapping[str, str]) -> tuple[str, ...]:
    """The method that the chosen levels set, if one does."""
    for axis, name in levels.items():
        for level in axes.by_name[axis].levels:
            if level.name == name and isinstance(level.sets.get("method"), str):
                return (str(level.sets["method"]),)
    return ()


def _name(ctx: Context, node: Node) -> str | None:
    name = node.entries.get("name")
    if name is None or not slug_named(ctx, name.raw, "a cell", name):
        return None
    return name.raw
