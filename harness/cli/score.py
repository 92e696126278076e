"""`harness score`: scores for checkpoints that lack one."""

from __future__ import annotations

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

    planned = pipeline.planned(suite, options.choice(only, skip))
    with watch.observing(planned.suite.name, quiet=quiet) as observer:
        told = pipeline.score_plan(planned, options.places(results), observer, force=force)
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


def unscored(told: ScoreReport) -> list[Problem]:
    """A problem for every checkpoint and task without a score."""
    from harness.errors import Problem

    return [
        Problem(what=f"{failure.folder.name} could not be scored on {failure.task}", why=failure.cause)
        for failure in told.failed
    ]
