"""What is in doubt where something was left out of a suite: which settings it made, or may have been meant to make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.methods import METHODS
from harness.methods.fields import old_name
from harness.records.doubts import Doubts, Loss, Scope
from harness.suite.context import Context
from harness.suite.document import Lost, Node
from harness.suite.fields import DOTTED, FIELDS, MERGED, RECORDS, is_path
from harness.suite.guess import fields_meant, near, sections_meant
from harness.suite.standing import lost_keys

_ANYTHING = Loss("")


def doubts_of(ctx: Context, root: Node, *, guessed_rules: bool = False) -> Doubts:
    """The doubts about a suite that was read from what is left of its file.

    `guessed_rules`: its `exclude` was made out of something that is wrong (see `standing.adopt_exclude`).
    """
    given, lost = root.entries, {one.key: one.node for one in root.lost}
    matrix, include, exclude = given.get("matrix"), given.get("include"), given.get("exclude")
    losses: dict[Scope, tuple[Loss, ...]] = {
        ("base",): (*_of_setup(ctx, given["base"]), *_at_the_top(ctx, root)),
        ("matrix",): tuple(_of_axes(ctx, root)),
    }
    for name, stage in given["stages"].entries.items() if "stages" in given else ():
        losses["stages", name] = tuple(_of_setup(ctx, stage))
    for axis, levels in matrix.entries.items() if matrix else ():
        for level, node in levels.entries.items() if not is_path(axis) else ():
            losses["matrix", axis, level] = tuple(_of_setup(ctx, node))
    for number, node in enumerate(include.items if include else ()):
        losses["include", number] = tuple(_of_include(ctx, node))
    missing_levels = {axis: len(node.lost) for axis, node in matrix.entries.items() if node.lost} if matrix else {}
    missing_axes = lost_keys(matrix)
    rules = enumerate(exclude.items if exclude else ())
    opened: set[str] = {
        name
        for name in ("matrix", "include", "exclude", "stages")
        if name in ctx.misspelled or (name in lost and name not in given)
    }
    opened |= {
        name for name, node in (("matrix", matrix), ("include", include), ("exclude", exclude)) if node and node.lost
    }
    return Doubts(
        losses={scope: found for scope, found in losses.items() if found},
        levels=missing_levels,
        wide=frozenset(number for number, rule in rules if guessed_rules or _is_wide(rule, missing_axes)),
        open=frozenset(opened | ({"matrix"} if missing_levels else set())),
        unread=frozenset({"score"}),
    )


def _is_wide(rule: Node, missing_axes: Iterable[str]) -> bool:
    return bool(rule.lost or set(rule.entries) & set(missing_axes) or any(one.lost for one in rule.entries.values()))


def _of_setup(ctx: Context, node: Node) -> Iterator[Loss]:
    """What a configuration lacks."""
    for lost in node.lost:
        yield from meant(ctx, lost)
    for key, inner in node.entries.items():
        yield from _inside(ctx, key, inner)


def _inside(ctx: Context, path: str, node: Node) -> Iterator[Loss]:
    for lost in node.lost:
        yield from _named(ctx, f"{path}.{lost.key}" if lost.key else path)
    for key, inner in node.entries.items():
        yield from _inside(ctx, f"{path}.{key}", inner)
    for inner in node.items:
        yield from _inside(ctx, path, inner)


def meant(ctx: Context, lost: Lost) -> Iterator[Loss]:
    """What an entry of a configuration set, or may have been meant to set."""
    root, dot, rest = lost.key.partition(".")
    if lost.key == "<<":
        yield _ANYTHING
    elif root in FIELDS:
        yield from _named(ctx, lost.key)
    elif lost.key != "seed":
        roots = near(root, DOTTED) if dot else fields_meant(root, lost.node)
        places = [*_elsewhere(ctx, root)] if not dot else []
        for name in roots:
            if name in MERGED and not dot and lost.node is not None and lost.node.is_mapping:
                for entry in lost.node.entries:
                    yield from _named(ctx, f"{name}.{entry}")
            else:
                yield from _named(ctx, f"{name}{dot}{rest}")
        yield from (Loss(path) for path in places)
        if not roots and not places:
            yield Loss("", vague=True)


def _elsewhere(ctx: Context, key: str) -> Iterator[str]:
    """Where an entry would be right that stands in the wrong place."""
    if any(key in fields for fields in ctx.catalog.methods.values()):
        yield f"train.{key}"
    if key in ctx.catalog.lora:
        yield f"lora.{key}"
    yield from (
        f"{name}.{key}" for name, kinds in RECORDS.items() if any(key in kind.model_fields for kind in kinds.values())
    )


def _named(ctx: Context, path: str) -> Iterator[Loss]:
    """A field path as it is; where there is no such field, those that are spelled nearly so."""
    root, _, rest = path.partition(".")
    name = rest.partition(".")[0]
    known = _fields_of(ctx, root)
    if not rest or name in known:
        yield Loss(path)
        return
    close = near(name, known)
    yield from (Loss(f"{root}.{one}") for one in close)
    if not close or old_name(name, lora=root == "lora") is not None:
        yield Loss(root, vague=True)


def _fields_of(ctx: Context, root: str) -> set[str]:
    if root == "train":
        return {name for fields in ctx.catalog.methods.values() for name in fields} | {
            name for method in METHODS.values() for name in method.refuses
        }
    if root == "lora":
        return set(ctx.catalog.lora)
    return {name for kind in RECORDS.get(root, {}).values() for name in kind.model_fields}


def _at_the_top(ctx: Context, root: Node) -> Iterator[Loss]:
    """What stood at the top of the file and belongs in the base."""
    for lost in root.lost:
        if lost.key.partition(".")[0] in FIELDS:
            yield from _settings(ctx, Node({lost.key: lost.node or root}, root.place))


def _of_axes(ctx: Context, root: Node) -> Iterator[Loss]:
    """What the axes set that are missing altogether."""
    given = root.entries.get("matrix")
    meant_here = [one for one in root.lost if "matrix" in sections_meant(one.key, one.node, ctx.misspelled)]
    whole = [one.node for one in root.lost if one.key == "matrix" or one in meant_here]
    axes = [*(given.lost if given else ())]
    for node in whole:
        if node is None or not node.is_mapping:
            yield _ANYTHING
        else:
            axes += [Lost(name, levels) for name, levels in node.entries.items()] + list(node.lost)
    for name, levels in axes:
        yield from _of_axis(ctx, name, levels)


def _of_axis(ctx: Context, name: str, levels: Node | None) -> Iterator[Loss]:
    if is_path(name):
        yield from meant(ctx, Lost(name, None))
        return
    nodes = list(levels.entries.values()) if levels is not None else []
    if not nodes or (levels is not None and levels.lost):
        yield _ANYTHING
    for node in nodes:
        if node.is_mapping:
            yield from _settings(ctx, node)
            yield from _of_setup(ctx, node)
        else:
            yield _ANYTHING


def _settings(ctx: Context, node: Node) -> Iterator[Loss]:
    """What the entries of a configuration set."""
    for key, inner in node.entries.items():
        if key in MERGED and inner.is_mapping:
            for name in inner.entries:
                yield from _named(ctx, f"{key}.{name}")
        else:
            yield from meant(ctx, Lost(key, inner))


def _of_include(ctx: Context, node: Node) -> Iterator[Loss]:
    for lost in node.lost:
        if is_path(lost.key):
            yield from meant(ctx, lost)
        elif lost.key != "name":
            yield _ANYTHING  # it may name an axis, whose levels set whatever they set
    for key, inner in node.entries.items():
        yield from _inside(ctx, key, inner)
