"""The suite's smaller sections: name, question, replicates, score, decide."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from pathlib import PurePath
from typing import get_args

from harness.errors import did_you_mean
from harness.records.jsontypes import is_a, type_hint
from harness.records.metrics import METRICS, metric
from harness.records.suite import Decide, Replicates, Score, Until
from harness.records.units import parse_amount, parse_bound
from harness.suite.checked import record
from harness.suite.context import Context, kind_of
from harness.suite.document import Node, Place

MOST_SEEDS = 10_000
RESERVED = {
    "reference": "results/reference and reports/reference hold published results",
    "harness.duckdb": "results/harness.duckdb is the store",
    "scored": "results/scored holds models that are scored by themselves",
    "imported": "results/imported holds scores of other tools",
    "baselines": "results/baselines holds saved baselines",
}
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
LARGEST_SEED = 2**32 - 1  # numpy's bound, which transformers' set_seed meets


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
        taken = RESERVED.get(node.raw.lower())  # file systems may not tell capitals
        if taken is not None:
            ctx.add(f"a suite cannot be called {node.raw!r}", node, why=taken, hint="choose another name")
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
    until = node.entries.get("until")
    wrong = until is not None and until.value is not None and record(ctx, Until, until, "replicates.until") is None
    found = record(ctx, Replicates, _without(node, ["until", "max"]) if wrong else node, "replicates")
    if found is None:
        return one
    if not wrong:
        _check_until(ctx, node, found)
    given = node.entries.get("seeds")
    if given is None:
        return found.model_copy(update={"seeds": [0, 1]})  # below two nothing is known of how much runs vary
    seeds = given.items
    for seed in seeds:
        if isinstance(seed.value, int) and not 0 <= seed.value <= LARGEST_SEED:
            ctx.add(f"a seed must be from 0 to {LARGEST_SEED}, not {seed.value}", seed)
    for number, count in Counter(found.seeds).items():
        if count > 1:
            again = [seed for seed in seeds if seed.value == number][1]
            ctx.add(
                f"the seed {number} is there {count} times",
                again,
                why="a replicate is another seed; the same one trains the same thing",
            )
    return found


def _check_until(ctx: Context, node: Node, found: Replicates) -> None:
    """What `until` and `max` need of each other, and of the metric."""
    if found.until is None:
        if "seeds" not in node.entries:
            ctx.add("replicates needs seeds, or until", node, hint="e.g. replicates: {seeds: [0, 1, 2]}")
        if found.max is not None:
            hint = "e.g. until: {metric: tokens_per_second, ci: 2%}, or leave max out"
            ctx.add("max goes with until, which says when there are enough", node.keys["max"], hint=hint)
        return
    until = node.entries["until"]
    if found.max is not None and found.max < len(found.seeds):
        ctx.add(f"max is {found.max}, and there are {len(found.seeds)} seeds already", node.entries["max"])
    name, known = found.until.metric, metric(found.until.metric)
    if known is None:
        ctx.unknown("metric", name, METRICS, until.entries["metric"])
        return
    amount = parse_amount(found.until.ci)
    if amount.unit and amount.unit != known.unit:
        ctx.add(f"{name} is in {known.unit or 'no unit'}, not in {amount.unit}", until.entries["ci"], hint="e.g. 2%")


def read_score(ctx: Context, node: Node) -> Score | None:
    """How checkpoints are scored; null scores nothing."""
    if node.value is None:
        return None
    ctx.scored = True
    found = record(ctx, Score, node, "score")
    _check_scoring(ctx, node)
    if found and found.fewshot_as_multiturn and not found.apply_chat_template:
        ctx.add(
            "fewshot_as_multiturn needs the chat template",
            node.entries["fewshot_as_multiturn"],
            why="without it prompts are plain text, which has no turns",
            hint="add apply_chat_template: true",
        )
    if found is None:
        return None
    tasks = node.entries["tasks"].items
    for name, count in Counter(found.tasks).items():
        if count > 1:
            ctx.add(f"the task {name!r} is there {count} times", [task for task in tasks if task.value == name][1])
    return found


def _check_scoring(ctx: Context, node: Node) -> None:
    """Notes tasks and backends that there are not, whatever else is wrong beside them."""
    if ctx.scoring is None:
        return
    given = node.entries.get("tasks")
    root = ctx.problems.file.parent
    tasks = {item.value: item for item in (given.items if given else ()) if isinstance(item.value, str)}
    for name, problem in ctx.scoring.wrong_tasks(list(tasks), root):
        ctx.problems.place(problem, tasks[name])
    backend = node.entries.get("backend")
    own = "environment" in node.entries  # what can be had there, only building it shows
    if backend is not None and not own and backend.value in get_args(Score.model_fields["backend"].annotation):
        unusable = ctx.scoring.check_backend(str(backend.value))
        if unusable is not None:
            ctx.problems.place(unusable, backend)
    known = [ctx.scoring.task_metrics(name, root) for name in tasks]
    ctx.metrics = {task: marks for one in known for task, marks in one.items()}
    ctx.every_task = bool(known) and all(known)


def read_decide(ctx: Context, node: Node, score: Score | None) -> Decide | None:
    """What the answer maximises or minimises, and the bounds it keeps."""
    told = set()  # entries of which everything has been said that the record would say
    for american, spelling in (("maximize", "maximise"), ("minimize", "minimise")):
        if american in node.entries:
            ctx.add(f"unknown key in decide: {american!r}", node.keys[american], hint=f"it is spelled {spelling}")
            told.add(american)
    keep = node.entries.get("keep")
    bounds = [_bound(ctx, name, bound) for name, bound in keep.entries.items()] if keep else []
    if not all(bounds):
        told.add("keep")
    found = record(ctx, Decide, _without(node, told) if told else node, "decide")
    goals = [key for key in ("maximise", "minimise", "maximize", "minimize") if key in node.entries]
    if found and (len(goals) != 1 or node.entries[goals[0]].value is None):
        ctx.add("decide needs exactly one of maximise, minimise", node, hint="e.g. maximise: score.arithmetic_mc.acc")
    for goal in goals:
        if isinstance(node.entries[goal].value, str):
            check_metric(ctx, node.entries[goal].raw, node.entries[goal], score)
    for name, place in keep.keys.items() if keep else ():
        check_metric(ctx, name, place, score)
    return found


def check_metric(ctx: Context, name: str, at: Node | Place, score: Score | None) -> None:
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
    task, _, marked = name.removeprefix("score.").rpartition(".")
    marks = ctx.metrics.get(task)
    if marks is not None:
        if marked not in marks:
            ctx.unknown(f"metric of {task}:", marked, marks, at)
        return
    if score is None and ctx.scored:
        return  # something is wrong with `score` itself, and has been said
    if score is None:
        ctx.add(
            f"{name} is never measured: this suite has no `score`",
            at,
            hint="add score: {tasks: [" + name.split(".")[1] + "]}",
        )
        return
    if task in ctx.metrics or task in score.tasks or (ctx.scoring is not None and not ctx.every_task):
        return
    if ctx.scoring is None and any(_is_path(other) for other in score.tasks):
        return
    tasks = list(ctx.metrics) or score.tasks
    ctx.add(f"{name} is never measured: {task!r} is not among score.tasks", at, hint=did_you_mean(task, tasks))


def _is_path(task: str) -> bool:
    """Whether a task is named by its file, whose own `task:` may say another name."""
    return "/" in task or PurePath(task).suffix in (".yaml", ".yml")


def _bound(ctx: Context, name: str, node: Node) -> bool:
    """Whether it is a bound, and in the metric's unit; else that is noted."""
    if not isinstance(node.value, str):
        ctx.add(
            f"the bound of {name} must be text, not {is_a(node.plain())}",
            node,
            hint=f'write "<= {node.raw}" or ">= {node.raw}"',
        )
        return False
    try:
        bound = parse_bound(node.value)
    except ValueError as error:
        ctx.add(f"keep.{name}: {error}", node)
        return False
    known = metric(name)
    if known is not None and bound.unit and bound.unit != known.unit:
        ctx.add(f"{name} is in {known.unit}, not in {bound.unit}", node, hint=f'write "{bound.operator} <number>"')
        return False
    return True


def _without(node: Node, keys: Collection[str]) -> Node:
    """The mapping without some of its entries."""
    rest = Node({name: inner for name, inner in node.entries.items() if name not in keys}, node.place)
    rest.keys = node.keys
    return rest
