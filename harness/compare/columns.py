"""What the main table shows: which metrics, in which direction, and which cells are best on each."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from harness.records.figures import alike
from harness.records.metrics import OF_A_METHOD, Direction, metric
from harness.records.results import CellSummary
from harness.records.suite import Suite

_MAIN = ("acc", "exact_match", "acc_norm", "f1", "word_f1", "bleu", "rouge1", "word_perplexity", "perplexity")
"""lm-eval metrics by how much one of them says for a task that reports several; others follow by name."""

OF_THE_DEVICE = (
    *("peak_device_memory", "energy", "energy_per_token", "mean_power"),
    *("mean_device_utilization", "mean_sm_clock", "max_temperature"),
)
"""What the device itself is asked for, through NVML or a script in its place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What the cells are judged by. `stated` when the suite's `decide` says so, otherwise it was chosen for it."""

    metric: str
    better: Direction
    stated: bool


def goal_of(suite: Suite, cells: Sequence[CellSummary], members: Collection[str] = ()) -> Goal:
    """The metric of `decide`; without one the main score of the first task, else tokens per second.

    `members`: tasks of groups, for which their group speaks.
    """
    wanted = suite.decide
    if wanted and wanted.maximise:
        return Goal(metric=wanted.maximise, better="higher", stated=True)
    if wanted and wanted.minimise:
        return Goal(metric=wanted.minimise, better="lower", stated=True)
    scores = score_columns(suite, cells, (), members)
    chosen = scores[0] if scores else "tokens_per_second"
    known = metric(chosen)
    return Goal(metric=chosen, better=known.better if known else "higher", stated=False)


def score_columns(
    suite: Suite, cells: Sequence[CellSummary], named: Sequence[str], members: Collection[str] = ()
) -> tuple[str, ...]:
    """One score per task, the suite's tasks in their order; scores that `named` asks for are there too.

    A named score takes the place of the task's usual one. Tasks among `members` are left out unless named.
    """
    tasks: dict[str, list[str]] = {}
    for name in sorted({name for cell in cells for name in cell.metrics if name.startswith("score.")}):
        task, _, kind = name.removeprefix("score.").rpartition(".")
        tasks.setdefault(task, []).append(kind)
    asked = [PurePath(task).stem for task in suite.score.tasks] if suite.score else []
    order = sorted(tasks, key=lambda task: (asked.index(task) if task in asked else len(asked), task))
    columns: list[str] = []
    for task in order:
        wanted = [f"score.{task}.{kind}" for kind in tasks[task] if f"score.{task}.{kind}" in named]
        usual = [f"score.{task}.{min(tasks[task], key=_rank)}"] if task not in members else []
        columns += wanted or usual
    return tuple(columns)


def _rank(kind: str) -> tuple[int, str]:
    plain = kind.partition("@")[0]
    return (_MAIN.index(plain) if plain in _MAIN else len(_MAIN), kind)


def columns_of(
    suite: Suite, cells: Sequence[CellSummary], goal: Goal, members: Collection[str] = ()
) -> tuple[str, ...]:
    """Scores, reward margin, loss, speed, memory, time and start-up: those there are, and all that `decide` names."""
    present = {name for cell in cells for name in cell.metrics}
    named = (goal.metric, *(suite.decide.keep if suite.decide else ()))
    memory = "peak_device_memory" if "peak_device_memory" in present else "peak_host_memory"
    usual = ("final_reward_margin", "final_loss", "tokens_per_second", memory, "train_seconds", "startup_seconds")
    scores = score_columns(suite, cells, named, members)
    chosen = [*scores, *(name for name in named if name not in usual and name not in scores), *usual]
    return tuple(dict.fromkeys(name for name in chosen if name in present))


def directions_of(columns: Sequence[str], cells: Sequence[CellSummary], goal: Goal) -> dict[str, Direction]:
    """Which way is better; `none` also for losses and margins of several methods, which are different quantities.

    Start-up is shown and not judged, unless the suite asks for it: a busy disk moves it more than a cell does.
    """
    several = len(methods(cells)) > 1
    directions: dict[str, Direction] = {}
    for name in columns:
        known = metric(name)
        judged = known is not None and name != "startup_seconds" and not (several and name in OF_A_METHOD)
        directions[name] = known.better if known and judged else "none"
    if goal.stated and goal.metric in directions:
        directions[goal.metric] = goal.better
    return directions


def methods(cells: Sequence[CellSummary]) -> set[str]:
    """Training methods of the matrix."""
    return {str(cell.config.get("method")) for cell in cells if cell.kind == "cell"}


def of_several_methods(name: str, cells: Sequence[CellSummary]) -> bool:
    """Whether cells of the matrix have different quantities under this name, which nothing ranks."""
    return name in OF_A_METHOD and len(methods([cell for cell in cells if name in cell.metrics])) > 1


def best_of(
    columns: Sequence[str], directions: Mapping[str, Direction], cells: Sequence[CellSummary]
) -> dict[str, tuple[str, ...]]:
    """Per metric the cells of the matrix with the best mean, all whose mean reads the same; none below two cells."""
    best: dict[str, tuple[str, ...]] = {}
    for name in columns:
        means = {
            cell.name: cell.metrics[name].mean
            for cell in cells
            if cell.kind == "cell" and name in cell.metrics and math.isfinite(cell.metrics[name].mean)
        }
        if directions[name] == "none" or len(means) < 2 or of_several_methods(name, cells):
            continue
        top = max(means.values()) if directions[name] == "higher" else min(means.values())
        winners = tuple(cell for cell, mean in means.items() if alike(name, mean, top))
        if len(winners) < len(means):  # where all are alike, none is best
            best[name] = winners
    return best
