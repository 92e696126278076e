"""`harness export`: results as files that other tools read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options

_SUMMARY = "GITHUB_STEP_SUMMARY"


def export(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="The suite, by name or file.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="pytest-benchmark, github-benchmark, bencher, junit, github-summary, csv or parquet.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PATH", help="The file; for github-benchmark a folder. Without it stdout."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", "-m", metavar="METRIC", help="This metric; repeatable. Without it the format's usual ones."
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option("--check", metavar="FILE", help="What `harness check --json` said; for junit and github-summary."),
    ] = None,
    only: options.Only = None,
    skip: options.Skip = None,
    results: options.Results = options.RESULTS,
    as_json: options.Json = False,
) -> None:
    """Write a suite's results as files that other tools read.

    Figures that are absent stay absent, and no file is written empty. github-summary without --out goes to the summary
    of the step where it runs in GitHub Actions.

    \b
    Examples:
      harness export nightly --format junit --check check.json --out junit.xml
      harness export nightly --format github-benchmark --out benchmark/
      harness export nightly --format parquet --out figures.parquet
    """
    from harness import publishing
    from harness.cli.output import print_json, say, wrapped
    from harness.cli.plain import PlainLines

    done = publishing.export(
        suite,
        form,
        options.choice(only, skip),
        options.places(results),
        out=out,
        metrics=metric or (),
        check=check,
        observer=PlainLines(),
    )
    if done.text is not None and form == "github-summary" and os.environ.get(_SUMMARY):
        file = Path(os.environ[_SUMMARY])
        publishing.append(file, done.text)
        done = publishing.Exported(files=(file,), text=None, left_out=done.left_out)
    if as_json:
        print_json({"format": form, "files": done.files, "text": done.text, "left_out": done.left_out})
        return
    if done.text is not None:
        print(done.text, end="")
    for file in done.files:
        print(file)
    for sentence in done.left_out:
        say(wrapped(f"note: {sentence}", indent=2))
