"""The trials of a baseline as Parquet tables, and back."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from harness.records.results import Curve, Finding, SuiteResults, TaskScore, TrialResult

if TYPE_CHECKING:
    import pyarrow as pa

CURVES = ("loss",)
"""The curves that are kept: they tell two trainings apart. Others are as long, and nothing is compared by them."""
_PLAIN = ("trial_id", "cell_id", "name", "cell_name", "kind", "method", "outcome", "phase", "cause", "environment")
_NUMBERS = ("seed", "attempts", "counted")
_JSON = ("levels", "config", "active", "facts", "stderr", "notes", "disturbed", "findings", "surroundings")
_TUPLES = ("notes", "disturbed")


def tables_of(results: SuiteResults) -> dict[str, bytes]:
    """Parquet by name, the same bytes for the same results."""
    found = {
        "trials.parquet": _trials(results.trials),
        "metrics.parquet": _metrics(results.trials),
        "scores.parquet": _scores(results.scores),
        "curves.parquet": _curves([curve for curve in results.curves if curve.metric in CURVES]),
    }
    return {name: parquet(table) for name, table in found.items()}


def parquet(table: pa.Table) -> bytes:
    """The table as a Parquet file: zstd, one row group, no statistics: it is read as a whole."""
    import pyarrow.parquet

    held = io.BytesIO()
    pyarrow.parquet.write_table(
        table,
        held,
        compression="zstd",
        compression_level=9,
        row_group_size=max(1, table.num_rows),
        write_statistics=False,
        store_schema=False,
    )
    return held.getvalue()


def read_table(content: bytes) -> pa.Table:
    """The table of a Parquet file."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    return ParquetFile(pa.BufferReader(content)).read()  # read_table imports pandas


def _dumped(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def _trials(trials: Sequence[TrialResult]) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, Any] = {
        name: pa.array([getattr(trial, name) for trial in trials], pa.string()) for name in (*_PLAIN, "last_outcome")
    }
    columns |= {name: pa.array([getattr(trial, name) for trial in trials], pa.int64()) for name in _NUMBERS}
    for name in _JSON:
        columns[name] = pa.array([_dumped(_as_json(name, trial)) for trial in trials], pa.string())
    return pa.table(columns)


def _as_json(name: str, trial: TrialResult) -> Any:
    value = getattr(trial, name)
    if name == "findings":
        return [asdict(finding) for finding in value]
    if name == "config" and "suite_file" in value:  # a path of this machine, which says who runs it
        return {**value, "suite_file": PurePath(value["suite_file"]).name}
    return list(value) if name in _TUPLES else dict(value)


def _metrics(trials: Sequence[TrialResult]) -> pa.Table:
    """One row per metric, trials by their place."""
    import pyarrow as pa

    rows = [
        (place, name, float(trial.metrics[name]))
        for place, trial in enumerate(trials)
        for name in sorted(trial.metrics)
    ]
    places, names, values = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "trial": pa.array(places, pa.int32()),
            "metric": pa.array(names, pa.string()).dictionary_encode(),
            "value": pa.array(values, pa.float64()),
        }
    )


def _scores(scores: Sequence[TaskScore]) -> pa.Table:
    import pyarrow as pa

    return pa.table({"score": pa.array([_dumped(asdict(score)) for score in scores], pa.string())})


def _curves(curves: Sequence[Curve]) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "trial_id": pa.array([curve.trial_id for curve in curves], pa.string()),
            "cell_name": pa.array([curve.cell_name for curve in curves], pa.string()),
            "seed": pa.array([curve.seed for curve in curves], pa.int64()),
            "metric": pa.array([curve.metric for curve in curves], pa.string()),
            "steps": pa.array([list(curve.steps) for curve in curves], pa.list_(pa.int64())),
            "values": pa.array([list(curve.values) for curve in curves], pa.list_(pa.float64())),
            "ended": pa.array([curve.ended for curve in curves], pa.bool_()),
        }
    )


def trials_of(tables: Mapping[str, bytes]) -> tuple[TrialResult, ...]:
    """The trials of `tables_of`."""
    rows = read_table(tables["trials.parquet"]).to_pylist()
    figures = _figures(read_table(tables["metrics.parquet"]), len(rows))
    return tuple(_trial(row, metrics) for row, metrics in zip(rows, figures, strict=True))


def _trial(row: Mapping[str, Any], metrics: Mapping[str, float]) -> TrialResult:
    row = {"surroundings": "{}", **row}  # files of another time have none
    told = {name: json.loads(row[name]) for name in _JSON}
    told |= {name: tuple(told[name]) for name in _TUPLES}
    told["findings"] = tuple(Finding(**finding) for finding in told["findings"])
    return TrialResult(**{**row, **told, "metrics": metrics})


def _figures(table: pa.Table, trials: int) -> list[dict[str, float]]:
    """Metrics of each trial, in the order of the trials."""
    columns = (table[name].to_pylist() for name in ("trial", "metric", "value"))
    found: list[dict[str, float]] = [{} for _ in range(trials)]
    for place, name, value in zip(*columns, strict=True):
        found[place][name] = value
    return found


def scores_of(tables: Mapping[str, bytes]) -> tuple[TaskScore, ...]:
    """The scores of `tables_of`."""
    told = (json.loads(text) for text in read_table(tables["scores.parquet"])["score"].to_pylist())
    return tuple(TaskScore(**{**one, "notes": tuple(one["notes"]), "members": tuple(one["members"])}) for one in told)


def curves_of(tables: Mapping[str, bytes]) -> tuple[Curve, ...]:
    """The curves of `tables_of`."""
    return tuple(_curve(row) for row in read_table(tables["curves.parquet"]).to_pylist())


def _curve(row: Mapping[str, Any]) -> Curve:
    return Curve(**{**row, "steps": tuple(row["steps"]), "values": tuple(row["values"])})


def environments_in_use(results: SuiteResults, trials: Iterable[TrialResult]) -> dict[str, dict[str, Any]]:
    """The environments that these trials ran in, by hash."""
    used = {trial.environment for trial in trials}
    return {key: dict(content) for key, content in sorted(results.environments.items()) if key in used}
