"""Rows on their way into the tables: plain tuples for the narrow ones, Arrow batches for the long one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.store import plain
from harness.store.documents import Documents
from harness.store.events import Column
from harness.store.scores import ScoreRows

if TYPE_CHECKING:
    import pyarrow

COLUMNS: dict[str, str] = {
    "trials": "suite trial_id name cell_id cell_name kind method levels:map_text seed:int starts_from suite_file "
    "question folder spec",
    "attempts": "suite trial_id attempt:int outcome phase cause started_at ended_at duration_s:float environment "
    "weights_hash step_hashes:map_text data_fingerprint active facts disturbed:list_text breakdown compute run",
    "metrics": "suite trial_id attempt:int metric value:float",
    "phases": "suite trial_id attempt:int phase started_s:float ended_s:float seconds:float",
    "notes": "suite trial_id attempt:int t:float level text",
    "findings": "suite trial_id attempt:int name step:int level text",
    "environment_files": "suite trial_id environment content",
    "data_overlaps": "suite trial_id task task_hash data_fingerprint documents:int exact:int ngram:int short:int "
    "n:int share:float training_rows:int trained_on reason examples source",
    "earlier_scores": "suite trial_id task backend weights_hash scored_at metric value:float source",
    "ingested": "folder part signature",
}
"""Columns of each narrow table in order, with their type where it is not text (JSON travels as text)."""

SAMPLES = ("suite", "trial_id", "attempt", "metric", "step", "t", "value", "device")

Series = tuple[str, str | None, Column]
"""A metric, the device it is of (None: of the training), and its samples."""


@dataclass(slots=True)
class Rows:
    """Rows by table. `samples` holds one Arrow batch per attempt; `asked` the documents of `scores` by digest."""

    tables: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    samples: list[pyarrow.RecordBatch] = field(default_factory=list)
    n_samples: int = 0
    scores: list[ScoreRows] = field(default_factory=list)
    asked: dict[str, pyarrow.Table] = field(default_factory=dict)
    n_documents: int = 0

    def add(self, table: str, *values: Any) -> None:
        """One row."""
        self.tables[table].append(values)

    def add_samples(self, suite: str, trial_id: str, attempt: int, columns: Sequence[Series]) -> None:
        """Every sample of one attempt, by metric; a metric may come several times."""
        if columns:
            batch = _batch(suite, trial_id, attempt, columns)
            self.samples.append(batch)
            self.n_samples += batch.num_rows

    def add_score(self, rows: ScoreRows, found: Documents) -> None:
        """One score, and the documents it was asked."""
        self.scores.append(rows)
        self.asked.setdefault(found.digest, found.asked)
        self.n_documents += found.results.num_rows

    def arrow(self) -> dict[str, pyarrow.Table]:
        """Arrow tables by table name, empty ones left out; without scores, which get their numbers while writing."""
        import pyarrow as pa

        made = {name: arrow_table(COLUMNS[name], rows) for name, rows in self.tables.items() if rows}
        if self.samples:
            made["samples"] = pa.Table.from_batches(self.samples)
        return made


def _batch(suite: str, trial_id: str, attempt: int, series: Sequence[Series]) -> pyarrow.RecordBatch:
    import numpy as np
    import pyarrow as pa

    columns = [column for _, _, column in series]
    sizes = [len(column.values) for column in columns]
    total = sum(sizes)

    def repeated(words: Sequence[str | None]) -> pyarrow.Array:
        """One word for each series, as often as it has samples."""
        known = list(dict.fromkeys(word for word in words if word is not None))
        places = [known.index(word) if word is not None else None for word in words]
        indices: Any = np.repeat(np.array([place or 0 for place in places], dtype=np.int32), sizes)
        missing: Any = np.repeat([place is None for place in places], sizes)
        dictionary = pa.array([plain.text(word) for word in known], pa.string())
        return pa.DictionaryArray.from_arrays(pa.array(indices, mask=missing), dictionary)

    stepless: Any = np.repeat([len(column.steps) == 0 for column in columns], sizes)
    steps: Any = np.zeros(total, dtype=np.int64)
    steps[~stepless] = np.concatenate([np.frombuffer(column.steps, dtype=np.int64) for column in columns])
    times = np.concatenate([np.frombuffer(column.times, dtype=np.float64) for column in columns])
    values = np.concatenate([np.frombuffer(column.values, dtype=np.float64) for column in columns])
    arrays = [
        repeated([suite] * len(series)),
        repeated([trial_id] * len(series)),
        pa.array(np.full(total, attempt, dtype=np.int32)),
        repeated([metric for metric, _, _ in series]),
        pa.array(steps, mask=stepless),
        pa.array(times, from_pandas=True),  # an unknown time is NULL
        pa.array(values),  # a NaN value stays NaN: it is what was measured
        repeated([device for _, device, _ in series]),
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(SAMPLES))


def arrow_table(columns: str, rows: Sequence[tuple[Any, ...]]) -> pyarrow.Table:
    """The rows as columns, `columns` as those of `COLUMNS`."""
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "map_text": pa.map_(pa.string(), pa.string()),
        "list_text": pa.list_(pa.string()),
    }
    arrays, names = [], []
    for place, column in enumerate(columns.split()):
        title, _, kind = column.partition(":")
        arrays.append(pa.array([row[place] for row in rows], types[kind or "text"]))
        names.append(title)
    return pa.Table.from_arrays(arrays, names=names)
