"""`harness store`: the database of results."""

from __future__ import annotations

import typer

from harness.cli import options

app = typer.Typer(help="The database of results.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _top() -> None:
    """The database of results, results/harness.duckdb. It can always be made anew from the run folders."""


@app.command("rebuild")
def rebuild(results: options.Results = options.RESULTS, as_json: options.Json = False) -> None:
    """Make the database anew from the run folders, which are only read.

    \b
    Example:
      harness store rebuild
    """
    from harness import pipeline
    from harness.cli import failure
    from harness.cli.output import print_json
    from harness.records.units import format_duration

    done = pipeline.rebuild(options.places(results))
    if as_json:
        print_json(done)
        return
    failure.print_problems(done.problems, "warning")
    print(
        f"{done.trials:,} trials, {done.attempts:,} attempts, {done.samples:,} samples, {done.scores:,} scores "
        f"in {format_duration(done.seconds)}"
    )
