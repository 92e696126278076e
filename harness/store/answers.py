"""What is asked of the store: free SQL, and everything of one suite."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import Location, StoreError
from harness.records.results import Curve, SuiteResults, Timeline
from harness.store import scored, trials
from harness.store.table import Table

if TYPE_CHECKING:
    import duckdb

CURVES = ("loss", "eval_loss", "rewards/margins")
"""The samples a `SuiteResults` carries over steps; the others are there for SQL."""

TIMELINES = ("host_uss_peak", "device_allocated_peak")
"""And those it carries over time: the most since the sample before."""

_SQL = Path("query")
_PLACE = re.compile(r"^LINE (?P<line>\d+): (?P<shown>.*)\n(?P<before> *)\^", re.MULTILINE)


def query(connection: duckdb.DuckDBPyConnection, sql: str) -> Table:
    """The rows of one statement; nothing for none.

    Raises:
        StoreError: the statement is wrong, or wants to write, or there are several.
        duckdb.Error: the database itself fails.
    """
    import duckdb

    try:
        statements = connection.extract_statements(sql)
        if len(statements) > 1:
            raise _several(len(statements))
        cursor = connection.execute(sql)
        if cursor is None or cursor.description is None:
            return Table(columns=(), types=(), rows=())
        described = cursor.description
        rows = cursor.fetchall()
    except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError, duckdb.PermissionException) as error:
        raise _query_error(connection, sql, error) from error
    return Table(
        columns=tuple(column[0] for column in described), types=tuple(str(column[1]) for column in described), rows=rows
    )


def _several(count: int) -> StoreError:
    return StoreError.of(
        f"these are {count} statements",
        why="only the last one's rows would be shown",
        hint="ask one at a time, or join them (WITH, UNION ALL, a subquery)",
    )


def _query_error(connection: duckdb.DuckDBPyConnection, sql: str, error: Exception) -> StoreError:
    said = str(error).rstrip()
    if "read-only mode" in said or "disabled by configuration" in said:
        return StoreError.of(
            "a query can only read",
            why=said.splitlines()[0],
            hint="the database is made from the run folders; `harness query --csv` writes what a query finds",
        )
    names = connection.execute(
        "SELECT table_name FROM duckdb_tables() UNION "
        "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL"
    ).fetchall()
    what, _, rest = said.partition("\n")
    place = _PLACE.search(rest)
    return StoreError.of(
        f"the query is wrong: {what}",
        why=(rest[: place.start()] if place else rest).strip() or None,
        where=_location(sql, place) if place else None,
        hint="tables and views: " + ", ".join(name for (name,) in names if name not in ("meta", "ingested")),
    )


def _location(sql: str, place: re.Match[str]) -> Location:
    """duckdb's `LINE 2: …from nosuch` and its caret, as line and column of the statement as it was written."""
    line, shown = int(place["line"]), place["shown"]
    column = len(place["before"]) - len(f"LINE {line}: ")
    clipped = shown.startswith("...")
    core = shown.removeprefix("...").removesuffix("...")
    lines = sql.splitlines()
    written = lines[line - 1] if line <= len(lines) else shown
    if core not in written:
        return Location(file=_SQL, line=line, column=column + 1, text=shown)
    return Location(file=_SQL, line=line, column=written.index(core) + column - 3 * clipped + 1, text=written)


def results(connection: duckdb.DuckDBPyConnection, suite: str) -> SuiteResults:
    """Everything of one suite; trials in the order of their names, ids last.

    Raises:
        duckdb.Error: the database fails.
    """
    return replace(
        figures(connection, suite),
        curves=(*_curves(connection, suite), *scored.quality(connection, suite)),
        timelines=_timelines(connection, suite),
        overlaps=scored.overlaps(connection, suite),
    )


def figures(connection: duckdb.DuckDBPyConnection, suite: str) -> SuiteResults:
    """The same without curves, timelines and overlaps, which take most of the time and no verdict needs.

    Raises:
        duckdb.Error: the database fails.
    """

    def rows(sql: str) -> list[tuple[Any, ...]]:
        return list(connection.execute(sql, [suite]).fetchall())

    found = rows("SELECT question, suite_file FROM suites WHERE suite = ?")
    question, suite_file = found[0] if found else ("", "")
    environments = rows(
        "SELECT DISTINCT environment, content FROM environments JOIN (SELECT DISTINCT environment FROM trial_summary "
        "WHERE suite = ?) USING (environment) ORDER BY environment"
    )
    backends = rows("SELECT DISTINCT backend FROM trial_scores WHERE suite = ? ORDER BY backend")
    return SuiteResults(
        suite=suite,
        question=question or "",
        suite_file=suite_file or "",
        trials=trials.of_suite(connection, suite),
        curves=(),
        environments={key: json.loads(content) for key, content in environments},
        score_backends=tuple(backend for (backend,) in backends),
        scores=scored.scores(connection, suite),
    )


def _curves(connection: duckdb.DuckDBPyConnection, suite: str) -> tuple[Curve, ...]:
    return tuple(
        Curve(trial_id=trial_id, cell_name=cell or trial_id, seed=seed or 0, metric=metric, steps=steps, values=values)
        for trial_id, cell, seed, metric, steps, values in _series(connection, suite, CURVES, "step")
    )


def _timelines(connection: duckdb.DuckDBPyConnection, suite: str) -> tuple[Timeline, ...]:
    return tuple(
        Timeline(trial_id=trial_id, metric=metric, times=times, values=values)
        for trial_id, _, _, metric, times, values in _series(connection, suite, TIMELINES, "t")
    )


def _series(
    connection: duckdb.DuckDBPyConnection, suite: str, metrics: Sequence[str], over: str
) -> list[tuple[Any, ...]]:
    """Trial, cell, seed, metric, places and values of the attempts that count; `over` is step or t."""
    names = ", ".join(f"'{name}'" for name in metrics)
    rows = connection.execute(
        f"SELECT trial_id, any_value(cell_name), any_value(seed), metric, "
        f"list({over} ORDER BY {over}, t), list(value ORDER BY {over}, t) "
        "FROM samples JOIN counting_attempts USING (suite, trial_id, attempt) JOIN trials USING (suite, trial_id) "
        f"WHERE suite = ? AND metric IN ({names}) AND {over} IS NOT NULL "
        "GROUP BY trial_id, metric ORDER BY trial_id, metric",
        [suite],
    ).fetchall()
    return list(rows)
    return list(rows)
