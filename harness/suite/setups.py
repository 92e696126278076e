"""`base` and `stages`: parts of a trial's configuration, and the order that stages need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from harness.methods import METHODS
from harness.records.suite import Setup
from harness.suite.axes import methods_of, slug_named
from harness.suite.checked import value
from harness.suite.context import Context
from harness.suite.document import Node
from harness.suite.fields import DATA, MERGED, MODELS, Setting, check, settings


def read_base(ctx: Context, node: Node) -> Setup:
    """The configuration that cells start from; what is wrong with it is noted and left out."""
    if not ctx.mapping(node, "base", example="base: {method: sft, model: {shape: tiny}, data: {source: arithmetic}}"):
        return Setup()
    return _setup(ctx, settings(ctx, node, "base"), ctx.all_methods, "base")


def read_stages(ctx: Context, node: Node, base: Setup) -> dict[str, Setup]:
    """The stages by name."""
    if not ctx.mapping(node, "stages", example="stages: {start: {method: sft, train: {max_steps: 100}}}"):
        return {}
    stages = {}
    for name, inner in node.entries.items():
        slug_named(ctx, name, "a stage", node.keys[name])
        if ctx.mapping(inner, f"stage {name!r}", example=f"{name}: {{method: sft}}"):
            stages[name] = _stage(ctx, name, inner, base)
    _no_circles(ctx, node)
    return stages


def _stage(ctx: Context, name: str, node: Node, base: Setup) -> Setup:
    label = f"stage {name!r}"
    own = settings(ctx, node, label, besides=("seed",))
    seed = node.entries.get("seed")
    extra = {}
    if seed is not None and value(ctx, Setup, "seed", seed, f"the seed of {label}"):
        extra["seed"] = seed.value
    inherited = (base.method,) if base.method in METHODS and not ctx.any_method else ctx.methods
    return _setup(ctx, own, methods_of(own) or inherited, label, base=base, extra=extra)


def _setup(
    ctx: Context,
    own: Sequence[Setting],
    methods: Sequence[str],
    label: str,
    *,
    base: Setup | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Setup:
    """The settings as a record. Where something is wrong with them, only what others ask for is in it: the method."""
    right = [setting for setting in own if check(ctx, setting, methods)]
    if len(right) < len(own):
        return Setup(method=next(iter(methods_of(right)), None))
    said = _nested(right, base.model_dump(mode="json", exclude_unset=True) if base else {})
    for field, kinds in (("model", MODELS), ("data", DATA)):
        if field in said and len([key for key in kinds if key in said[field]]) != 1:
            first = next(setting for setting in right if setting.root == field)
            names = ", ".join(kinds)
            ctx.add(
                f"{label} sets {first.path} of no {field}", first.place, hint=f"set {field} beside it: one of {names}"
            )
            return Setup()
    try:
        return Setup.model_validate({**said, **(extra or {})})
    except ValidationError as error:
        for details in error.errors():
            ctx.add(f"{label}.{'.'.join(map(str, details['loc']))}: {details['msg']}", right[0].place)
        return Setup()


def _nested(own: Iterable[Setting], base: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as nested mappings, whole fields first; entries of a field that is not set extend the base's."""
    said: dict[str, Any] = {}
    for setting in sorted(own, key=lambda s: s.path.count(".")):
        *path, last = setting.path.split(".")
        if path and setting.root not in said and setting.root not in MERGED:
            said[setting.root] = base.get(setting.root)
        holder = said
        for key in path:
            inner = holder.get(key)
            holder[key] = dict(inner) if isinstance(inner, dict) else {}
            holder = holder[key]
        holder[last] = setting.node.plain()
    return said


def _no_circles(ctx: Context, node: Node) -> None:
    """Notes stages that start from each other in a circle, each circle once."""
    starts = {name: start for name, inner in node.entries.items() if (start := _start(inner)) is not None}
    told: set[str] = set()
    for first in starts:
        trail = [first]
        while (following := starts.get(trail[-1])) is not None and following.raw not in trail:
            trail.append(following.raw)
        if following is None or following.raw in told:
            continue
        circle = [*trail[trail.index(following.raw) :], following.raw]
        told.update(circle)
        ctx.add(
            f"stages start from each other: {' → '.join(circle)}",
            starts[circle[0]],
            hint="one of them must start from its model alone",
        )


def _start(stage: Node) -> Node | None:
    """The name of the stage that a stage starts from, where it says one."""
    init = stage.entries.get("init")
    found = init.entries.get("stage") if init else stage.entries.get("init.stage")
    return found if found is not None and isinstance(found.value, str) else None
