"""Scores into their tables: each gets a number, and what scores share is stored once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.store.documents import NO_CHOICE
from harness.store.rows import Rows, arrow_table
from harness.store.scores import VALUES, ScoreRows

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_SHARED = ("document_sets", "task_documents", "task_choices")


def insert(connection: duckdb.DuckDBPyConnection, rows: Rows) -> None:
    """Every score of the rows.

    Raises:
        duckdb.Error: nothing is known of what was stored; the transaction is to be given up.
    """
    if not rows.scores:
        return
    first = _next(connection, "score", "task_scores")
    sets = _sets(connection, rows.asked)
    _insert(connection, "task_scores", _scores(rows.scores, first, sets))
    _insert(connection, "score_metrics", _metrics(rows.scores, first))
    # A choice whose text is known is stored by its number. An answer with another text is kept as text: none is lost,
    # whatever wrote the file.
    connection.register("incoming", _results(rows.scores, first, sets))
    connection.execute(
        "INSERT INTO task_choices "
        "SELECT document_set, document, choice, arg_min(response, score) "
        "FROM incoming ANTI JOIN task_choices USING (document_set, document, choice) "
        "GROUP BY document_set, document, choice ORDER BY ALL"
    )
    connection.execute(
        "INSERT INTO score_results "
        f"SELECT score, document, if(text = response, choice, {NO_CHOICE}), if(text = response, NULL, response), "
        "metrics, logprobs "
        "FROM incoming JOIN task_choices USING (document_set, document, choice) ORDER BY score, document"
    )
    connection.unregister("incoming")


def delete(connection: duckdb.DuckDBPyConnection, which: str) -> None:
    """The scores and overlaps of the parts in the table `gone` that `which` chooses; what is shared stays for now."""
    own = f"SELECT * FROM gone WHERE {which}"
    same = "held.suite = gone.suite AND held.trial_id = gone.trial_id AND held.source = gone.part[8:]"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE gone_scores AS "
        f"SELECT held.score FROM task_scores AS held JOIN ({own}) AS gone ON {same}"
    )
    for table in ("score_metrics", "score_results", "task_scores"):
        connection.execute(f"DELETE FROM {table} WHERE score IN (SELECT score FROM gone_scores)")
    for table in ("data_overlaps", "earlier_scores"):
        connection.execute(f"DELETE FROM {table} AS held USING ({own}) AS gone WHERE {same}")


def prune(connection: duckdb.DuckDBPyConnection) -> None:
    """Takes away what was shared by scores that are gone."""
    used = "SELECT document_set FROM task_scores WHERE document_set IS NOT NULL"
    for table in _SHARED:
        connection.execute(f"DELETE FROM {table} WHERE document_set NOT IN ({used})")


def _next(connection: duckdb.DuckDBPyConnection, column: str, table: str) -> int:
    ((number,),) = connection.execute(f"SELECT coalesce(max({column}), 0) + 1 FROM {table}").fetchall()
    return int(number)


def _sets(connection: duckdb.DuckDBPyConnection, asked: Mapping[str, pa.Table]) -> dict[str, int]:
    """The number of each set of documents by its digest; those that are new are stored."""
    import pyarrow as pa

    known = connection.execute("SELECT digest, document_set FROM document_sets WHERE digest IN ?", [list(asked)])
    numbers: dict[str, int] = dict(known.fetchall())
    new = [digest for digest in asked if digest not in numbers]
    numbers |= {digest: number for number, digest in enumerate(new, _next(connection, "document_set", "document_sets"))}
    if new:
        rows = [(numbers[digest], digest) for digest in new]
        _insert(connection, "document_sets", arrow_table("document_set:int digest", rows))
        documents = [_with(asked[digest], document_set=numbers[digest]) for digest in new]
        _insert(connection, "task_documents", pa.concat_tables(documents))
        # Every answer finds its choice, also where it is none: inner joins let a filter on trials come first.
        none = pa.concat_tables(table.select(["document_set", "document"]) for table in documents)
        _insert(connection, "task_choices", _with(none, choice=NO_CHOICE))
    return numbers


def _scores(scores: Sequence[ScoreRows], first: int, sets: Mapping[str, int]) -> pa.Table:
    columns = "score:int suite trial_id " + " ".join(f"{name}{_TYPES.get(name, '')}" for name in VALUES)
    rows = [
        (number, one.suite, one.trial_id, *one.values, list(one.names), sets[one.digest], one.source)
        for number, one in enumerate(scores, first)
    ]
    return arrow_table(f"{columns} document_metrics:list_text document_set:int source", rows)


_TYPES = {"step": ":int", "n_documents": ":int", "notes": ":list_text", "members": ":list_text", "duration_s": ":float"}


def _metrics(scores: Sequence[ScoreRows], first: int) -> pa.Table:
    rows = [(number, *metric) for number, one in enumerate(scores, first) for metric in one.metrics]
    return arrow_table("score:int metric value:float stderr:float higher_is_better:bool", rows)


def _results(scores: Sequence[ScoreRows], first: int, sets: Mapping[str, int]) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables(
        _with(one.results, score=number, document_set=sets[one.digest]) for number, one in enumerate(scores, first)
    )


def _with(table: pa.Table, **numbers: int) -> pa.Table:
    """The table with a column of one number each."""
    import pyarrow as pa

    for name, number in numbers.items():
        table = table.append_column(name, pa.repeat(pa.scalar(number, pa.int32()), table.num_rows))
    return table


def _insert(connection: duckdb.DuckDBPyConnection, name: str, table: Any) -> None:
    connection.register("incoming", table)
    connection.execute(f"INSERT INTO {name} BY NAME SELECT * FROM incoming")
    connection.unregister("incoming")
