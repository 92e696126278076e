"""`harness data show`: what a trial would learn from."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any

import typer

from harness.cli import options

app = typer.Typer(help="The rows a suite trains on.", no_args_is_help=True, rich_markup_mode=None)

_INDENT = "    "
_MOST_CELLS = 4

Run = tuple[str, bool]
"""A stretch of text, and whether its tokens carry loss."""


@app.callback()
def _top() -> None:
    """The rows a suite trains on."""


@app.command("show")
def show(
    suite: options.SuiteFile,
    only: options.Only = None,
    skip: options.Skip = None,
    rows: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="How many rows of each.")] = 3,
    method: Annotated[str | None, typer.Option(metavar="NAME", help="Only as this method sees them.")] = None,
    as_json: options.Json = False,
) -> None:
    """Show rows as methods see them, tokens that carry loss marked.

    Every combination of data, method and template of the suite once. Tokens that carry loss are coloured on a
    terminal and stand in ⟦…⟧ elsewhere.

    \b
    Example:
      harness data show suites/quickstart.yaml --method dpo --rows 1
    """
    from harness import pipeline
    from harness.cli.output import print_json

    shown = pipeline.preview(suite, options.choice(only, skip), rows=rows, method=method)
    if as_json:
        print_json(shown)
        return
    for one in shown:
        _print(one, cells=len(shown) > 1)


def _print(shown: Mapping[str, Any], *, cells: bool) -> None:
    """One combination of data and method, with its rows; with the names of its cells where there are others."""
    from harness.cli.output import wrapped

    print(f"{shown['method']} on {_named(shown['data'])}")
    if cells:
        print(wrapped(f"  {_of(shown['cells'])}", indent=4))
    print(f"  {_facts(shown)}")
    for note in shown["notes"]:
        print(f"  note: {note}")
    for number, preview in enumerate(shown["previews"], start=1):
        dropped = "  (TRL leaves this row out: no token of it carries loss)" if preview["dropped"] else ""
        print(f"\nrow {number}{dropped}")
        for sequence in preview["sequences"]:
            _print_sequence(sequence)
    print()


def _named(data: Mapping[str, Any]) -> str:
    named = data.get("source") or data.get("path") or data.get("hub")
    return str(named)


def _of(cells: Sequence[str]) -> str:
    more = f" and {len(cells) - _MOST_CELLS:,} more" if len(cells) > _MOST_CELLS else ""
    return f"{'cell' if len(cells) == 1 else 'cells'}: {', '.join(cells[:_MOST_CELLS])}{more}"


def _facts(shown: Mapping[str, Any]) -> str:
    kind = f"{shown['format']}, conversational" if shown["conversational"] else str(shown["format"])
    held = f", {shown['eval_rows']:,} to evaluate on" if shown["eval_rows"] else ""
    return f"{shown['rows']:,} rows to train on{held}; {kind}"


def _print_sequence(sequence: Mapping[str, Any]) -> None:
    tokens = sequence["tokens"]
    carrying = sum(token["carries_loss"] for token in tokens)
    cut = f", {sequence['cut']} cut off" if sequence["cut"] else ""
    print(f"  {sequence['name']}: {len(tokens)} tokens{cut}, {carrying} carry loss")
    _print_runs(runs(tokens))


def runs(tokens: Sequence[Mapping[str, Any]]) -> list[Run]:
    """Adjacent tokens of one sort joined: their text, and whether they carry loss."""
    return [
        ("".join(token["text"] for token in group), carries)
        for carries, group in groupby(tokens, key=lambda token: bool(token["carries_loss"]))
    ]


def _print_runs(parts: Sequence[Run]) -> None:
    if not sys.stdout.isatty():
        marked = "".join(f"⟦{text}⟧" if carries else text for text, carries in parts)
        print(textwrap.indent(marked, _INDENT, lambda line: True))
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    line = Text()
    for text, carries in parts:
        line.append(text, style="bold green" if carries else "dim")
    Console(highlight=False).print(Padding(line, (0, 0, 0, len(_INDENT))))
