"""YAML → Suite: reads one file, checks everything in it, and tells every problem at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.errors import Location, Problem, SuiteError, in_order
from harness.methods import METHODS
from harness.methods.catalog import Catalog, Say, tell
from harness.methods.catalog import load as load_catalog
from harness.records.doubts import NONE, Doubts
from harness.records.suite import Decide, Replicates, Score, Suite
from harness.suite.axes import read_matrix
from harness.suite.catalogs import chosen_in, with_environments
from harness.suite.choose import Axes, read_exclude, read_include, read_selector
from harness.suite.claims import read_claims
from harness.suite.context import Context, Scoring, kind_of
from harness.suite.document import Lost, Node, Problems
from harness.suite.doubts import doubts_of
from harness.suite.environments import check_environment, read_environments
from harness.suite.fields import FIELDS, is_path
from harness.suite.guess import fields_meant, near, sections_meant
from harness.suite.margins import read_margins
from harness.suite.pasted import refuse_keys
from harness.suite.places import Tree
from harness.suite.sections import read_decide, read_name, read_replicates, read_score, read_text
from harness.suite.setups import read_base, read_stages
from harness.suite.source import read as read_file
from harness.suite.standing import adopt_exclude, leave_out, lost_keys

KEYS = tuple(name for name in Suite.model_fields if name != "file")
NEEDED = ("name", "question", "base")
_ROUNDS = 8  # leaving something out may make something else wrong, a few times over


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A file that was looked at: the suite it declares, and what is wrong with it.

    Where there are problems, `suite` is what stands without what they are about (None: nothing does), and `doubts` is
    what that leaves unknown; it is good for looking for other problems, for nothing else. `catalog` is what `train` was
    checked against: the catalogues of the suite's own environments are beside it.
    """

    suite: Suite | None
    catalog: Catalog
    problems: tuple[Problem, ...] = ()
    doubts: Doubts = NONE


def load(
    path: Path, *, catalog: Catalog | None = None, say: Say | None = tell, scoring: Scoring | None = None
) -> Suite:
    """The suite of a file, checked against the installed TRL; for the arguments see `read`.

    Raises:
        SuiteError: everything that is wrong with the file, each problem with line and column.
        InputError: TRL is not installed.
    """
    reading = read(path, catalog=catalog, say=say, scoring=scoring)
    if reading.problems or reading.suite is None:
        raise SuiteError(problems=in_order(reading.problems, path))
    return reading.suite


def read(
    path: Path, *, catalog: Catalog | None = None, say: Say | None = tell, scoring: Scoring | None = None
) -> Reading:
    """The suite of a file with everything that is wrong with it, for those who look for more that is wrong.

    `catalog` defaults to that of the installed TRL, for which `say` may get a line (see `catalog.load`). `scoring`
    knows tasks and backends; without it what the suite says of them is only checked for its form.

    Raises:
        SuiteError: no suite at all can be made out: no file, not YAML, not a mapping.
        InputError: TRL is not installed.
    """
    root, problems = read_file(path)
    if root is None or root.value is None:
        hint = "`harness init` writes one to start from"
        raise SuiteError(problems=(Problem(what="the file is empty", where=Location(file=path), hint=hint),))
    if not root.is_mapping:
        problems.add(
            f"a suite must be a mapping, not {kind_of(root)}", root, hint="begin with name: …, question: …, base: …"
        )
        problems.raise_any()
    composed = len(problems.found)
    known = _with_environments(root, catalog or load_catalog(say), say)
    ctx = Context(problems=problems, catalog=known, scoring=scoring)
    _look_ahead(ctx, root)
    _keys(ctx, root)
    refuse_keys(problems, root)
    parts = _read(ctx, root)
    if "base" in root.entries:
        _complete(ctx, root)
    if not problems.found:
        return Reading(suite=Suite(file=path, **parts).placed(Tree(root, problems)), catalog=known)
    told = _told(problems, composed)
    suite, doubts = _what_stands(ctx, root)
    return Reading(suite=suite, catalog=known, problems=told, doubts=doubts)


def _with_environments(root: Node, own: Catalog, say: Say | None) -> Catalog:
    """The catalogue with those of the environments that the file trains in; of one that is wrong there is none."""
    section = root.entries.get("environments")
    declared = {name: inner.plain() for name, inner in section.entries.items() if inner.is_mapping} if section else {}
    parts = [root.entries[key] for key in ("base", "stages", "matrix", "include") if key in root.entries]
    names = [name for part in parts for name in chosen_in(part) if name in declared]
    return with_environments(own, declared, dict.fromkeys(names), say=say) if names else own


def _told(problems: Problems, composed: int) -> tuple[Problem, ...]:
    """The problems without those of values that were no YAML (the first `composed`), and each mistake once.

    What an alias repeats is wrong in the same place, and the same advice puts it right.
    """
    unread = {id(one) for one in problems.blamed[:composed] if isinstance(one, Node)}
    found = [
        problem
        for number, (problem, blamed) in enumerate(zip(problems.found, problems.blamed, strict=True))
        if number < composed or id(blamed) not in unread
    ]
    once = {(one.where, one.hint or one.what): one for one in reversed(found)}
    return tuple(reversed(once.values()))


def _what_stands(first: Context, root: Node) -> tuple[Suite | None, Doubts]:
    """The suite without what is wrong with it. The tree loses that: it does not hold the whole file any more."""
    problems = first.problems
    leave_out(root, problems.blamed)
    for section in (
        "name",
        "question",
        "replicates",
        "score",
        "environments",
        "decide",
        "claims",
        "margins",
    ):  # they change nothing about cells
        root.entries.pop(section, None)
    guessed = adopt_exclude(root)
    for _ in range(_ROUNDS):
        if "base" not in root.entries:
            break
        problems = Problems(problems.file, problems.lines)
        ctx = Context(problems=problems, catalog=first.catalog, again=True)
        _look_ahead(ctx, root)
        parts = _read(ctx, root)
        if not problems.found:
            named = {**parts, "name": "unnamed", "question": "?"}
            suite = Suite(file=problems.file, **named).placed(Tree(root, problems))
            return suite, doubts_of(ctx, root, guessed_rules=guessed)
        if not leave_out(root, problems.blamed):
            break
    return None, NONE


def _empty(root: Node) -> Node:
    return Node({}, root.place)


def _look_ahead(ctx: Context, root: Node) -> None:
    """Collects what later checks need: the suite's methods and stages, and what unknown keys may mean."""
    said = {**{lost.key: lost.node for lost in root.lost}, **root.entries}
    meant = {name for key, node in said.items() if key not in KEYS for name in sections_meant(key, node, KEYS)}
    ctx.misspelled = frozenset(meant - set(said))
    ctx.scored = "score" in ctx.misspelled
    stages = root.entries.get("stages")
    ctx.stages = tuple(stages.entries) if stages else ()
    unreadable = "stages" in ctx.misspelled or (stages is not None and not stages.is_mapping)
    if unreadable and not ctx.again:
        ctx.stages = None
    ctx.environments = _environments(ctx, root.entries.get("environments"))
    parts = [root.entries[key] for key in ("base", "matrix", "include") if key in root.entries]
    cells = [name for part in parts for name in _methods(part)]
    of_stages = list(_methods(stages)) if stages else []
    ctx.any_method = not set(cells + of_stages) <= set(METHODS)
    ctx.methods = _known(cells) or _known(of_stages) or tuple(METHODS)
    if ctx.any_method:  # what a misspelled one takes is not known
        ctx.methods = tuple(METHODS)
    ctx.all_methods = tuple(dict.fromkeys((*ctx.methods, *_known(of_stages))))


def _environments(ctx: Context, node: Node | None) -> dict[str, bool] | None:
    """Names of the declared environments, and whether the harness runs in each; None where they cannot be made out."""
    if ctx.again or "environments" in ctx.misspelled or (node is not None and not node.is_mapping):
        return None
    declared = node.entries if node is not None else {}
    told = {name: inner.entries.get("harness") if inner.is_mapping else None for name, inner in declared.items()}
    return {
        name: not declared[name].is_mapping or (harness is not None and harness.value is not False)
        for name, harness in told.items()
    }


def _methods(node: Node) -> Iterator[str]:
    """Every name that stands under a key `method`, alone, in a list or by level name; "" where one may be meant."""
    for key, inner in node.entries.items():
        if key == "method":
            choices = list(inner.entries.values()) or inner.items or [inner]
            yield from (choice.raw if choice.is_scalar else "" for choice in choices)
        elif key not in ("train", "lora", "model", "data", "measure", "limits"):
            yield from _methods(inner)
            if inner.is_scalar and key not in FIELDS and "method" in fields_meant(key, inner):
                yield ""
    for inner in node.items:
        yield from _methods(inner)
    if "method" in lost_keys(node):
        yield ""


def _known(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name in METHODS))


def _read(ctx: Context, root: Node) -> dict[str, Any]:
    """Every section in turn. The result is whole only when nothing was noted."""
    given, empty = root.entries, _empty(root)
    base = read_base(ctx, given.get("base", empty))
    score = read_score(ctx, given["score"]) if "score" in given else None
    chosen = given["score"].entries.get("environment") if "score" in given else None
    if chosen is not None and isinstance(chosen.value, str):
        check_environment(ctx, chosen, given.get("environments"))
    matrix = read_matrix(ctx, given.get("matrix", empty))
    axes = Axes.of(matrix, given.get("matrix"), unknown="matrix" in ctx.misspelled)
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
        "environments": read_environments(ctx, given["environments"]) if "environments" in given else {},
        "baseline": read_selector(ctx, axes, given["baseline"], "baseline") if "baseline" in given else None,
        "decide": read_decide(ctx, given["decide"], score) if "decide" in given else None,
        "claims": read_claims(ctx, axes, given["claims"], score) if "claims" in given else (),
        "margins": read_margins(ctx, given["margins"], score) if "margins" in given else {},
    }


def _keys(ctx: Context, root: Node) -> None:
    """Notes unknown and missing keys at the top. A misspelled `base` is read as what it means: all else is in it."""
    for key in [key for key in root.entries if key not in KEYS]:
        of_cells = key in FIELDS and not (key == "environment" and root.entries[key].is_mapping)
        hint = f"it belongs in `base`: write base: {{{key}: …}}" if of_cells else _belongs(ctx, key)
        means_base = "base" in ctx.misspelled and near(key, KEYS)[:1] == ["base"] and root.entries[key].is_mapping
        ctx.unknown("key", key, KEYS, root.keys[key], hint=hint, harmless=means_base)
        if means_base:
            root.entries["base"] = root.entries.pop(key)
            root.keys["base"] = root.keys[key]
            _look_ahead(ctx, root)
    for key in NEEDED:
        if key not in root.entries and key not in ctx.misspelled:
            ctx.add(f"{key!r} is missing", root, hint=Suite.model_fields[key].description)


def _belongs(ctx: Context, key: str) -> str | None:
    """Where an unknown key at the top would be right, unless it is a misspelled section."""
    if near(key, KEYS):
        return None
    sections: dict[str, type[BaseModel]] = {"replicates": Replicates, "score": Score, "decide": Decide}
    for name, section in sections.items():
        if key in section.model_fields:
            return f"it belongs in `{name}`: write {name}: {{{key}: …}}"
    if any(key in fields for fields in ctx.catalog.methods.values()):
        return f"it is a field of `train`: write base: {{train: {{{key}: …}}}}"
    return None


def _complete(ctx: Context, root: Node) -> None:
    """Notes a field that every trial needs and that nothing sets. (That each cell has it, the plan checks.)"""
    base, matrix = root.entries["base"], root.entries.get("matrix", _empty(root))
    if not base.is_mapping or "matrix" in ctx.misspelled:
        return
    levels = [level for axis in matrix.entries.values() for level in axis.entries.values()]
    if not all(level.is_mapping for name, axis in matrix.entries.items() for level in _levels_of(name, axis)):
        return  # what a broken level was to set is not known
    places = [base, matrix, *levels]
    for field, example in (("method", "sft"), ("model", "{shape: tiny}"), ("data", "{source: arithmetic}")):
        if any(field in node.entries for node in places):
            continue
        base.lost += (Lost(field, None),)
        misplaced = field in root.entries
        meant = (fields_meant(key, inner) for node in places for key, inner in node.entries.items() if "." not in key)
        if not misplaced and not any(field in names for names in meant):
            hint = f"set it in base, e.g. {field}: {example}"
            ctx.problems.add(f"nothing sets `{field}`", base, hint=hint, blames=None)


def _levels_of(name: str, axis: Node) -> list[Node]:
    """The levels of a named axis; the axis itself where it has none to look into."""
    if is_path(name):
        return []
    return list(axis.entries.values()) or [axis]
