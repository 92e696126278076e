"""`harness plan`: what would run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.records.outcome import Outcome
    from harness.records.plan import Plan, Trial

_MOST = 200


def plan(
    suite: options.SuiteFile,
    only: options.Only = None,
    skip: options.Skip = None,
    everything: Annotated[bool, typer.Option("--all", help=f"Every row, also past {_MOST}.")] = False,
    results: options.Results = options.RESULTS,
    as_json: options.Json = False,
) -> None:
    """Show what would run, and what is finished already.

    Every trial in running order, what is excluded and why. Nothing runs.

    \b
    Example:
      harness plan suites/quickstart.yaml --only 'dpo-*'
    """
    from harness import pipeline
    from harness.cli import failure
    from harness.cli.output import print_json

    planned = pipeline.planned(suite, options.choice(only, skip))
    known = pipeline.states(planned, options.places(results))
    if as_json:
        print_json(_document(planned, known))
        return
    failure.print_problems(planned.warnings, "warning")
    most = None if everything else _MOST
    print(f"{planned.suite.name}: {planned.suite.question}\n")
    _print_trials(planned, known, most)
    _print_excluded(planned, most)
    finished = sum(outcome.outcome == "ok" for outcome in known.values())
    print(f"\n{len(planned.cells)} cells, {len(planned.trials)} trials, {finished} finished")


def _print_trials(planned: Plan, known: Mapping[str, Outcome], most: int | None) -> None:
    from harness.cli.output import table

    names = {trial.id: trial.name for trial in planned.trials}
    axes = _axes(planned)
    rows = [
        [
            trial.name,
            trial.cell.kind,
            *(trial.cell.levels.get(axis, "") for axis in axes),
            trial.seed,
            names.get(trial.needs, trial.needs) if trial.needs else "",
            _state(trial, known),
        ]
        for trial in planned.trials[:most]
    ]
    table(["trial", "kind", *axes, "seed", "starts from", "state"], rows, right=["seed"])
    _print_rest(len(planned.trials), most, "trials")


def _print_excluded(planned: Plan, most: int | None) -> None:
    if not planned.excluded:
        return
    print("\nexcluded:")
    for excluded in planned.excluded[:most]:
        print(f"  {excluded.name}: {excluded.reason}")
    _print_rest(len(planned.excluded), most, "excluded")


def _print_rest(count: int, most: int | None, what: str) -> None:
    if most is not None and count > most:
        print(f"… and {count - most:,} more {what}; see them with --all or --json")


def _axes(planned: Plan) -> list[str]:
    """Axis names in order of appearance."""
    return list(dict.fromkeys(axis for cell in planned.cells for axis in cell.levels))


def _state(trial: Trial, known: Mapping[str, Outcome]) -> str:
    outcome = known.get(trial.id)
    return outcome.outcome if outcome else "to run"


def _document(planned: Plan, known: Mapping[str, Outcome]) -> dict[str, Any]:
    from harness.plan import to_json

    document = dict(to_json(planned))
    for row in document["trials"]:
        outcome = known.get(row["id"])
        row["state"] = outcome.outcome if outcome else None
    return document
