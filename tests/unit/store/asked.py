"""Questions that tests ask of a store."""

from __future__ import annotations

from typing import Any

from harness.store import Store

TABLES = ["trials", "attempts", "metrics", "phases", "samples", "notes", "findings", "environment_files", "scores"]
TABLES += ["score_documents", "score_values", "trial_scores", "quality_curves", "data_overlaps", "task_documents"]
TABLES += ["earlier_scores", "ingested", "meta", "suites", "cells", "trial_summary", "method_comparison"]
TABLES += ["loss_curves", "reward_margins", "environments", "trial_metrics", "memory_breakdown", "device_timeline"]


def content(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table and view, in one order; repr so that NaN equals NaN."""
    columns = "COLUMNS(lambda name: name NOT IN ('score', 'document_set'))"  # numbers mean something in one file only
    found = {name: store.query(f"SELECT {columns} FROM {name}").rows for name in TABLES}
    return {name: sorted((repr(row),) for row in rows) for name, rows in found.items()}


def one(store: Store, sql: str) -> Any:
    rows = store.query(sql).rows
    assert len(rows) == 1, rows
    return rows[0][0] if len(rows[0]) == 1 else rows[0]
