"""Rows of changed parts into the database: what they replace goes out and they come in, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.store import score_tables
from harness.store.folder import SCORES, TRIAL
from harness.store.rows import Rows

if TYPE_CHECKING:
    import duckdb

_OF_TRIAL = ("trials", "environment_files")
_OF_ATTEMPT = ("attempts", "metrics", "phases", "samples", "notes", "findings")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One part of one run folder, under the key its rows have or had in the database."""

    folder: str
    part: str
    suite: str
    trial_id: str


@dataclass(kw_only=True, slots=True)
class Change:
    """Rows to be stored, and the parts whose earlier rows they replace."""

    rows: Rows = field(default_factory=Rows)
    replaced: list[Part] = field(default_factory=list)


def write(connection: duckdb.DuckDBPyConnection, change: Change) -> None:
    """The whole change or nothing of it.

    Raises:
        duckdb.Error: nothing of it was stored.
    """
    made = change.rows.arrow()
    connection.begin()
    scores_gone = _delete(connection, change.replaced) if change.replaced else False
    for name, table in made.items():
        connection.register("incoming", table)
        connection.execute(f"INSERT INTO {name} BY NAME SELECT * FROM incoming")
        connection.unregister("incoming")
    score_tables.insert(connection, change.rows)
    if scores_gone:
        score_tables.prune(connection)
    connection.commit()


def _delete(connection: duckdb.DuckDBPyConnection, parts: Sequence[Part]) -> bool:
    """Whether scores were among what was deleted."""
    import pyarrow as pa

    def column(name: str) -> list[str]:
        return [str(getattr(part, name)) for part in parts]

    given = pa.table({name: column(name) for name in ("folder", "part", "suite", "trial_id")})
    connection.register("given", given)
    # Only what is really there: another process may have stored the same meanwhile, and a first ingest deletes nothing.
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE gone AS SELECT DISTINCT given.* FROM given JOIN ingested USING (folder, part)"
    )
    connection.unregister("given")
    for tables, which, key in (
        (_OF_TRIAL, f"part = '{TRIAL}'", ""),
        (_OF_ATTEMPT, "starts_with(part, 'attempts/')", "AND held.attempt = gone.part[10:]::INTEGER"),
    ):
        if not connection.execute(f"SELECT 1 FROM gone WHERE {which} LIMIT 1").fetchone():
            continue
        for table in tables:
            connection.execute(
                f"DELETE FROM {table} AS held USING gone "
                f"WHERE {which} AND held.suite = gone.suite AND held.trial_id = gone.trial_id {key}"
            )
    of_scores = f"starts_with(part, '{SCORES}')"
    scores_gone = bool(connection.execute(f"SELECT 1 FROM gone WHERE {of_scores} LIMIT 1").fetchall())
    if scores_gone:
        score_tables.delete(connection, of_scores)
    connection.execute(
        "DELETE FROM ingested USING gone WHERE ingested.folder = gone.folder AND ingested.part = gone.part"
    )
    return scores_gone
