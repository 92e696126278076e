"""Trials of one cell → one row: mean and sample standard deviation over its seeds."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.compare.memory import peak_phases
from harness.records.plan import Cell, Plan, Trial
from harness.records.results import CellSummary, Spread, SuiteResults, TrialResult

MISSING = "missing"
DIVERGED = "diverged"
"""The finding of a training that a suite with `limits.diverged: report` lets go on."""
_ORDER = {"floor": 0, "stage": 1, "cell": 2}


def measured(results: SuiteResults, plan: Plan) -> tuple[TrialResult, ...]:
    """One result per trial of the plan, in the plan's order; a trial that never ran has no outcome and no metrics.

    Names, levels, kind and what is expected are the plan's: a trial kept its id while the suite around it may have
    changed.
    """
    found = {trial.trial_id: trial for trial in results.trials}
    return tuple(_of_trial(trial, found.get(trial.id)) for trial in plan.trials)


def _of_trial(trial: Trial, found: TrialResult | None) -> TrialResult:
    cell = trial.cell
    planned: dict[str, Any] = {
        "trial_id": trial.id,
        "cell_id": cell.id,
        "name": trial.name,
        "cell_name": cell.name,
        "kind": cell.kind,
        "levels": cell.levels,
        "seed": trial.seed,
        "method": cell.config.get("method"),
    }
    if found is not None:
        return replace(found, **planned, config={**found.config, "expect": trial.expect})
    never: dict[str, Any] = dict.fromkeys(("outcome", "phase", "cause", "environment"))
    return TrialResult(**planned, **never, attempts=0, metrics={})


def summarise(trials: Sequence[TrialResult], plan: Plan) -> tuple[CellSummary, ...]:
    """One summary per cell of the plan: floors, stages, then the matrix, each in the plan's order.

    Only trials that ended `ok` count towards the metrics; the others are counted in `outcomes`.
    """
    by_cell: dict[tuple[str, str], list[TrialResult]] = {}
    for trial in trials:
        by_cell.setdefault((trial.kind, trial.cell_id), []).append(trial)
    cells = sorted(plan.cells, key=lambda cell: _ORDER[cell.kind])
    return tuple(_of_cell(cell, by_cell.get((cell.kind, cell.id), [])) for cell in cells)


def _of_cell(cell: Cell, trials: Sequence[TrialResult]) -> CellSummary:
    fine = [trial for trial in trials if trial.outcome == "ok"]
    return CellSummary(
        cell_id=cell.id,
        name=cell.name,
        kind=cell.kind,
        levels=cell.levels,
        seeds=tuple(trial.seed for trial in trials),
        outcomes=dict(Counter(trial.outcome or MISSING for trial in trials)),
        metrics=_spreads(trial.metrics for trial in fine),
        config=cell.config,
        disturbed=tuple(trial.seed for trial in fine if trial.disturbed),
        diverged=tuple(trial.seed for trial in fine if any(found.name == DIVERGED for found in trial.findings)),
        peak_phases=peak_phases(fine),
    )


def _spreads(figures: Iterable[Mapping[str, float]]) -> dict[str, Spread]:
    values: dict[str, list[float]] = {}
    for metrics in figures:
        for name, value in metrics.items():
            values.setdefault(name, []).append(value)
    return {name: spread(found) for name, found in values.items()}


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation (Bessel's n − 1) of at least one value; not finite where a value is not."""
    if not all(math.isfinite(value) for value in values):
        mean = sum(values)  # NaN, or the infinity: statistics refuses them
        sd = math.nan if len(values) > 1 else None
        return Spread(n=len(values), mean=mean, sd=sd, low=min(values), high=max(values))
    mean = statistics.fmean(values)
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Spread(n=len(values), mean=mean, sd=sd, low=min(values), high=max(values))
