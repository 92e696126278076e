"""More replicates of cells that a plan has already: the same configuration, with seeds it has not run yet.

A trial's id is a hash of its cell and its seed, so a replicate that was added before is found again, and resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from harness.plan.identity import trial_id
from harness.records.plan import Cell, Plan, Trial


def with_more(plan: Plan, cells: Collection[str], seeds: Sequence[int]) -> Plan:
    """The plan, and after its own trials every one of these cells (of the matrix, by id) with every one of these seeds.

    They come interleaved (A B A B), the cells in the plan's order; a trial that the plan has is not added again.

    Raises:
        KeyError: the plan's matrix has no such cell.
    """
    chosen = _chosen(plan, cells)
    return _with(plan, [_trial(plan, cell, seed) for seed in seeds for cell in chosen])


def with_next(plan: Plan, cells: Collection[str], count: int = 1) -> Plan:
    """The same with the next seeds of each cell: those above the highest that the plan has of it.

    Raises:
        KeyError: the plan's matrix has no such cell.
    """
    for _ in range(count):
        plan = _with(plan, [_trial(plan, cell, next_seed(plan, cell.id)) for cell in _chosen(plan, cells)])
    return plan


def grown(plan: Plan, exists: Callable[[str], bool]) -> Plan:
    """The plan with the replicates that an earlier run added, where its suite asks for as many as it takes.

    `exists` tells by id whether there is a run folder. Those of a cell end at the first that there is not.
    """
    cells = {cell.id for cell in plan.cells if cell.kind == "cell"}
    while cells and plan.suite.replicates.until is not None:
        cells = {cell for cell in cells if len(seeds_of(plan, cell)) < plan.suite.replicates.most}
        cells = {cell for cell in cells if exists(trial_id(cell, next_seed(plan, cell)))}
        plan = with_next(plan, cells)
    return plan


def next_seed(plan: Plan, cell: str) -> int:
    """The smallest seed above those that the plan has of this cell and whose trial is no other's (a stage's)."""
    known = {trial.id for trial in plan.trials}
    seed = 1 + max((trial.seed for trial in plan.trials if trial.cell.id == cell), default=-1)
    while trial_id(cell, seed) in known:
        seed += 1
    return seed


def seeds_of(plan: Plan, cell: str) -> tuple[int, ...]:
    """The seeds that the plan has of a cell of its matrix, in running order."""
    return tuple(trial.seed for trial in plan.trials if trial.cell.id == cell and trial.cell.kind == "cell")


def _chosen(plan: Plan, cells: Collection[str]) -> list[Cell]:
    known = {cell.id: cell for cell in plan.cells if cell.kind == "cell"}
    for cell in cells:
        known[cell]
    return [cell for name, cell in known.items() if name in cells]


def _trial(plan: Plan, cell: Cell, seed: int) -> Trial:
    """A trial as `order.in_order` makes them; every replicate of a cell starts from the same stage trial."""
    needs = next((trial.needs for trial in plan.trials if trial.cell.id == cell.id), None)
    return Trial(id=trial_id(cell.id, seed), name=f"{cell.name}-s{seed}", cell=cell, seed=seed, needs=needs)


def _with(plan: Plan, trials: Sequence[Trial]) -> Plan:
    known = {trial.id for trial in plan.trials}
    return replace(plan, trials=(*plan.trials, *(trial for trial in trials if trial.id not in known)))
