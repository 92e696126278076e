"""`harness baseline`: trials kept under a name, for others to be compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.records.baseline import Baseline
    from harness.store.baselines import Kept

app = typer.Typer(help="Trials kept for others to be compared with.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The baseline's name, e.g. h100-trl-1.16.")]
NameOrFile = Annotated[str, typer.Argument(metavar="NAME", help="The baseline's name, or its file.")]
Replace = Annotated[bool, typer.Option("--replace", help="Take the place of what is there under this name.")]
SuiteOrName = Annotated[str, typer.Argument(metavar="SUITE", help="A suite file, or the name of a suite with results.")]


@app.callback()
def _top() -> None:
    """Baselines: a suite's trials in one small file each, results/baselines/NAME.harness-baseline.

    A file can be committed, moved and taken in elsewhere. `harness check` compares new trials with one.
    """


@app.command("save")
def save(
    name: Name,
    suite: SuiteOrName,
    only: options.Only = None,
    skip: options.Skip = None,
    replace: Replace = False,
    results: options.Results = options.RESULTS,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Keep a suite's trials as a baseline.

    Kept are metrics, outcomes, configurations, environments, loss curves and the scores of single documents of every
    trial that has ended; of a suite file those of its cells and seeds. Nothing is overwritten without --replace.

    \b
    Example:
      harness baseline save h100-trl-1.16 suites/nightly.yaml
    """
    from harness import gating
    from harness.cli.output import print_json, say, wrapped
    from harness.cli.plain import PlainLines
    from harness.records.progress import Silent

    observer = Silent() if quiet else PlainLines()
    chosen = options.choice(only, skip)
    saved = gating.save(name, suite, chosen, options.places(results), observer, replace_=replace)
    if as_json:
        print_json({**_shown(saved.kept), "findings": list(saved.findings)})
    else:
        print(_sentence("saved", saved.kept))
    if not quiet:
        for finding in saved.findings:
            say(wrapped(f"note: {finding}", indent=2))


@app.command("list")
def list_(results: options.Results = options.RESULTS, as_json: options.Json = False) -> None:
    """List the baselines.

    \b
    Example:
      harness baseline list
    """
    from harness import gating
    from harness.cli.output import print_json, say, table

    found = gating.shelf(options.places(results)).list()
    if as_json:
        print_json([_shown(one) for one in found])
    elif found:
        table(_HEADS, [_row(one) for one in found], right=("cells", "trials", "size"))
    else:
        say("no baselines here; make one: harness baseline save NAME SUITE")


@app.command("show")
def show(name: NameOrFile, results: options.Results = options.RESULTS, as_json: options.Json = False) -> None:
    """Show what is in a baseline: where it ran, and each cell's figures.

    \b
    Example:
      harness baseline show h100-trl-1.16
    """
    from harness import gating
    from harness.cli.output import print_json

    baseline = gating.shelf(options.places(results)).load(name, curves=False)
    if as_json:
        print_json({"name": baseline.name, "devices": baseline.devices, **_content(baseline)})
    else:
        _print(baseline)


@app.command("export")
def export(
    name: NameOrFile,
    to: Annotated[Path, typer.Argument(metavar="TO", help="The file to write, or a folder.")] = Path(),
    replace: Replace = False,
    results: options.Results = options.RESULTS,
) -> None:
    """Copy a baseline to a file, to be committed or moved.

    \b
    Example:
      harness baseline export h100-trl-1.16 baselines/
    """
    from harness import gating

    print(gating.shelf(options.places(results)).export(name, to, replace=replace))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that was exported.")],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Under another name.")] = None,
    replace: Replace = False,
    results: options.Results = options.RESULTS,
    as_json: options.Json = False,
) -> None:
    """Take a baseline in from a file.

    \b
    Example:
      harness baseline import baselines/h100-trl-1.16.harness-baseline
    """
    from harness import gating
    from harness.cli.output import print_json

    kept = gating.shelf(options.places(results)).import_(file, name, replace=replace)
    if as_json:
        print_json(_shown(kept))
    else:
        print(_sentence("took in", kept))


@app.command("remove")
def remove(name: Name, results: options.Results = options.RESULTS) -> None:
    """Delete a baseline.

    \b
    Example:
      harness baseline remove h100-trl-1.15
    """
    from harness import gating

    print(f"removed {gating.shelf(options.places(results)).remove(name)}")


_HEADS = ("name", "suite", "cells", "trials", "device", "size")


def _row(one: Kept) -> list[Any]:
    from harness.records.units import format_size

    size = format_size(one.size)
    if one.problem is not None:
        return [one.name, "damaged", None, None, "see harness baseline show", size]
    return [one.name, one.suite, one.cells, one.trials, ", ".join(one.devices) or "unknown", size]


def _shown(one: Kept) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(one)


def _sentence(did: str, kept: Kept) -> str:
    from harness.cli.output import many
    from harness.records.units import format_size

    what = f"{many(kept.cells, 'cell')}, {many(kept.trials, 'trial')}, {format_size(kept.size)}"
    where = " and ".join(kept.devices) or "an unknown machine"
    return f"{did} baseline {kept.name}: {what}, of {where}\n  {kept.file}"


def _content(baseline: Baseline) -> dict[str, Any]:
    results = baseline.results
    return {
        "suite": results.suite,
        "question": results.question,
        "environments": results.environments,
        "trials": [
            {
                "id": trial.trial_id,
                "name": trial.name,
                "cell": trial.cell_name,
                "seed": trial.seed,
                "outcome": trial.outcome,
                "disturbed": trial.disturbed,
                "metrics": trial.metrics,
            }
            for trial in results.trials
        ],
    }


def _print(baseline: Baseline) -> None:
    from harness.cli.output import table, wrapped
    from harness.compare.comparison import usual_metrics
    from harness.records.figures import title

    results = baseline.results
    print(wrapped(f"baseline {baseline.name} of suite {results.suite}: {results.question}", indent=2))
    print(f"  on {' and '.join(baseline.devices) or 'an unknown machine'}")
    for content in results.environments.values():
        print(wrapped(f"  {_packages(content)}", indent=4))
    cells: dict[str, list[Any]] = {}
    for trial in results.trials:
        cells.setdefault(trial.cell_name, []).append(trial)
    figures = {
        title(name): [_middle(trials, name) for trials in cells.values()] for name in usual_metrics(results.trials)
    }
    for columns in _side_by_side({"cell": list(cells)}, {"runs": [_ends(one) for one in cells.values()], **figures}):
        print()
        table(list(columns), list(zip(*columns.values(), strict=True)), right=list(figures))


def _side_by_side(first: Mapping[str, list[Any]], others: Mapping[str, list[Any]]) -> Iterator[Mapping[str, list[Any]]]:
    """All columns, in as many tables as it takes for each to fit the terminal; every one begins with the first."""
    from harness.cli.output import fits

    taken = dict(first)
    for head, values in others.items():
        wider = {**taken, head: values}
        if len(taken) > len(first) and not fits(list(wider), list(zip(*wider.values(), strict=True))):
            yield taken
            wider = {**first, head: values}
        taken = wider
    yield taken


_PACKAGES = ("trl", "transformers", "torch", "peft")


def _packages(content: Any) -> str:
    packages = content.get("packages") or {}
    told = [f"{name} {packages[name]}" for name in _PACKAGES if name in packages]
    return ", ".join([f"Python {content.get('python', 'unknown')}", *told])


def _ends(trials: Sequence[Any]) -> str:
    from collections import Counter

    counts = Counter(trial.outcome for trial in trials)
    disturbed = sum(bool(trial.disturbed) for trial in trials if trial.outcome == "ok")
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) + (
        f" ({disturbed} disturbed)" if disturbed else ""
    )


def _middle(trials: Sequence[Any], name: str) -> str | None:
    """As verdicts take it: of undisturbed runs, where there are any."""
    from harness.compare.comparison import runs_of
    from harness.records.figures import said
    from harness.records.metrics import metric, middle

    known, runs = metric(name), runs_of(trials, name)
    values = [run.value for run in runs if not run.disturbed] or [run.value for run in runs]
    return said(name, middle(values, known.judged if known else "difference")) if values else None
