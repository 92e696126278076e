"""`harness score`: scores for checkpoints that lack one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options, watch

if TYPE_CHECKING:
    from harness.errors import Problem
    from harness.score import ScoreReport


def score(
    suite: options.SuiteFile,
    only: options.Only = None,
    skip: options.Skip = None,
    force: Annotated[bool, typer.Option("--force", help="Score again what has its score.")] = False,
    results: options.Results = options.RESULTS,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Score the checkpoints of a suite that lack a score.

    Ends with 5 when a checkpoint could not be scored.

    \b
    Example:
      harness score suites/quickstart.yaml --only 'dpo-*'
    """
    from harness import pipeline
    from harness.cli.output import print_json
    from harness.errors import InputError, TrialsFailed

    with watch.observing(suite.stem, quiet=quiet) as observer:
        told = pipeline.score_suite(suite, options.choice(only, skip, force=force), options.places(results), observer)
    if told is None:
        raise InputError.of(f"{suite} asks for no scores", hint="add a score section, e.g. score: {tasks: [pydoc_mc]}")
    if as_json:
        print_json(told)
    else:
        print(f"scored {told.scored}, kept {told.reused}, failed {len(told.failed)} (backend: {told.backend})")
        if told.note:
            print(told.note)
    problems = unscored(told)
    if problems:
        raise TrialsFailed(problems=problems)


def listed(names: Sequence[str], most: int = 8) -> str:
    """`a, b, c and 4 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def unscored(told: ScoreReport) -> list[Problem]:
    """A problem for every cause, with the checkpoints and tasks it left without a score."""
    from harness.errors import Problem

    by_cause: dict[str, list[str]] = {}
    for failure in told.failed:
        by_cause.setdefault(failure.cause, []).append(f"{failure.name} on {failure.task}")
    return [Problem(what=f"not scored: {listed(lost)}", why=cause) for cause, lost in by_cause.items()]
