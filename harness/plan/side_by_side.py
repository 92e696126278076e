"""The same cells in two environments as one plan, whose trials take turns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import InputError
from harness.methods.catalog import Catalog
from harness.plan.expand import expand
from harness.plan.selection import select
from harness.records.plan import Cell, Plan, Trial
from harness.records.suite import Replicates, Step, Suite

Key = tuple[tuple[tuple[str, str], ...], tuple[Step, ...]]
"""What makes a cell the same in two environments: its levels, and its place in the file."""


def key_of(cell: Cell) -> Key:
    """The cell's key."""
    return tuple(cell.levels.items()), cell.origin


def in_environment(
    declared: Suite, name: str, fields: Mapping[str, Any], *, called: str, seeds: Sequence[int], scored: bool
) -> Suite:
    """The suite in one environment, `fields` its declaration, under a name of its own, and for nothing but figures.

    Its stages stay where they are, so that cells in several environments start from the same weights.
    """
    own = {"environment": declared.base.environment}
    stages = {
        stage: setup if "environment" in setup.model_fields_set else setup.model_copy(update=own)
        for stage, setup in declared.stages.items()
    }
    score = declared.score.model_copy(update={"floor": False, "every": "end"}) if declared.score and scored else None
    return declared.model_copy(
        update={
            "name": called,
            "base": declared.base.model_copy(update={"environment": name}),
            "stages": stages,
            "environments": {**declared.environments, name: dict(fields)},
            "replicates": Replicates(seeds=list(seeds)),
            "score": score,
            "baseline": None,
            "decide": None,
            "claims": (),
        }
    )


def side(declared: Suite, catalog: Catalog, cells: Mapping[Key, str], ends: str) -> Plan:
    """The plan of some cells of a suite, with the stages they need; `cells` are their names, to which `ends` is added:
    two sides of one name would not be told apart.

    Raises:
        InputError: what is wrong with the cells, or one of them cannot be trained there.
    """
    whole = expand(declared, catalog)
    there = {key_of(cell): cell for cell in whole.cells if cell.kind == "cell"}
    left = [name for key, name in cells.items() if key not in there]
    if left:
        reasons = dict.fromkeys(excluded.reason for excluded in whole.excluded)
        raise InputError.of(f"{', '.join(left)} cannot be trained in it", why="; ".join(reasons) or None)
    plan = select(whole, [there[key].id for key in cells], ())
    return _renamed(plan, {there[key].id: f"{name}{ends}" for key, name in cells.items()})


def _renamed(plan: Plan, names: Mapping[str, str]) -> Plan:
    def cell(one: Cell) -> Cell:
        return replace(one, name=names[one.id]) if one.kind == "cell" else one

    def trial(one: Trial) -> Trial:
        if one.cell.kind != "cell":
            return one
        return replace(one, cell=cell(one.cell), name=f"{names[one.cell.id]}-s{one.seed}")

    chosen = {one.cell.id for one in plan.trials}
    return replace(
        plan,
        trials=tuple(trial(one) for one in plan.trials),
        cells=tuple(cell(one) for one in plan.cells if one.id in chosen),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Both:
    """Two sides in one plan. `cells` are the ids of each cell on both sides, by its key's name on the first."""

    plan: Plan
    cells: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, one: Plan, other: Plan, names: Mapping[Key, str]) -> Both:
        """Two sides of the same cells, by the names that both were made with; first the stages, then turn by turn."""
        ids = [{key_of(cell): cell.id for cell in plan.cells if cell.kind == "cell"} for plan in (one, other)]
        own = [[trial for trial in plan.trials if trial.cell.kind == "cell"] for plan in (one, other)]
        shared = [trial for plan in (one, other) for trial in plan.trials if trial.cell.kind != "cell"]
        turns = [trial for turn in zip(*own, strict=True) for trial in turn]
        trials = {trial.id: trial for trial in (*shared, *turns)}
        known = {**one.suite.environments, **other.suite.environments}
        return cls(
            plan=Plan(
                suite=one.suite.model_copy(update={"environments": known}),
                cells=tuple({(trial.cell.kind, trial.cell.id): trial.cell for trial in trials.values()}.values()),
                trials=tuple(trials.values()),
            ),
            cells={name: (ids[0][key], ids[1][key]) for key, name in names.items()},
        )

    def side(self, number: int) -> frozenset[str]:
        """The ids of the cells of the first (0) or second side (1)."""
        return frozenset(both[number] for both in self.cells.values())

    def ids(self, names: Collection[str]) -> list[str]:
        """The ids of these cells on both sides."""
        return [cell for name in names for cell in self.cells[name]]
