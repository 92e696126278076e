"""Field paths: what a configuration may set, and whether a value fits.

`method, model, data, lora, reference, init, environment, checkpoint` are set whole; `train, measure, limits` entry by
entry. A dotted path leads to one entry: `train.learning_rate`, `lora.r`, `data.rows`,
`model.overrides.num_hidden_layers`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from harness.data import SOURCES
from harness.errors import Problem, did_you_mean, nearest
from harness.methods import METHODS
from harness.methods.catalog import Catalog, refusal
from harness.methods.ranges import out_of_range
from harness.models import KERNELS, SHAPES, is_of_hub
from harness.records import suite as nouns
from harness.records.jsontypes import is_a
from harness.records.units import parse_duration, parse_limit
from harness.suite.checked import is_mapping_field, record, value
from harness.suite.context import Context
from harness.suite.document import Node, Place

WHOLE = ("method", "model", "data", "lora", "reference", "init", "environment", "checkpoint")
MERGED = ("train", "measure", "limits")
FIELDS = (
    *("method", "model", "data", "train", "lora", "reference", "init", "environment"),
    *("measure", "limits", "checkpoint"),
)
DOTTED = ("train", "lora", "model", "data", "init", "measure", "limits")

MODELS: Mapping[str, type[BaseModel]] = {
    "shape": nouns.ShapeModel,
    "hub": nouns.HubModel,
    "path": nouns.PathModel,
}
DATA: Mapping[str, type[BaseModel]] = {"source": nouns.SourceData, "hub": nouns.HubData, "path": nouns.PathData}
_EXAMPLES = {
    "model": "model: {shape: tiny}",
    "data": "data: {source: arithmetic}",
    "init": "init: {stage: NAME}",
    "lora": "lora: {r: 8}, or null",
}
RECORDS: Mapping[str, Mapping[str, type[BaseModel]]] = {
    "model": MODELS,
    "data": DATA,
    "init": {"": nouns.Init},
    "measure": {"": nouns.Measure},
    "limits": {"": nouns.Limits},
}
_UNITS: Mapping[str, Callable[[str], object]] = {"limits.timeout": parse_duration, "limits.host_memory": parse_limit}


@dataclass(frozen=True, slots=True)
class Setting:
    """One field path with its value; `place` is where its key stands."""

    path: str
    node: Node
    place: Place

    @property
    def root(self) -> str:
        return self.path.partition(".")[0]


def is_path(name: str) -> bool:
    """Whether an axis or selector key of this name means a field, rather than a named axis."""
    return name in FIELDS or "." in name


def settings(ctx: Context, node: Node, label: str, *, besides: Sequence[str] = ()) -> list[Setting]:
    """The field paths that a mapping sets, nested and dotted alike; unknown keys are noted, `besides` left alone."""
    found: dict[str, Setting] = {}
    for setting in _flat(ctx, node, label, besides):
        first = found.setdefault(setting.path, setting)
        if first is not setting:
            ctx.add(f"{setting.path} is set twice", setting.place, why=f"line {first.place[0]} sets it too")
    return list(found.values())


def _flat(ctx: Context, node: Node, label: str, besides: Sequence[str]) -> Iterator[Setting]:
    for key, inner in node.entries.items():
        place = node.keys[key]
        root, dot, rest = key.partition(".")
        if key in besides:
            continue
        if key in MERGED:
            if ctx.mapping(inner, f"{label}.{key}", example=f"{key}: {{…}}"):
                yield from (Setting(f"{key}.{name}", one, inner.keys[name]) for name, one in inner.entries.items())
        elif key in WHOLE or (dot and rest and root in DOTTED):
            yield Setting(key, inner, place)
        elif key == "seed":
            hint = "set `replicates: {seeds: [0, 1, 2]}`; a stage has a `seed` of its own"
            ctx.add(f"{label} cannot set a seed", place, hint=hint)
        else:
            ctx.unknown(f"key in {label}:", key, FIELDS, place, hint=_belongs(ctx, key))


def _belongs(ctx: Context, key: str) -> str | None:
    """Where an unknown key of a configuration would be right, if anywhere."""
    if nearest(key, FIELDS, most=1):
        return None
    if any(key in fields for fields in ctx.catalog.methods.values()):
        return f"it is a field of `train`: write train: {{{key}: …}}"
    if key in ctx.catalog.lora:
        return f"it is a field of `lora`: write lora: {{{key}: …}}"
    for name, kinds in RECORDS.items():
        if any(key in kind.model_fields for kind in kinds.values()):
            return f"it belongs in `{name}`: write {name}: {{{key}: …}}"
    if key in nouns.Suite.model_fields:
        return "it stands at the top of the file, not in here"
    return None


def check(ctx: Context, setting: Setting, methods: Sequence[str]) -> bool:
    """Whether the setting is right for at least one of the methods it may meet; else what is wrong is noted."""
    before = len(ctx.problems.found)
    root, _, rest = setting.path.partition(".")
    if not rest:
        _whole(ctx, root, setting.node)
    elif root == "train":
        _train(ctx, setting, rest, methods)
    elif root == "lora":
        _lora_entry(ctx, setting, rest)
    elif root in RECORDS:
        _entry(ctx, setting, root, rest)
    else:
        roots = nearest(root, DOTTED, most=1) or DOTTED
        ctx.unknown("field path", setting.path, [f"{name}.{rest}" for name in roots], setting.place)
    return len(ctx.problems.found) == before


def _whole(ctx: Context, field: str, node: Node) -> None:
    if field == "method":
        one_of(ctx, "method", node, METHODS)
    elif field == "checkpoint":
        one_of(ctx, "checkpoint", node, ("keep", "drop"))
    elif field == "reference":
        if node.value is not None:
            one_of(ctx, "reference", node, get_args(nouns.Reference))
    elif field == "environment":
        if node.value is not None:
            environment_known(ctx, node)
    elif field == "lora":
        if node.value is not None and ctx.mapping(node, "lora", example=_EXAMPLES["lora"]):
            for name, inner in node.entries.items():
                _lora_entry(ctx, Setting(f"lora.{name}", inner, node.keys[name]), name)
    elif field == "init":
        if node.value is not None and ctx.mapping(node, "init", example=_EXAMPLES["init"]):
            start = record(ctx, nouns.Init, node, "init")
            if start:
                stage_known(ctx, node.entries["stage"])
    elif field in ("model", "data"):
        _one_kind(ctx, field, node)
    else:
        ctx.mapping(node, field)


def one_of(ctx: Context, label: str, node: Node, known: Mapping[str, object] | Sequence[str]) -> bool:
    """Whether the node is one of the known names; else that is noted."""
    if isinstance(node.value, str) and node.value in known:
        return True
    if isinstance(node.value, str):
        ctx.unknown(label, node.value, known, node)
    else:
        ctx.add(f"{label} wants a name, not {is_a(node.plain())}", node, hint=did_you_mean(node.raw, known))
    return False


def stage_known(ctx: Context, node: Node) -> None:
    """Notes a stage that the suite does not have; not where its `stages` cannot be read, which has been said."""
    if ctx.stages is None:
        return
    if isinstance(node.value, str) and node.value not in ctx.stages:
        hint = None if ctx.stages else "this suite has no `stages`"
        ctx.unknown("stage", node.value, ctx.stages, node, hint=hint)


def environment_known(ctx: Context, node: Node) -> None:
    """Notes an environment that the suite does not declare; not where what it declares cannot be read."""
    if ctx.environments is None:
        return
    if not isinstance(node.value, str):
        hint = did_you_mean(node.raw, ctx.environments)
        ctx.add(f"environment wants a name or null, not {is_a(node.plain())}", node, hint=hint)
    elif node.value not in ctx.environments:
        none_declared = None if ctx.environments else "declare it at the top: environments: {NAME: {requirements: […]}}"
        ctx.unknown("environment", node.value, ctx.environments, node, hint=none_declared)
    elif not ctx.environments[node.value]:
        why = "the harness does not run in it: it lacks `harness: true`"
        ctx.add(f"nothing can be trained in the environment {node.value!r}", node, why=why)


def kernel_known(ctx: Context, node: Node) -> None:
    """Notes an attention kernel that transformers does not have; another environment's may know more names."""
    name = node.value
    if isinstance(name, str) and name not in KERNELS and not is_of_hub(name) and not ctx.environments:
        ctx.unknown("attention kernel", name, KERNELS, node)


def _one_kind(ctx: Context, field: str, node: Node) -> None:
    """A model or data: told apart by the one key that says which kind it is."""
    kinds = RECORDS[field]
    names = ", ".join(kinds)
    if not ctx.mapping(node, field, example=_EXAMPLES[field]):
        return
    given = [key for key in kinds if key in node.entries]
    if len(given) != 1:
        has = " and ".join(given) if given else "none of them"
        hint = _nearest_kind(node, kinds) if not given else f"keep one of {' and '.join(given)}"
        ctx.add(f"{field} needs exactly one of {names}; it has {has}", node, hint=hint or f"write {_EXAMPLES[field]}")
        return
    record(ctx, kinds[given[0]], node, field)
    inner = node.entries[given[0]]
    if given[0] == "shape" and isinstance(inner.value, str):
        one_of(ctx, "shape", inner, SHAPES)
    kernel = node.entries.get("attn_implementation")
    if field == "model" and kernel is not None:
        kernel_known(ctx, kernel)
    if given[0] == "source" and isinstance(inner.value, str) and one_of(ctx, "source", inner, SOURCES):
        _options(ctx, inner.value, node.entries.get("options"))


def _nearest_kind(node: Node, kinds: Mapping[str, object]) -> str | None:
    for key in node.entries:
        if nearest(key, kinds, most=1):
            return f"{key!r}: {did_you_mean(key, kinds)}"
    return None


def _options(ctx: Context, source: str, node: Node | None) -> None:
    known = SOURCES[source].options
    for name, inner in node.entries.items() if node else ():
        if name not in known:
            hint = None if known else f"the source {source!r} has none"
            ctx.unknown(f"option of {source!r}:", name, known, node.keys[name] if node else inner, hint=hint)
            continue
        wrong = known[name].check(inner.plain())
        if wrong:
            ctx.add(f"data.options.{name}: {wrong}", inner, hint=known[name].says)


def _entry(ctx: Context, setting: Setting, root: str, rest: str) -> None:
    """One entry of model, data, init, measure or limits, by its path."""
    field, dot, _ = rest.partition(".")
    kinds = [kind for kind in RECORDS[root].values() if field in kind.model_fields]
    if not kinds:
        names = [name for kind in RECORDS[root].values() for name in kind.model_fields]
        ctx.unknown(f"field of {root}:", field, dict.fromkeys(names), setting.place)
    elif dot:
        if not is_mapping_field(kinds[0], field):
            ctx.add(f"{root}.{field} holds no mapping that {setting.path} could lead into", setting.place)
    elif setting.path in _UNITS:
        unit(ctx, setting.path, setting.node)
    elif value(ctx, kinds[0], field, setting.node, setting.path):
        if setting.path == "model.shape":
            one_of(ctx, "shape", setting.node, SHAPES)
        elif setting.path == "model.attn_implementation":
            kernel_known(ctx, setting.node)
        elif setting.path == "data.source":
            one_of(ctx, "source", setting.node, SOURCES)
        elif setting.path == "init.stage":
            stage_known(ctx, setting.node)


def unit(ctx: Context, path: str, node: Node) -> None:
    """A duration or a size."""
    if node.value is None and path == "limits.host_memory":
        return
    try:
        _UNITS[path](node.plain())
    except ValueError as error:
        ctx.add(f"{path}: {error}", node)


def _lora_entry(ctx: Context, setting: Setting, rest: str) -> None:
    name, dot, _ = rest.partition(".")
    known = ctx.catalog.lora.get(name)
    if dot and known is not None:
        if "object" not in known.types:
            ctx.add(f"lora.{name} holds no mapping that {setting.path} could lead into", setting.place)
        return
    given = setting.node.plain()
    problem = ctx.catalog.check_lora(name, given)
    if problem is not None and not _may_do_elsewhere(ctx, lambda other: other.check_lora(name, given)):
        _note(ctx, problem, setting, unknown=known is None)


def _may_do_elsewhere(ctx: Context, check_by: Callable[[Catalog], Problem | None]) -> bool:
    """Whether an environment of the suite takes what the installed packages do not, or is not known not to.

    Which cells are trained there only the plan knows; it looks again.
    """
    own = ctx.catalog
    return bool(own.unread) or any(check_by(other) is None for other in own.beside.values())


def _train(ctx: Context, setting: Setting, rest: str, methods: Sequence[str]) -> None:
    name, dot, _ = rest.partition(".")
    given = setting.node.plain()
    found: list[tuple[bool, Problem]] = []
    for method in methods:
        field = ctx.catalog.methods[method].get(name)
        problem = ctx.catalog.check(method, name, given) if not dot else None
        if dot and (field is None or "object" not in field.types):
            problem = Problem(what=f"train.{name} holds no mapping that {setting.path} could lead into")
        if problem is None:
            return
        of_trl = not dot and refusal(method, name, given) is None
        if of_trl and _may_do_elsewhere(ctx, functools.partial(_checked, method, name, given)):
            return
        found.append((field is None, problem))
    unknown, problem = min(found, key=lambda pair: pair[0])  # a method that has the field says more
    if unknown and len(methods) > 1 and problem.why is None:
        classes = ", ".join(METHODS[method].config_class.rpartition(":")[2] for method in methods)
        problem = Problem(what=f"none of {classes} has a field {name!r}", hint=problem.hint)
    not_for_suites = problem.why is not None and out_of_range("train", name, given) is None
    _note(ctx, problem, setting, unknown=unknown or bool(dot) or not_for_suites)


def _checked(method: str, name: str, value: Any, by: Catalog) -> Problem | None:
    return by.check(method, name, value)


def _note(ctx: Context, problem: Problem, setting: Setting, *, unknown: bool) -> None:
    """Points at the key where that is what is wrong, else at the value."""
    ctx.add(problem.what, setting.place if unknown else setting.node, why=problem.why, hint=problem.hint)
