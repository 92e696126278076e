"""`harness plan`: what would run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.plan import Row
    from harness.records.plan import Plan

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

    Every trial in running order, what it will hold on a CUDA device at most, what is excluded and why. Nothing runs.

    \b
    Example:
      harness plan suites/quickstart.yaml --only 'dpo-*'
    """
    from harness import pipeline
    from harness.cli import failure
    from harness.cli.output import print_json, wrapped
    from harness.methods import catalog
    from harness.plan import counts, rows, to_json
    from harness.plan.estimates import estimates

    planned = pipeline.planned(suite, options.choice(only, skip))
    known = pipeline.states(planned, options.places(results))
    most = None if everything else _MOST
    shown = planned.cells if as_json else {id(trial.cell): trial.cell for trial in planned.trials[:most]}.values()
    predicted = estimates(shown, planned.suite.file.parent, catalog.load())
    if as_json:
        print_json(to_json(planned, known, predicted))
        return
    failure.print_problems(planned.warnings, "warning")
    print(wrapped(f"{planned.suite.name}: {planned.suite.question}") + "\n")
    _print_trials(rows(planned, known, predicted), most)
    _print_excluded(planned, most)
    print("\n" + _totals(counts(planned, known)))


def _print_trials(all_rows: Sequence[Row], most: int | None) -> None:
    from harness.cli.output import table

    shown = all_rows[:most]
    axes = list(dict.fromkeys(axis for row in shown for axis in row.levels))
    starts = ["starts from"] if any(row.needs for row in shown) else []
    memory = ["memory"] if any(_device(row) is not None for row in shown) else []
    cells = [
        [
            row.name,
            *(row.levels.get(axis, "") for axis in axes),
            row.seed,
            *(row.needs or "" for _ in starts),
            *(_memory(row) for _ in memory),
            row.state,
        ]
        for row in shown
    ]
    table(["trial", *axes, "seed", *starts, *memory, "state"], cells, right=["seed", *memory])
    _print_rest(len(all_rows), most, "trials")
    _print_about_memory(shown, told=bool(memory))


def _device(row: Row) -> int | None:
    return (row.predicted_memory or {}).get("device")


def _memory(row: Row) -> str | None:
    from harness.records.units import format_size

    device = _device(row)
    return None if device is None else format_size(device)


def _print_about_memory(shown: Sequence[Row], *, told: bool) -> None:
    """What the column of predictions means, and why some rows have none."""
    from harness.cli.output import many, wrapped

    if told:
        print("\n" + wrapped("memory: what a CUDA device holds at most, as predicted (docs/measuring.md)"))
    reasons: dict[str, set[str]] = {}
    for row in shown:
        if row.not_predicted and row.kind != "floor":
            reasons.setdefault(row.not_predicted, set()).add(row.cell_id)
    for reason, cells in reasons.items():
        print(wrapped(f"no memory predicted for {many(len(cells), 'cell')}: {reason}", indent=2))


def _print_excluded(planned: Plan, most: int | None) -> None:
    from harness.cli.output import wrapped

    if not planned.excluded:
        return
    print("\nexcluded:")
    for excluded in planned.excluded[:most]:
        print(wrapped(f"  {excluded.name}: {excluded.reason}", indent=4))
    _print_rest(len(planned.excluded), most, "excluded")


def _print_rest(count: int, most: int | None, what: str) -> None:
    if most is not None and count > most:
        print(f"… and {count - most:,} more {what}; see them with --all or --json")


def _totals(counted: Mapping[str, int]) -> str:
    """`6 cells, 1 stage, 1 floor; 14 trials: 3 finished, 11 to run`, what there is none of left out."""
    from harness.cli.output import many

    parts = [many(counted[name], name[:-1]) for name in ("cells", "stages", "floors") if counted[name]]
    states = [
        f"{counted[name]:,} {name.replace('_', ' ')}" for name in ("finished", "failed", "to_run") if counted[name]
    ]
    return f"{', '.join(parts)}; {many(counted['trials'], 'trial')}: {', '.join(states)}"
