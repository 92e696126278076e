"""The trials of one suite as the rest of the house knows them: one record each, of the attempt that counts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.records.results import Finding, TrialResult

if TYPE_CHECKING:
    import duckdb

_Rows = Mapping[str, Sequence[tuple[Any, ...]]]
"""Rows by trial id."""

_COLUMNS = (
    *("trial_id", "cell_id", "name", "cell_name", "kind", "levels", "seed", "method", "outcome", "phase", "cause"),
    *("attempts", "environment", "attempt", "disturbed", "spec", "active", "facts"),
)
_TRIALS = """
SELECT s.trial_id, s.cell_id, s.name, s.cell_name, s.kind, s.levels, s.seed, s.method, s.outcome, s.phase, s.cause,
       s.attempts, s.environment, s.attempt, s.disturbed, t.spec, a.active, a.facts
FROM trial_summary AS s JOIN trials AS t USING (suite, trial_id)
LEFT JOIN attempts AS a ON a.suite = s.suite AND a.trial_id = s.trial_id AND a.attempt = s.attempt
WHERE s.suite = ? ORDER BY s.name, s.trial_id
"""
_METRICS = "SELECT trial_id, metric, value FROM trial_metrics WHERE suite = ? AND value IS NOT NULL ORDER BY ALL"
_STDERR = "SELECT trial_id, name, stderr FROM trial_scores WHERE suite = ? AND stderr IS NOT NULL ORDER BY ALL"
_NOTES = """
SELECT trial_id, text FROM notes JOIN counting_attempts USING (suite, trial_id, attempt)
WHERE suite = ? ORDER BY trial_id, level <> 'warning', t, text
"""
_FINDINGS = """
SELECT trial_id, name, step, level, text FROM findings JOIN counting_attempts USING (suite, trial_id, attempt)
WHERE suite = ? ORDER BY trial_id, level <> 'warning', step NULLS LAST, name, text
"""
_STALE = """
SELECT DISTINCT trial_id, task FROM task_scores ANTI JOIN trial_scores USING (suite, trial_id, task)
WHERE suite = ? AND step IS NULL ORDER BY ALL
"""
_SURROUNDINGS = """
SELECT trial_id, json_merge_patch(content, '{"packages": null, "editable": null, "origins": null}')
FROM environment_files JOIN trial_summary USING (suite, trial_id, environment) WHERE suite = ?
"""
_LAST = "SELECT trial_id, arg_max(outcome, attempt) FROM attempts WHERE suite = ? AND outcome IS NOT NULL GROUP BY ALL"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Beside:
    """What is told of trials in tables of their own."""

    metrics: _Rows
    stderr: _Rows
    notes: _Rows
    findings: _Rows
    stale: _Rows
    last: _Rows
    surroundings: _Rows


def of_suite(connection: duckdb.DuckDBPyConnection, suite: str) -> tuple[TrialResult, ...]:
    """Every trial of the suite, in the order of their names, ids last.

    Raises:
        duckdb.Error: the database fails.
    """

    def grouped(sql: str) -> _Rows:
        found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for trial_id, *rest in connection.execute(sql, [suite]).fetchall():
            found[trial_id].append(tuple(rest))
        return found

    beside = _Beside(
        metrics=grouped(_METRICS),
        stderr=grouped(_STDERR),
        notes=grouped(_NOTES),
        findings=grouped(_FINDINGS),
        stale=grouped(_STALE),
        last=grouped(_LAST),
        surroundings=grouped(_SURROUNDINGS),
    )
    rows = connection.execute(_TRIALS, [suite]).fetchall()
    return tuple(_trial(dict(zip(_COLUMNS, row, strict=True)), beside) for row in rows)


def _trial(row: Mapping[str, Any], beside: _Beside) -> TrialResult:
    key = row["trial_id"]
    stale = [
        f"its score of {task} is of other weights than it has now, and was left out"
        for (task,) in beside.stale.get(key, ())
    ]
    return TrialResult(
        trial_id=key,
        cell_id=row["cell_id"] or key,
        name=row["name"] or key,
        cell_name=row["cell_name"] or row["name"] or key,
        kind=row["kind"] or "cell",
        levels=dict(row["levels"] or {}),
        seed=row["seed"] or 0,
        method=row["method"],
        outcome=row["outcome"],
        phase=row["phase"],
        cause=row["cause"],
        attempts=row["attempts"],
        environment=row["environment"],
        metrics=dict(beside.metrics.get(key, ())),
        stderr=dict(beside.stderr.get(key, ())),
        config=json.loads(row["spec"]),
        notes=(*(text for (text,) in beside.notes.get(key, ())), *stale),
        counted=row["attempt"],
        last_outcome=next((outcome for (outcome,) in beside.last.get(key, ())), None),
        active=json.loads(row["active"] or "{}"),
        facts=json.loads(row["facts"] or "{}"),
        disturbed=tuple(row["disturbed"] or ()),
        findings=tuple(_finding(*found) for found in beside.findings.get(key, ())),
        surroundings=next((json.loads(content) for (content,) in beside.surroundings.get(key, ()) if content), {}),
    )


def _finding(name: str, step: int | None, level: str, text: str) -> Finding:
    said: Literal["info", "warning"] = "warning" if level == "warning" else "info"
    return Finding(name=name, step=step, level=said, text=text)
