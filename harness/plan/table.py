"""The plan as rows for people and as JSON for scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.errors import Problem
from harness.models.memory import Prediction
from harness.plan.estimates import Key
from harness.records.outcome import Outcome
from harness.records.plan import Kind, Plan, Trial

_FAILED = {"oom", "diverged", "timeout", "crashed"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One trial. `state` is `finished`, `to run` or `failed: <outcome>`; `needs` names the trial it starts from,
    `environment` the suite's environment that it is trained in.

    `predicted_memory` are bytes by part, without the parts that are not predicted; `not_predicted` says why.
    `loosely_predicted` says what makes it a bound far above what real batches take.
    """

    name: str
    id: str
    kind: Kind
    cell: str
    cell_id: str
    levels: Mapping[str, str]
    seed: int
    state: str
    needs: str | None
    environment: str | None = None
    predicted_memory: Mapping[str, int] | None = None
    not_predicted: str | None = None
    loosely_predicted: str | None = None


def state_of(outcome: Outcome | None) -> str:
    """A trial's state by its outcome so far; what was interrupted, skipped or killed is still to run."""
    if outcome is None or outcome.killed or outcome.outcome in {"interrupted", "skipped"}:
        return "to run"
    return f"failed: {outcome.outcome}" if outcome.outcome in _FAILED else "finished"


Predicted = Mapping[Key, Prediction]
"""Predictions of memory by cell; empty where nobody asked for any."""


def rows(plan: Plan, finished: Mapping[str, Outcome], predicted: Predicted | None = None) -> list[Row]:
    """One row per trial, in running order; `finished` maps trial ids to the outcome that counts."""
    names = {trial.id: trial.name for trial in plan.trials}
    known = predicted or {}
    return [
        _row(trial, finished.get(trial.id), names, known.get((trial.cell.kind, trial.cell.id))) for trial in plan.trials
    ]


def _row(trial: Trial, outcome: Outcome | None, names: Mapping[str, str], predicted: Prediction | None) -> Row:
    return Row(
        name=trial.name,
        id=trial.id,
        kind=trial.cell.kind,
        cell=trial.cell.name,
        cell_id=trial.cell.id,
        levels=trial.cell.levels,
        seed=trial.seed,
        state=state_of(outcome),
        needs=names.get(trial.needs) if trial.needs is not None else None,
        environment=trial.cell.config.get("environment"),
        predicted_memory=predicted.to_json() if predicted else None,
        not_predicted=predicted.why if predicted else None,
        loosely_predicted=predicted.loose if predicted else None,
    )


def to_json(plan: Plan, finished: Mapping[str, Outcome], predicted: Predicted | None = None) -> dict[str, Any]:
    """The plan as a JSON object: suite, counts, trials in running order, excluded cells with reasons, warnings."""
    table = rows(plan, finished, predicted)
    return {
        "suite": plan.suite.name,
        "question": plan.suite.question,
        "file": str(plan.suite.file),
        "counts": counts(plan, finished),
        "trials": [{**asdict(row), "levels": dict(row.levels)} for row in table],
        "excluded": [{"name": left.name, "levels": dict(left.levels), "reason": left.reason} for left in plan.excluded],
        "warnings": [_problem(problem) for problem in plan.warnings],
    }


def counts(plan: Plan, finished: Mapping[str, Outcome]) -> dict[str, int]:
    """How many cells, stages, floors and trials there are, and how many trials are in which state."""
    kinds = Counter(cell.kind for cell in plan.cells)
    states = Counter(state_of(finished.get(trial.id)).partition(":")[0] for trial in plan.trials)
    return {
        "cells": kinds["cell"],
        "stages": kinds["stage"],
        "floors": kinds["floor"],
        "trials": len(plan.trials),
        "finished": states["finished"],
        "to_run": states["to run"],
        "failed": states["failed"],
        "excluded": len(plan.excluded),
    }


def _problem(problem: Problem) -> dict[str, str | None]:
    where = str(problem.where) if problem.where else None
    return {"what": problem.what, "where": where, "why": problem.why, "hint": problem.hint}
