"""`harness validate`: are these suites right?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.errors import HarnessError, Problem
    from harness.records.plan import Plan


def validate(
    suites: Annotated[list[Path], typer.Argument(metavar="SUITE", help="Suites to check.")],
    as_json: options.Json = False,
) -> None:
    """Check suites against the installed TRL; nothing runs.

    Every problem of every file is told, with file, line and column. Ends with 2 when one is wrong.

    \b
    Example:
      harness validate suites/*.yaml
    """
    from harness import pipeline
    from harness.cli import failure
    from harness.cli.output import many, print_json
    from harness.errors import EXIT_INPUT, HarnessError

    said = []
    right = True
    for file in suites:
        try:
            plan = pipeline.planned(file, options.choice())
        except HarnessError as error:
            right = False
            said.append(_wrong(file, error))
            if not as_json:
                failure.print_problems(error.problems)
            continue
        said.append(_fine(file, plan))
        if not as_json:
            failure.print_problems(plan.warnings, "warning")
            print(f"{file}: ok, {many(len(plan.trials), 'trial')} of {many(len(plan.cells), 'cell')}")
    if as_json:
        print_json(said)
    if not right:
        raise typer.Exit(EXIT_INPUT)


def _fine(file: Path, plan: Plan) -> dict[str, Any]:
    counts = {"cells": len(plan.cells), "trials": len(plan.trials)}
    return {"file": file, "ok": True, "problems": [], "warnings": _listed(plan.warnings), **counts}


def _wrong(file: Path, error: HarnessError) -> dict[str, Any]:
    return {"file": file, "ok": False, "problems": _listed(error.problems), "warnings": []}


def _listed(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    return [
        {
            "what": problem.what,
            "file": problem.where.file if problem.where else None,
            "line": problem.where.line if problem.where else None,
            "column": problem.where.column if problem.where else None,
            "why": problem.why,
            "hint": problem.hint,
        }
        for problem in problems
    ]
