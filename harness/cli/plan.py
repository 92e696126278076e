"""`harness plan`: what would run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.plan import Row
    from harness.records.plan import Cell, Plan

_MOST = 200  # trials
_MOST_REASONS = 10
_MOST_NAMES = 3  # of cells that one reason excludes; above that they are counted
_SHORTEST = 24  # characters of a trial's name: with fewer it tells nothing


def plan(
    suite: options.SuiteFile,
    only: options.Only = None,
    skip: options.Skip = None,
    everything: Annotated[
        bool, typer.Option("--all", help=f"Every trial and reason, also past {_MOST} and {_MOST_REASONS}.")
    ] = False,
    results: options.Results = options.RESULTS,
    as_json: options.Json = False,
) -> None:
    """Show what would run, and what is finished already.

    Every trial in running order, what it will hold on a CUDA device, what is excluded and why. Nothing runs.

    \b
    Example:
      harness plan suites/quickstart.yaml --only 'dpo-*'
    """
    from harness import pipeline
    from harness.cli import failure
    from harness.cli.output import print_json, wrapped
    from harness.plan import counts, rows, to_json
    from harness.plan.estimates import estimates
    from harness.suite import catalog_of

    places = options.places(results)
    planned = pipeline.planned(suite, options.choice(only, skip), places)
    known = pipeline.states(planned, places)
    most = None if everything else _MOST
    shown = planned.cells if as_json else {id(trial.cell): trial.cell for trial in planned.trials[:most]}.values()
    predicted = estimates(shown, planned.suite.file.parent, catalog_of(planned.suite))
    if as_json:
        print_json(to_json(planned, known, predicted))
        return
    failure.print_problems(planned.warnings, "warning")
    print(wrapped(f"{planned.suite.name}: {planned.suite.question}") + "\n")
    _print_trials(planned, rows(planned, known, predicted), most)
    _print_environments(planned)
    _print_excluded(planned, None if everything else _MOST_REASONS)
    print("\n" + _totals(counts(planned, known)))


def _print_trials(planned: Plan, all_rows: Sequence[Row], most: int | None) -> None:
    from harness.cli.output import fits, table

    shown = all_rows[:most]
    for columns in _layouts(planned, shown):
        cells = [list(cell) for cell in zip(*columns.values(), strict=True)]
        if fits(list(columns), cells):
            break
    else:  # not even the narrowest does
        _cut_names(list(columns), cells)
    table(list(columns), cells, right=["seed", "memory"])
    _print_rest(len(all_rows), most, "trials")
    _print_about_memory(shown, told="memory" in columns)


def _layouts(planned: Plan, shown: Sequence[Row]) -> Iterator[dict[str, list[Any]]]:
    """Tables by column, the widest first: with what is worth a column, with what differs, with what nothing else tells.

    A trial's name ends with its seed, and the last line of the plan counts the states.
    """
    names = {"trial": [row.name for row in shown]}
    levels = {axis: [row.levels.get(axis, "") for row in shown] for axis in _untold(planned)}
    seed = {"seed": [row.seed for row in shown]}
    starts = {"starts from": [row.needs or "" for row in shown]}
    memory = {"memory": [_memory(row) for row in shown]} if any(_device(row) is not None for row in shown) else {}
    state = {"state": [row.state for row in shown]}
    yield {**names, **levels, **seed, **(starts if any(row.needs for row in shown) else {}), **memory, **state}
    yield {**names, **_differing(seed), **_differing(starts), **memory, **state}
    yield {**names, **_differing(starts), **memory, **_differing(state)}


def _differing(column: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {name: values for name, values in column.items() if len(set(values)) > 1}


def _untold(planned: Plan) -> list[str]:
    """Axes whose levels do not show in the names of the matrix's cells, as where names were cut.

    What an included cell sets beyond the axes is never a column: its own name says what it is there for.
    """
    from harness.plan.naming import level_tokens

    tokens = level_tokens(planned.suite)
    matrix = [cell for cell in planned.cells if cell.kind == "cell" and not cell.origin]

    def tells(cell: Cell, axis: str) -> bool:
        told = tokens[axis].get(cell.levels[axis], ()) if axis in cell.levels else ("",)
        return any(not token or f"-{token}-" in f"-{cell.name}-" for token in told)  # what is off has an empty token

    return [axis.name for axis in planned.suite.matrix if not all(tells(cell, axis.name) for cell in matrix)]


def _cut_names(columns: Sequence[str], cells: list[list[Any]]) -> None:
    """Takes the middle out of long names, unless two of them would look alike or somebody collects the output."""
    import os
    import sys

    from harness.cli.output import room, shortened

    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return
    names = [shortened(row[0], max(room(columns, cells), _SHORTEST)) for row in cells]
    if len(set(names)) == len({row[0] for row in cells}):
        for row, name in zip(cells, names, strict=True):
            row[0] = name


def _device(row: Row) -> int | None:
    return (row.predicted_memory or {}).get("device")


def _memory(row: Row) -> str | None:
    from harness.records.units import format_size

    device = _device(row)
    if device is None:
        return None
    return f"≤ {format_size(device)}" if row.loosely_predicted else format_size(device)


def _print_about_memory(shown: Sequence[Row], *, told: bool) -> None:
    """What the column of predictions means, and why some rows have none."""
    from harness.cli.output import many, wrapped

    if told:
        print(
            "\n"
            + wrapped("memory: what a CUDA device will hold, as predicted for the largest batches (docs/measuring.md)")
        )
    loose = {row.loosely_predicted: row for row in shown if row.loosely_predicted}
    for said in loose if told else ():
        print(wrapped(f"≤, far above what real batches take: {said}", indent=2))
    reasons: dict[str, set[str]] = {}
    for row in shown:
        if row.not_predicted and row.kind != "floor":
            reasons.setdefault(row.not_predicted, set()).add(row.cell_id)
    for reason, cells in reasons.items():
        print(wrapped(f"no memory predicted for {many(len(cells), 'cell')}: {reason}", indent=2))


def _print_environments(planned: Plan) -> None:
    """The environments that trials are trained in beside the harness's own, and whether they are built."""
    from harness.cli.output import wrapped

    names = dict.fromkeys(trial.cell.config.get("environment") for trial in planned.trials)
    told = [_environment(planned, name) for name in names if name is not None]
    if told:
        print("\n" + wrapped(f"environments: {'; '.join(told)}", indent=2))


def _environment(planned: Plan, name: str) -> str:
    from harness import environments
    from harness.suite import declaration

    declared = declaration(name, planned.suite.environments[name])
    built = environments.find(declared)
    if built is None:
        return f"{name} (not built; run builds it)"
    held = {package: version for package in declared.named() if (version := built.version(package))}
    other = [f"{package} {version}" for package, version in held.items() if version != _own_version(package)]
    return f"{name} ({', '.join(other) or 'what it names is as the harness has it'}; lock {built.lock.lock_hash[:12]})"


def _own_version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _print_excluded(planned: Plan, most: int | None) -> None:
    """What does not run, the cells of one reason together, as the report has it."""
    from harness.cli.output import many, wrapped

    by_reason: dict[str, list[str]] = {}
    for excluded in planned.excluded:
        by_reason.setdefault(excluded.reason, []).append(excluded.name)
    if not by_reason:
        return
    print("\nexcluded:")
    for reason, names in list(by_reason.items())[:most]:
        print(wrapped(f"  {_several(names)}: {reason}", indent=4))
    rest = list(by_reason.values())[most:] if most is not None else []
    if rest:
        cells = many(sum(map(len, rest)), "cell")
        print(f"… and {cells} more for {many(len(rest), 'other reason')}; see them with --all or --json")


def _several(names: Sequence[str]) -> str:
    """A few names, or how many there are and the first of them."""
    return ", ".join(names) if len(names) <= _MOST_NAMES else f"{len(names):,} cells, {names[0]} the first"


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
