"""Cells become trials, in the order they run.

First what others start from, each before what needs it; then the floors; then the replicates interleaved: every cell
with the first seed, every cell with the second (A B A B), so that a machine that drifts drifts for all cells alike.
Cells that differ in their environment alone are to be compared, and run one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.plan.canonical import canonical
from harness.plan.draft import Draft
from harness.plan.identity import trial_id
from harness.records.plan import Cell, Trial


def first_stages(cells: Iterable[Draft]) -> list[Draft]:
    """Every stage that some cell needs, once, each after the stages it needs itself.

    Stages with the same id and seed are one training: the first of them stands for all.
    """
    found: dict[tuple[str, int], Draft] = {}
    for cell in cells:
        chain = []
        stage = cell.needs
        while stage is not None:
            chain.append(stage)
            stage = stage.needs
        for stage in reversed(chain):
            found.setdefault((stage.id, stage.seed), stage)
    return list(found.values())


def cell_of(draft: Draft) -> Cell:
    """The finished noun of a draft that has its id and its name."""
    return Cell(
        id=draft.id,
        name=draft.name,
        kind=draft.kind,
        levels=draft.levels,
        config=draft.config,
        needs=draft.needs.id if draft.needs is not None else None,
        origin=draft.origin,
    )


def in_order(
    stages: Sequence[Draft], floors: Sequence[Draft], cells: Sequence[Draft], seeds: Sequence[int]
) -> tuple[tuple[Cell, ...], tuple[Trial, ...]]:
    """Cells and trials, in running order.

    A stage that comes out as a cell of the matrix with one of its seeds is that cell's trial, moved to the front.
    """
    made = {draft.id: cell_of(draft) for draft in cells}
    beside = _across_environments(cells)
    replicates = [_trial(made[draft.id], draft, seed, f"{draft.name}-s{seed}") for seed in seeds for draft in beside]
    known = {trial.id: trial for trial in replicates}
    front: dict[str, Trial] = {}
    extra: dict[str, Cell] = {}
    for draft in stages:
        trial = known.get(trial_id(draft.id, draft.seed))
        if trial is None:
            cell = extra.setdefault(draft.id, cell_of(draft))
            trial = _trial(cell, draft, draft.seed, draft.name)
        front[trial.id] = trial
    for draft in floors:
        extra[draft.id] = cell_of(draft)
        trial = _trial(extra[draft.id], draft, 0, draft.name)
        front[trial.id] = trial
    rest = [trial for trial in replicates if trial.id not in front]
    return (*extra.values(), *made.values()), (*front.values(), *rest)


def _across_environments(cells: Sequence[Draft]) -> list[Draft]:
    """The cells in their order, but those that differ in their environment alone beside the first of them."""
    if len({draft.config["environment"] for draft in cells}) < 2:
        return list(cells)
    alike: dict[str, list[Draft]] = {}
    for draft in cells:
        rest = {name: value for name, value in draft.config.items() if name != "environment"}
        alike.setdefault(canonical(rest), []).append(draft)
    return [draft for drafts in alike.values() for draft in drafts]


def _trial(cell: Cell, draft: Draft, seed: int, name: str) -> Trial:
    needs = trial_id(draft.needs.id, draft.needs.seed) if draft.needs is not None else None
    return Trial(id=trial_id(draft.id, seed), name=name, cell=cell, seed=seed, needs=needs)
