"""Every attempt there is with one metric of it: what history is made of, where the other views tell one per trial."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.records.history import Measured, Past

if TYPE_CHECKING:
    import duckdb

_COLUMNS = (
    *("suite", "cell_id", "cell_name", "kind", "trial_id", "name", "seed", "attempt", "run", "started_at"),
    *("outcome", "environment", "disturbed", "value"),
)
# A score is of weights, and belongs to every attempt that left the same ones.
_VALUES = """
SELECT suite, trial_id, attempt, value FROM metrics WHERE metric = $metric
UNION ALL
SELECT a.suite, a.trial_id, a.attempt, arg_max(s.value, (s.scored_at, s.backend))
FROM attempts AS a
JOIN (
    SELECT suite, trial_id, task, backend, weights_hash, scored_at, metric, value FROM earlier_scores
    UNION ALL
    SELECT suite, trial_id, task, backend, weights_hash, scored_at, metric, value
    FROM task_scores JOIN score_metrics USING (score) WHERE step IS NULL
) AS s ON s.suite = a.suite AND s.trial_id = a.trial_id
     AND (s.weights_hash = a.weights_hash OR s.weights_hash IS NULL)
WHERE 'score.' || s.task || '.' || s.metric = $metric AND a.outcome = 'ok'
GROUP BY ALL
"""
_ATTEMPTS = f"""
WITH figures AS ({_VALUES})
SELECT t.suite, coalesce(t.cell_id, t.trial_id), coalesce(t.cell_name, t.name, t.trial_id), coalesce(t.kind, 'cell'),
       t.trial_id, coalesce(t.name, t.trial_id), coalesce(t.seed, 0), a.attempt, a.run, a.started_at,
       a.outcome, a.environment, coalesce(a.disturbed, []), f.value
FROM attempts AS a
JOIN trials AS t USING (suite, trial_id)
LEFT JOIN figures AS f ON f.suite = a.suite AND f.trial_id = a.trial_id AND f.attempt = a.attempt
WHERE a.outcome IS NOT NULL AND a.started_at IS NOT NULL AND (len($suites) = 0 OR list_contains($suites, t.suite))
ORDER BY t.suite, a.started_at, t.trial_id, a.attempt
"""
_KNOWN = "SELECT DISTINCT metric FROM metrics UNION SELECT DISTINCT name FROM trial_scores ORDER BY ALL"


def past(connection: duckdb.DuckDBPyConnection, metric: str, suites: Sequence[str]) -> Past:
    """Attempts of these suites, of all where none is named, oldest first within a suite.

    Raises:
        duckdb.Error: the database fails.
    """
    rows = connection.execute(_ATTEMPTS, {"metric": metric, "suites": list(suites)}).fetchall()
    environments = connection.execute("SELECT environment, content FROM environments ORDER BY environment").fetchall()
    return Past(
        attempts=tuple(_measured(dict(zip(_COLUMNS, row, strict=True))) for row in rows),
        environments={key: json.loads(content) for key, content in environments},
        known=tuple(name for (name,) in connection.execute(_KNOWN).fetchall()),
    )


def _measured(row: dict[str, Any]) -> Measured:
    return Measured(**{**row, "disturbed": tuple(row["disturbed"])})
