"""What the store knows of a suite's scores besides their metrics: how they were made, over steps, and overlaps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness.records.overlap import Overlap
from harness.records.results import Curve, TaskScore

if TYPE_CHECKING:
    import duckdb

_JSON = ("flags", "versions", "environment", "canary", "parity")
_LISTS = ("notes", "members")
_PLAIN = ("trial_id", "task", "backend", "step", "n_documents", "task_hash", "task_version", "template_hash", "served")
_COUNT = "SELECT score FROM trial_scores WHERE suite = ? UNION SELECT score FROM quality_curves WHERE suite = ?"
_CURVES = """
SELECT trial_id, any_value(cell_name), any_value(seed), 'score.' || task || '.' || metric AS name,
       list(step ORDER BY step), list(value ORDER BY step), bool_or(ended)
FROM quality_curves
WHERE suite = ? AND step IS NOT NULL AND value IS NOT NULL
GROUP BY trial_id, task, metric HAVING NOT bool_and(ended) ORDER BY trial_id, name
"""
_OVERLAPS = """
SELECT trial_id, task, task_hash, data_fingerprint, documents, exact, ngram, short, n, share, training_rows, reason,
       examples
FROM data_overlaps WHERE suite = ? ORDER BY trial_id, task
"""


def scores(connection: duckdb.DuckDBPyConnection, suite: str) -> tuple[TaskScore, ...]:
    """The scores that count, by task, trial and step, the end's last.

    Raises:
        duckdb.Error: the database fails.
    """
    rows = connection.execute(
        f"SELECT {', '.join((*_PLAIN, *_JSON, *_LISTS))} FROM task_scores WHERE score IN ({_COUNT}) "
        "ORDER BY task, trial_id, step NULLS LAST",
        [suite, suite],
    ).fetchall()
    return tuple(_score(dict(zip((*_PLAIN, *_JSON, *_LISTS), row, strict=True))) for row in rows)


def _score(row: dict[str, Any]) -> TaskScore:
    parsed: dict[str, Any] = {name: json.loads(row[name] or "{}") for name in _JSON}
    lists: dict[str, Any] = {name: tuple(row[name] or ()) for name in _LISTS}
    return TaskScore(**{name: row[name] for name in _PLAIN}, **parsed, **lists)


def quality(connection: duckdb.DuckDBPyConnection, suite: str) -> tuple[Curve, ...]:
    """Scores over steps, of trials whose weights on the way were scored.

    Raises:
        duckdb.Error: the database fails.
    """
    return tuple(
        Curve(
            trial_id=trial_id,
            cell_name=cell or trial_id,
            seed=seed or 0,
            metric=metric,
            steps=steps,
            values=values,
            ended=ended,
        )
        for trial_id, cell, seed, metric, steps, values, ended in connection.execute(_CURVES, [suite]).fetchall()
    )


def overlaps(connection: duckdb.DuckDBPyConnection, suite: str) -> dict[str, tuple[Overlap, ...]]:
    """How much of each task is in what a trial was trained on, by trial id.

    Raises:
        duckdb.Error: the database fails.
    """
    found: dict[str, tuple[Overlap, ...]] = {}
    for trial_id, *rest in connection.execute(_OVERLAPS, [suite]).fetchall():
        found[trial_id] = (*found.get(trial_id, ()), _overlap(*rest))
    return found


def _overlap(task: str, task_hash: str | None, data_fingerprint: str | None, *rest: Any) -> Overlap:
    documents, exact, ngram, short, n, share, rows, reason, examples = rest
    return Overlap(
        task=task,
        task_hash=task_hash or "",
        data_fingerprint=data_fingerprint,
        limit=None,
        documents=documents,
        exact=exact,
        ngram=ngram,
        short=short,
        n=n or 0,
        share=share,
        rows=rows,
        reason=reason,
        examples=json.loads(examples or "[]"),
    )
