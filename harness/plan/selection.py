"""Choosing trials of a plan by name, without losing what they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from harness.errors import Problem, SelectionError, did_you_mean
from harness.records.plan import Plan, Trial


def select(plan: Plan, only: Sequence[str], skip: Sequence[str]) -> Plan:
    """The plan with the trials that `only` chooses (all when empty) and `skip` does not, and the stages they need.

    Patterns are shell globs over trial names, cell names, trial ids and cell ids. A stage that a chosen trial starts
    from stays, even where `skip` names it: it is trained unless it is finished.

    Raises:
        SelectionError: a pattern that matches no trial, or nothing left to run.
    """
    if not only and not skip:
        return plan
    matched = {pattern: {trial.id for trial in plan.trials if _matches(pattern, trial)} for pattern in [*only, *skip]}
    _refuse([pattern for pattern, ids in matched.items() if not ids], plan)
    wanted = set[str]().union(*(matched[pattern] for pattern in only)) if only else {trial.id for trial in plan.trials}
    wanted -= set[str]().union(*(matched[pattern] for pattern in skip))
    if not wanted:
        said = " ".join([*(f"--only {pattern!r}" for pattern in only), *(f"--skip {pattern!r}" for pattern in skip)])
        raise SelectionError.of(f"{said} leaves no trial", hint="see `harness plan` for the names of the trials")
    return _narrowed(plan, _with_needed(plan, wanted))


def _matches(pattern: str, trial: Trial) -> bool:
    return any(fnmatchcase(name, pattern) for name in (trial.name, trial.cell.name, trial.id, trial.cell.id))


def _refuse(patterns: Iterable[str], plan: Plan) -> None:
    names = {name for trial in plan.trials for name in (trial.name, trial.cell.name)}
    problems = [
        Problem(
            what=f"{pattern!r} matches no trial of suite {plan.suite.name!r}",
            hint=did_you_mean(pattern.strip("*?"), names) + "; see `harness plan` for all",
        )
        for pattern in patterns
    ]
    if problems:
        raise SelectionError(problems=problems)


def _with_needed(plan: Plan, wanted: set[str]) -> set[str]:
    needs = {trial.id: trial.needs for trial in plan.trials}
    closed = set(wanted)
    for trial in wanted:
        stage = needs[trial]
        while stage is not None and stage not in closed:
            closed.add(stage)
            stage = needs[stage]
    return closed


def _narrowed(plan: Plan, ids: set[str]) -> Plan:
    trials = tuple(trial for trial in plan.trials if trial.id in ids)
    cells = {(trial.cell.id, trial.cell.kind) for trial in trials}
    kept = tuple(cell for cell in plan.cells if (cell.id, cell.kind) in cells)
    return replace(plan, cells=kept, trials=trials)
