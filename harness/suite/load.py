"""YAML → Suite: reads one file, checks everything in it, and tells every problem at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import Location, Problem, SuiteError
from harness.methods import METHODS
from harness.methods.catalog import Catalog, Say, tell
from harness.methods.catalog import load as load_catalog
from harness.records.suite import Replicates, Suite
from harness.suite.axes import read_matrix
from harness.suite.choose import Axes, read_exclude, read_include, read_selector
from harness.suite.context import Context, Scoring, kind_of
from harness.suite.document import Node
from harness.suite.fields import FIELDS
from harness.suite.places import Tree
from harness.suite.sections import read_decide, read_name, read_replicates, read_score, read_text
from harness.suite.setups import read_base, read_stages
from harness.suite.source import read

KEYS = tuple(name for name in Suite.model_fields if name != "file")
NEEDED = ("name", "question", "base")


def load(
    path: Path, *, catalog: Catalog | None = None, say: Say | None = tell, scoring: Scoring | None = None
) -> Suite:
    """The suite of a file, checked against the installed TRL.

    `catalog` defaults to that of the installed TRL, for which `say` may get a line (see `catalog.load`). `scoring`
    knows tasks and backends; without it what the suite says of them is only checked for its form.

    Raises:
        SuiteError: everything that is wrong with the file, each problem with line and column.
        InputError: TRL is not installed.
    """
    root, problems = read(path)
    if root is None or root.value is None:
        hint = "`harness init` writes one to start from"
        raise SuiteError(problems=(Problem(what="the file is empty", where=Location(file=path), hint=hint),))
    if not root.is_mapping:
        problems.add(
            f"a suite must be a mapping, not {kind_of(root)}", root, hint="begin with name: …, question: …, base: …"
        )
        problems.raise_any()
    ctx = Context(problems=problems, catalog=catalog or load_catalog(say), scoring=scoring)
    _look_ahead(ctx, root)
    parts = _read(ctx, root)
    problems.raise_any()
    return Suite(file=path, **parts).placed(Tree(root, problems))


def _look_ahead(ctx: Context, root: Node) -> None:
    """Collects what later checks need: the suite's methods and stages."""
    stages = root.entries.get("stages")
    ctx.stages = tuple(stages.entries) if stages else ()
    parts = [root.entries[key] for key in ("base", "matrix", "include") if key in root.entries]
    cells = _known(name for part in parts for name in _methods(part))
    of_stages = _known(_methods(stages)) if stages else ()
    ctx.methods = cells or of_stages or tuple(METHODS)
    ctx.all_methods = tuple(dict.fromkeys((*ctx.methods, *of_stages)))


def _methods(node: Node) -> Iterator[str]:
    """Every name that stands under a key `method`, alone, in a list or by level name."""
    for key, inner in node.entries.items():
        if key == "method":
            choices = list(inner.entries.values()) or inner.items or [inner]
            yield from (choice.raw for choice in choices if choice.is_scalar)
        elif key not in ("train", "lora", "model", "data", "measure", "limits"):
            yield from _methods(inner)
    for inner in node.items:
        yield from _methods(inner)


def _known(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name in METHODS))


def _read(ctx: Context, root: Node) -> dict[str, Any]:
    """Every section in turn. The result is whole only when nothing was noted."""
    given = root.entries
    _keys(ctx, root)
    empty = Node({}, root.place)
    base = read_base(ctx, given.get("base", empty))
    score = read_score(ctx, given["score"]) if "score" in given else None
    matrix = read_matrix(ctx, given.get("matrix", empty))
    axes = Axes.of(matrix, given["matrix"].entries if "matrix" in given else ())
    if "base" in given:
        _complete(ctx, given["base"], given.get("matrix", empty))
    return {
        "name": read_name(ctx, given["name"]) if "name" in given else "",
        "question": read_text(ctx, given["question"], "question") if "question" in given else "",
        "base": base,
        "stages": read_stages(ctx, given.get("stages", empty), base),
        "matrix": matrix,
        "include": read_include(ctx, axes, given["include"]) if "include" in given else (),
        "exclude": read_exclude(ctx, axes, given["exclude"]) if "exclude" in given else (),
        "replicates": read_replicates(ctx, given["replicates"]) if "replicates" in given else Replicates(seeds=[0]),
        "score": score,
        "baseline": read_selector(ctx, axes, given["baseline"], "baseline") if "baseline" in given else None,
        "decide": read_decide(ctx, given["decide"], score) if "decide" in given else None,
    }


def _complete(ctx: Context, base: Node, matrix: Node) -> None:
    """Notes a field that every trial needs and that nothing sets. (That each cell has it, the plan checks.)"""
    if not base.is_mapping:
        return
    for field, example in (("method", "sft"), ("model", "{shape: tiny}"), ("data", "{source: arithmetic}")):
        levels = [level for axis in matrix.entries.values() for level in axis.entries.values()]
        places = [base, matrix, *levels]
        if not any(field in node.entries for node in places):
            ctx.add(f"nothing sets `{field}`", base, hint=f"set it in base, e.g. {field}: {example}")


def _keys(ctx: Context, root: Node) -> None:
    for key in root.entries:
        if key not in KEYS:
            hint = f"it belongs in `base`: write base: {{{key}: …}}" if key in FIELDS else None
            ctx.unknown("key", key, KEYS, root.keys[key], hint=hint)
    for key in NEEDED:
        if key not in root.entries:
            ctx.add(f"{key!r} is missing", root, hint=Suite.model_fields[key].description)
