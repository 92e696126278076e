"""`harness data show`: what a trial would learn from."""

from __future__ import annotations

import typer

app = typer.Typer(help="The rows a suite trains on.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _top() -> None:
    """The rows a suite trains on."""
