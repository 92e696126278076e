"""`harness report`: the answer, from what is there."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli import options


def report(
    suite: options.SuiteFile,
    only: options.Only = None,
    skip: options.Skip = None,
    shown: Annotated[bool, typer.Option("--print", help="Print the report itself, laid out for the terminal.")] = False,
    results: options.Results = options.RESULTS,
    reports: options.Reports = options.REPORTS,
    as_json: options.Json = False,
) -> None:
    """Render the report of a suite from what has run so far.

    \b
    Examples:
      harness report suites/quickstart.yaml
      harness report suites/quickstart.yaml --print | less -R
    """
    from harness import pipeline
    from harness.cli.output import paragraph, print_json
    from harness.cli.plain import PlainLines

    places = options.places(results, reports)
    planned = pipeline.planned(suite, options.choice(only, skip), places)
    answer, path = pipeline.report_plan(planned, places, PlainLines())
    if as_json:
        print_json({"report": path, **_fields(answer)})
    elif shown:
        _print_markdown(path.read_text(encoding="utf-8"))
    else:
        print(paragraph(answer.headline))
        print(f"report: {path}")


def _fields(answer: object) -> dict[str, object]:
    import dataclasses

    assert dataclasses.is_dataclass(answer)
    return {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}


def _print_markdown(text: str) -> None:
    """Laid out on a terminal; the Markdown itself into a pipe, where it reads well as it is."""
    import sys

    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return
    from rich.console import Console

    from harness.cli.paged import Paged

    Console().print(Paged(text))
