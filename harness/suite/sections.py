"""The suite's smaller sections: name, question, replicates, score, decide."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePath

from harness.errors import did_you_mean
from harness.records.jsontypes import is_a, type_hint
from harness.records.metrics import METRICS, metric
from harness.records.suite import Decide, Replicates, Score
from harness.records.units import parse_bound
from harness.suite.checked import record
from harness.suite.context import Context, kind_of
from harness.suite.document import Node, Place

MOST_SEEDS = 10_000
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_LARGEST_SEED = 2**32 - 1  # numpy's bound, which transformers' set_seed meets


def read_text(ctx: Context, node: Node, label: str) -> str:
    """A text that is not empty."""
    if isinstance(node.value, str) and node.value.strip():
        return node.value
    given = node.plain()
    hint = type_hint(given, ("string",)) if given is not None else None
    ctx.add(f"{label} must be text, not {kind_of(node)}", node, hint=hint)
    return ""


def read_name(ctx: Context, node: Node) -> str:
    """The suite's name, which is also the name of its folder of results."""
    if node.is_scalar and node.value is not None and _SLUG.fullmatch(node.raw):
        return node.raw
    if not isinstance(node.value, str):
        return read_text(ctx, node, "name")
    hint = "use letters, digits, '-', '_' and '.', beginning with one of the first two; at most 80"
    ctx.add(f"{node.raw!r} cannot name a suite", node, why="its results lie in a folder of this name", hint=hint)
    return ""


def read_replicates(ctx: Context, node: Node) -> Replicates:
    """`{seeds: […]}`, or a number of seeds counted from 0."""
    one = Replicates(seeds=[0])
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        if 1 <= node.value <= MOST_SEEDS:
            return Replicates(seeds=list(range(node.value)))
        ctx.add(f"replicates must be from 1 to {MOST_SEEDS:,}, not {node.value:,}", node)
        return one
    if node.is_list:
        ctx.add(
            "replicates must be a mapping or a number, not a list", node, hint="write replicates: {seeds: [0, 1, 2]}"
        )
        return one
    if not ctx.mapping(node, "replicates", example="replicates: {seeds: [0, 1, 2]}"):
        return one
    found = record(ctx, Replicates, node, "replicates")
    if found is None:
        return one
    seeds = node.entries["seeds"].items
    for seed in seeds:
        if isinstance(seed.value, int) and not 0 <= seed.value <= _LARGEST_SEED:
            ctx.add(f"a seed must be from 0 to {_LARGEST_SEED}, not {seed.value}", seed)
    for number, count in Counter(found.seeds).items():
        if count > 1:
            again = [seed for seed in seeds if seed.value == number][1]
            ctx.add(
                f"the seed {number} is there {count} times",
                again,
                why="a replicate is another seed; the same one trains the same thing",
            )
    return found


def read_score(ctx: Context, node: Node) -> Score | None:
    """How checkpoints are scored; null scores nothing."""
    if node.value is None:
        return None
    found = record(ctx, Score, node, "score")
    if found is None:
        return None
    tasks = node.entries["tasks"].items
    for name, count in Counter(found.tasks).items():
        if count > 1:
            ctx.add(f"the task {name!r} is there {count} times", [task for task in tasks if task.value == name][1])
    return found


def read_decide(ctx: Context, node: Node, score: Score | None) -> Decide | None:
    """What the answer maximises or minimises, and the bounds it keeps."""
    if node.is_mapping:
        for american, spelling in (("maximize", "maximise"), ("minimize", "minimise")):
            if american in node.entries:
                ctx.add(f"unknown key in decide: {american!r}", node.keys[american], hint=f"it is spelled {spelling}")
                return None
    keep = node.entries.get("keep")
    before = len(ctx.problems.found)
    for name, bound in keep.entries.items() if keep else ():
        _bound(ctx, name, bound)
    found = record(ctx, Decide, node, "decide") if len(ctx.problems.found) == before else None
    if found is None:
        return None
    goals = [key for key in ("maximise", "minimise") if node.entries.get(key) is not None]
    if len(goals) != 1 or node.entries[goals[0]].value is None:
        ctx.add("decide needs exactly one of maximise, minimise", node, hint="e.g. maximise: score.arithmetic_mc.acc")
    for goal in goals:
        if isinstance(node.entries[goal].value, str):
            _metric(ctx, node.entries[goal].raw, node.entries[goal], score)
    for name in keep.entries if keep else ():
        _metric(ctx, name, keep.keys[name] if keep else node, score)
    return found


def _metric(ctx: Context, name: str, at: Node | Place, score: Score | None) -> None:
    """Notes a metric that there is not, and a score that nothing makes."""
    if metric(name) is None:
        hint = (
            "scores are called score.<task>.<metric>, e.g. score.arithmetic_mc.acc"
            if name.startswith("score")
            else None
        )
        ctx.unknown("metric", name, METRICS, at, hint=hint)
        return
    if not name.startswith("score."):
        return
    if score is None:
        ctx.add(
            f"{name} is never measured: this suite has no `score`",
            at,
            hint="add score: {tasks: [" + name.split(".")[1] + "]}",
        )
        return
    task = name.removeprefix("score.").rpartition(".")[0]
    if task not in score.tasks and not any(_is_path(other) for other in score.tasks):
        ctx.add(
            f"{name} is never measured: {task!r} is not among score.tasks", at, hint=did_you_mean(task, score.tasks)
        )


def _is_path(task: str) -> bool:
    """Whether a task is named by its file, whose own `task:` may say another name."""
    return "/" in task or PurePath(task).suffix in (".yaml", ".yml")


def _bound(ctx: Context, name: str, node: Node) -> None:
    """Notes what is no bound, or one in another unit than the metric's."""
    if not isinstance(node.value, str):
        ctx.add(
            f"the bound of {name} must be text, not {is_a(node.plain())}",
            node,
            hint=f'write "<= {node.raw}" or ">= {node.raw}"',
        )
        return
    try:
        bound = parse_bound(node.value)
    except ValueError as error:
        ctx.add(f"keep.{name}: {error}", node)
        return
    known = metric(name)
    if known is not None and bound.unit and bound.unit != known.unit:
        ctx.add(f"{name} is in {known.unit}, not in {bound.unit}", node, hint=f'write "{bound.operator} <number>"')
