"""`harness score`: scores for checkpoints that lack one."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli import options


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
    from harness.cli.run import observing

    with observing(suite.stem, quiet=quiet) as observer:
        told = pipeline.score(suite, options.choice(only, skip), options.places(results), observer, force=force)
    if as_json:
        print_json(told)
        return
    print(told)
