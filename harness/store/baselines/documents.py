"""Values of single documents as Parquet tables, and back: what pairs a saved score with a later one.

What a task asks is kept once for all trials that were asked it. Answers in full are not kept: they are most of what
scoring writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.records.document_scores import Asked, DocumentAnswer, DocumentProvider, DocumentScores
from harness.records.results import SuiteResults
from harness.store.baselines.tables import parquet, read_table

if TYPE_CHECKING:
    import numpy as np

_ASKED, _VALUES = "asked.parquet", "documents.parquet"
_LISTS = ("doc_hashes", "prompt_hashes", "sources")


def documents_of(results: SuiteResults, provider: DocumentProvider) -> list[DocumentScores]:
    """All that is known of single documents of these results' scores, tasks and trials in the results' order."""
    found: list[DocumentScores] = []
    for task in dict.fromkeys(score.task for score in results.scores if score.step is None):
        prefix = f"score.{task}."
        names = {
            name.removeprefix(prefix) for trial in results.trials for name in trial.metrics if name.startswith(prefix)
        }
        told = provider.scores(task, sorted(names), [trial.trial_id for trial in results.trials])
        found += [told[trial.trial_id] for trial in results.trials if trial.trial_id in told]
    return found


def tables_of(documents: Sequence[DocumentScores]) -> dict[str, bytes]:
    """Parquet by name; no tables where there are no documents."""
    import pyarrow as pa

    if not documents:
        return {}
    asked = _distinct([one.asked for one in documents])
    place = {id(one.asked): asked.index(_key(one.asked)) for one in documents}
    sets = pa.table(
        {
            "task": pa.array([key[0] for key in asked], pa.string()),
            "indices": pa.array([list(key[1]) for key in asked], pa.list_(pa.int64())),
            **{
                name: pa.array([list(key[2 + number]) for key in asked], pa.list_(pa.string()))
                for number, name in enumerate(_LISTS)
            },
        }
    )
    rows = [(one, metric) for one in documents for metric in sorted(one.values)]
    values = pa.table(
        {
            "trial_id": pa.array([one.trial_id for one, _ in rows], pa.string()),
            "asked": pa.array([place[id(one.asked)] for one, _ in rows], pa.int32()),
            "metric": pa.array([metric for _, metric in rows], pa.string()),
            "values": pa.array([one.values[metric] for one, metric in rows], pa.list_(pa.float64())),
        }
    )
    return {_ASKED: parquet(sets), _VALUES: parquet(values)}


_Key = tuple[str, tuple[int, ...], tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]


def _key(asked: Asked) -> _Key:
    lists = [tuple(getattr(asked, name)) for name in _LISTS]
    return (asked.task, tuple(asked.indices), lists[0], lists[1], lists[2])


def _distinct(asked: Sequence[Asked]) -> list[_Key]:
    seen: dict[int, Asked] = {id(one): one for one in asked}
    return list(dict.fromkeys(_key(one) for one in seen.values()))


@dataclass(slots=True)
class SavedDocuments:
    """The documents of a file; they are read when they are first asked for."""

    tables: Mapping[str, bytes]
    _read: dict[tuple[str, str], DocumentScores] | None = field(default=None, init=False)

    def scores(self, task: str, metrics: Sequence[str], trial_ids: Sequence[str]) -> Mapping[str, DocumentScores]:
        """By trial id, without trials that have no documents of the task."""
        if self._read is None:
            self._read = _all(self.tables)
        held = {trial: one for trial in trial_ids if (one := self._read.get((task, trial))) is not None}
        return {trial: _only(one, metrics) for trial, one in held.items()}

    def answers(
        self, task: str, trial_ids: Sequence[str], doc_hashes: Sequence[str]
    ) -> Mapping[str, Mapping[str, DocumentAnswer]]:
        """None: they are not kept."""
        return {}


def _only(one: DocumentScores, metrics: Sequence[str]) -> DocumentScores:
    values = {name: one.values[name] for name in metrics if name in one.values}
    return DocumentScores(trial_id=one.trial_id, asked=one.asked, values=values)


def _all(tables: Mapping[str, bytes]) -> dict[tuple[str, str], DocumentScores]:
    import numpy as np

    if _ASKED not in tables or _VALUES not in tables:
        return {}
    asked = [Asked(**row) for row in read_table(tables[_ASKED]).to_pylist()]
    values: dict[tuple[str, int], dict[str, np.ndarray]] = {}
    table = read_table(tables[_VALUES])
    told = zip(table["trial_id"].to_pylist(), table["asked"].to_pylist(), table["metric"].to_pylist(), strict=True)
    for number, (trial, place, metric) in enumerate(told):
        values.setdefault((trial, place), {})[metric] = np.asarray(table["values"][number].as_py(), dtype=np.float64)
    return {
        (asked[place].task, trial): DocumentScores(trial_id=trial, asked=asked[place], values=found)
        for (trial, place), found in values.items()
    }
