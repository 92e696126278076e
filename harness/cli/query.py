"""`harness query`: SQL on the results."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.store import Table

_NUMBERS = ("DOUBLE", "FLOAT", "DECIMAL", "INTEGER", "BIGINT", "HUGEINT", "SMALLINT", "TINYINT", "UBIGINT", "UINTEGER")


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="A query, or - to read it from stdin.")],
    results: options.Results = options.RESULTS,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header line.")] = False,
    as_json: options.Json = False,
) -> None:
    """Ask the database of results in SQL.

    Its tables and views are a public interface; `show tables` lists them. Rows that are too wide for the terminal
    are shown a line for each column.

    \b
    Examples:
      harness query "from trial_summary"
      harness query --csv "select * from loss_curves" > curves.csv
    """
    from harness.cli.output import print_json, table, width
    from harness.cli.upright import fits, upright
    from harness.errors import InputError
    from harness.store import Store

    if as_csv and as_json:
        raise InputError.of("--csv and --json exclude each other", hint="give one of them")
    asked = sys.stdin.read() if sql == "-" else sql
    if not asked.strip():
        raise InputError.of("the query is empty", hint='harness query "show tables"')
    answer = Store(options.places(results).database).query(asked)
    if as_csv:
        _print_csv(answer)
    elif as_json:
        print_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
    elif sys.stdout.isatty() and answer.rows and not fits(answer.columns, answer.rows, width()):
        print(upright(answer.columns, answer.rows))
    else:
        table(answer.columns, answer.rows, right=_number_columns(answer))


def _number_columns(answer: Table) -> list[str]:
    return [name for name, kind in zip(answer.columns, answer.types, strict=True) if kind.startswith(_NUMBERS)]


def _print_csv(answer: Table) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)
