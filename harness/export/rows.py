"""Every figure of every trial as one long table: CSV, and Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from harness.export.given import Files, Given, labels, usual
from harness.records.metrics import metric
from harness.records.results import TrialResult

TEXTS = ("suite", "cell", "cell_id", "kind", "method", "trial", "trial_id")
COLUMNS = (
    *(*TEXTS, "seed", "outcome", "cause", "attempt", "attempts", "last_outcome", "environment", "disturbed", "levels"),
    *("metric", "unit", "better", "value", "stderr"),
)
_WHOLE, _REAL = ("seed", "attempt", "attempts"), ("value", "stderr")


def csv_files(given: Given) -> Files:
    """CSV with a header; what is absent is empty, numbers are written in full."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in _rows(given):
        writer.writerow({name: repr(value) if isinstance(value, float) else value for name, value in row.items()})
    return {"": buffer.getvalue()}


def parquet_files(given: Given) -> Files:
    """The same as Parquet; what is absent is null."""
    import pyarrow as pa
    from pyarrow import parquet

    def kind(name: str) -> Any:
        return pa.int64() if name in _WHOLE else pa.float64() if name in _REAL else pa.string()

    rows = list(_rows(given))
    schema = pa.schema([(name, kind(name)) for name in COLUMNS])
    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
    return {"": buffer.getvalue()}


def _rows(given: Given) -> Iterator[dict[str, Any]]:
    """One row per figure; a trial without any has one row all the same."""
    names = labels(given.trials)
    asked = {one.name for one in usual(given)} if given.asked else None
    for trial in given.trials:
        found = [name for name in sorted(trial.metrics) if asked is None or name in asked]
        for name in found or (None,):
            yield {**_trial(given, trial, names[trial.kind, trial.cell_id]), **_figure(trial, name)}


def _trial(given: Given, trial: TrialResult, cell: str) -> dict[str, Any]:
    return {
        "suite": given.suite,
        "cell": cell,
        "cell_id": trial.cell_id,
        "kind": trial.kind,
        "method": trial.method,
        "trial": trial.name,
        "trial_id": trial.trial_id,
        "seed": trial.seed,
        "outcome": trial.outcome,
        "cause": trial.cause,
        "attempt": trial.counted,
        "attempts": trial.attempts,
        "last_outcome": trial.last_outcome,
        "environment": trial.environment,
        "disturbed": "; ".join(trial.disturbed) or None,
        "levels": "; ".join(f"{axis}={level}" for axis, level in trial.levels.items()) or None,
    }


def _figure(trial: TrialResult, name: str | None) -> dict[str, Any]:
    known = metric(name) if name is not None else None
    return {
        "metric": name,
        "unit": known.unit if known else None,
        "better": known.better if known else None,
        "value": trial.metrics.get(name) if name is not None else None,
        "stderr": trial.stderr.get(name) if name is not None else None,
    }
