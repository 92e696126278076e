"""Arguments and options that several commands share, and what they become."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from harness.records.request import Choice, Places

SuiteFile = Annotated[Path, typer.Argument(metavar="SUITE", help="The suite: a YAML file.")]
Results = Annotated[
    Path,
    typer.Option("--results", metavar="DIR", envvar="HARNESS_RESULTS", help="Folder of run folders and the database."),
]
Reports = Annotated[
    Path, typer.Option("--reports", metavar="DIR", envvar="HARNESS_REPORTS", help="Folder of rendered reports.")
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="GLOB", help="Only trials whose name or id matches, e.g. 'dpo-*'; repeatable."),
]
Skip = Annotated[
    list[str] | None, typer.Option("--skip", metavar="GLOB", help="Leave out trials that match; repeatable.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for scripts.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no warnings on stderr; errors show.")]

RESULTS = Path("results")
REPORTS = Path("reports")


def places(results: Path, reports: Path = REPORTS) -> Places:
    """Where results and reports lie."""
    from harness.records.request import Places

    return Places(results=results, reports=reports)


def choice(
    only: Sequence[str] | None = None,
    skip: Sequence[str] | None = None,
    *,
    retry: Literal["none", "failed", "disturbed"] = "none",
    force: bool = False,
) -> Choice:
    """Which trials; a glob option given as `a,b` means both."""
    from harness.records.request import Choice

    return Choice(only=listed(only), skip=listed(skip), retry=retry, force=force)


def listed(given: Sequence[str] | None) -> tuple[str, ...]:
    """A repeatable option; one given as `a,b` means both."""
    return tuple(part.strip() for glob in given or () for part in glob.split(",") if part.strip())
