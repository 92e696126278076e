"""`harness list`: suites, their trials, and the names a suite may use."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.cli.trials import Found

_SHIPPED = Path("suites")
_SPARE = ("kind", "seed", "attempts", "loss")
"""Columns of trials that a narrow terminal can do without, the first to go first; `harness show` has them all."""
_DISTURBED = "disturbed"
"""Counted beside the outcomes: a trial that ended ok may be disturbed as well."""


def list_(
    suite: Annotated[str | None, typer.Argument(metavar="SUITE", help="Name of a suite: list its trials.")] = None,
    tasks: Annotated[bool, typer.Option("--tasks", help="Scoring tasks that ship.")] = False,
    methods: Annotated[bool, typer.Option("--methods", help="Training methods.")] = False,
    shapes: Annotated[bool, typer.Option("--shapes", help="Published architectures by name.")] = False,
    sources: Annotated[bool, typer.Option("--sources", help="Data sources made in place.")] = False,
    results: options.Results = options.RESULTS,
    as_json: options.Json = False,
) -> None:
    """List suites, the trials of one, or names a suite may use.

    Suites are those in suites/ and those with results.

    \b
    Examples:
      harness list
      harness list quickstart
      harness list --tasks
    """
    from harness.cli.output import print_json, table
    from harness.errors import InputError

    asked = [name for name, flag in zip(_NAMES, (tasks, methods, shapes, sources), strict=True) if flag]
    if len(asked) + (suite is not None) > 1:
        raise InputError.of(
            "one list at a time", hint="give a suite, or one of --tasks, --methods, --shapes, --sources"
        )
    if asked:
        rows = _NAMES[asked[0]]()
    elif suite is not None:
        rows = _trials(results, suite)
    else:
        rows = _suites(results)
    if not as_json and not any(row.get("disturbed") for row in rows):
        rows = [{name: value for name, value in row.items() if name != "disturbed"} for row in rows]
    if as_json:
        print_json(rows)
    elif rows:
        table(*narrowed(rows), right=_FIGURES)
    else:
        typer.echo("no suites here; make one: harness init suite.yaml", err=True)


def narrowed(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Heads and cells; on a terminal without the columns that there is no room for, so that names can be copied."""
    from harness.cli.output import fits

    names, spare = list(rows[0]), [name for name in _SPARE if name in rows[0]]
    while True:
        heads = [_HEADS.get(name, name) for name in names]
        cells = [[_shown(name, row[name]) for name in names] for row in rows]
        if not spare or not sys.stdout.isatty() or fits(heads, cells):
            return heads, cells
        names.remove(spare.pop(0))


def _shown(name: str, value: Any) -> Any:
    """Large numbers in groups of thousands; JSON has them plain."""
    return f"{value:,}" if name in _GROUPED and isinstance(value, int) else value


def _suites(results: Path) -> list[dict[str, Any]]:
    """Suites by file and by results; a file that cannot be read says so and does not hide the others."""
    from harness import suite
    from harness.cli.trials import everything
    from harness.errors import HarnessError

    counts: dict[str, Counter[str]] = {}
    newest: dict[str, Found] = {}
    for trial in everything(results):
        outcome = trial.folder.outcome()
        counts.setdefault(trial.suite, Counter())[outcome.outcome if outcome else "unfinished"] += 1
        counts[trial.suite][_DISTURBED] += bool(outcome and outcome.disturbed)
        if trial.suite not in newest or _written(newest[trial.suite]) < _written(trial):
            newest[trial.suite] = trial
    rows = []
    for file in sorted([*_SHIPPED.glob("*.yaml"), *_SHIPPED.glob("*.yml")]):
        try:
            loaded = suite.load(file)
        except HarnessError:
            rows.append(_suite_row(file.stem, file, {}, f"wrong: see harness validate {file}"))
            continue
        rows.append(_suite_row(loaded.name, file, counts.pop(loaded.name, {}), loaded.question))
    return rows + [_by_its_folders(newest[name], count) for name, count in sorted(counts.items())]


def _written(trial: Found) -> float:
    return trial.folder.spec_file.stat().st_mtime


def _by_its_folders(newest: Found, counts: Mapping[str, int]) -> dict[str, Any]:
    """A suite whose file is not here, told by the run folder written last."""
    file = newest.spec.get("suite_file")
    return _suite_row(newest.suite, Path(file) if file else None, counts, str(newest.spec.get("question") or ""))


def _suite_row(name: str, file: Path | None, counts: Mapping[str, int], question: str) -> dict[str, Any]:
    disturbed = counts.get(_DISTURBED, 0)
    done = {"trials": sum(counts.values()) - disturbed, "ok": counts.get("ok", 0), "disturbed": disturbed}
    return {"suite": name, "file": str(file) if file else None, **done, "question": question}


def _trials(results: Path, suite: str) -> list[dict[str, Any]]:
    from harness.cli.trials import everything

    rows = []
    for trial in everything(results, suite):
        outcome = trial.folder.outcome()
        rows.append(
            {
                "name": trial.name,
                "id": trial.id,
                "kind": trial.spec.get("kind"),
                "seed": trial.spec.get("seed"),
                "outcome": outcome.outcome if outcome else None,
                "disturbed": len(outcome.disturbed) if outcome else 0,
                "attempts": len(trial.folder.attempts()),
                "loss": outcome.summary.get("final_loss") if outcome else None,
                "tokens_per_second": outcome.summary.get("tokens_per_second") if outcome else None,
            }
        )
    return sorted(rows, key=lambda row: str(row["name"]))


def _tasks() -> list[dict[str, Any]]:
    from harness.score import TASKS

    return [
        {
            "task": task.name,
            "source": task.source,
            "metric": task.metric,
            "chance": task.chance,
            "says": task.description,
        }
        for task in TASKS.values()
    ]


def _methods() -> list[dict[str, Any]]:
    from harness.methods import METHODS

    return [
        {"method": name, "says": method.title, "formats": ", ".join(method.formats)} for name, method in METHODS.items()
    ]


def _shapes() -> list[dict[str, Any]]:
    from harness.models import SHAPES

    return [
        {
            "shape": name,
            "parameters": shape.parameters,
            "layers": shape.config.get("num_hidden_layers"),
            "hidden": shape.config.get("hidden_size"),
            "source": shape.source,
        }
        for name, shape in SHAPES.items()
    ]


def _sources() -> list[dict[str, Any]]:
    from harness.data import SOURCES

    return [
        {"source": name, "says": source.says, "options": ", ".join(source.options)} for name, source in SOURCES.items()
    ]


_NAMES = {"tasks": _tasks, "methods": _methods, "shapes": _shapes, "sources": _sources}
_GROUPED = ("parameters", "hidden", "trials", "ok")
_HEADS = {"tokens_per_second": "tokens/s"}
_FIGURES = ("trials", "ok", "disturbed", "seed", "attempts", "loss", "tokens/s", *_GROUPED[:2], "layers", "chance")
