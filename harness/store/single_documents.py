"""Single documents of a suite's scores: values as arrays, and answers as text, of the score that counts per trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.records.document_scores import Asked, DocumentAnswer, DocumentScores
from harness.store.connection import opened

if TYPE_CHECKING:
    import duckdb

_COUNTING = """
SELECT DISTINCT s.score, s.trial_id, s.document_set
FROM trial_scores JOIN task_scores AS s USING (score)
WHERE s.suite = ? AND s.task = ? AND s.trial_id IN ? AND s.document_set IS NOT NULL
"""
_ASKED = (
    "SELECT document, doc_hash, prompt_hash, source_hash FROM task_documents WHERE document_set = ? ORDER BY document"
)
_ANSWERS = """
SELECT trial_id, doc_hash, d.document, target, coalesce(r.response, c.text) AS response
FROM (SELECT document_set, document, doc_hash, target FROM task_documents WHERE doc_hash IN ?) AS d
JOIN counting AS s USING (document_set)
JOIN score_results AS r ON r.score = s.score AND r.document = d.document
JOIN task_choices AS c ON c.document_set = d.document_set AND c.document = d.document AND c.choice = r.choice
ORDER BY trial_id, d.document
"""


@dataclass(frozen=True, slots=True)
class SingleDocuments:
    """A `harness.records.document_scores.DocumentProvider` of one suite; the database is open only while it answers.

    Both raise StoreError where the database is missing, locked, damaged or of another version.
    """

    path: Path
    suite: str
    patience_s: float

    def scores(self, task: str, metrics: Sequence[str], trial_ids: Sequence[str]) -> Mapping[str, DocumentScores]:
        """Values of each trial; trials that were asked the same documents share what they were asked."""
        with opened(self.path, write=False, patience_s=self.patience_s) as connection:
            return _scores(connection, self.suite, task, metrics, trial_ids)

    def answers(
        self, task: str, trial_ids: Sequence[str], doc_hashes: Sequence[str]
    ) -> Mapping[str, Mapping[str, DocumentAnswer]]:
        """What each trial answered to these documents."""
        found: dict[str, dict[str, DocumentAnswer]] = {}
        if not trial_ids or not doc_hashes:
            return found
        with opened(self.path, write=False, patience_s=self.patience_s) as connection:
            _count(connection, self.suite, task, trial_ids)
            rows = connection.execute(_ANSWERS, [list(doc_hashes)]).fetchall()
        for trial_id, doc_hash, document, target, response in rows:
            answer = DocumentAnswer(index=document, target=target, response=response)
            found.setdefault(trial_id, {}).setdefault(doc_hash, answer)
        return found


def _count(connection: duckdb.DuckDBPyConnection, suite: str, task: str, trial_ids: Sequence[str]) -> list[Any]:
    """Makes the table `counting` of the scores that count: score, trial_id, document_set. Returns its rows."""
    connection.execute(f"CREATE TEMP TABLE counting AS {_COUNTING}", [suite, task, list(trial_ids)])
    return list(connection.execute("SELECT score, trial_id, document_set FROM counting ORDER BY trial_id").fetchall())


def _scores(
    connection: duckdb.DuckDBPyConnection, suite: str, task: str, metrics: Sequence[str], trial_ids: Sequence[str]
) -> dict[str, DocumentScores]:
    import numpy as np

    counting = _count(connection, suite, task, trial_ids) if trial_ids and metrics else []
    if not counting:
        return {}
    asked = {number: _asked(connection, task, number) for number in {row[2] for row in counting}}
    columns = ", ".join(f"metrics[?] AS value{number}" for number in range(len(metrics)))
    found = connection.execute(
        f"SELECT score, {columns} FROM score_results JOIN counting USING (score) ORDER BY score, document",
        list(metrics),
    ).fetchnumpy()
    scores = np.asarray(found["score"])
    values = {
        name: np.ma.filled(found[f"value{number}"].astype(np.float64), np.nan) for number, name in enumerate(metrics)
    }
    answer: dict[str, DocumentScores] = {}
    for score, trial_id, document_set in counting:
        begin, end = (int(np.searchsorted(scores, number)) for number in (score, score + 1))
        if end - begin != len(asked[document_set].indices) or begin == end:
            continue  # a score without documents: only its figures were imported
        own = {name: column[begin:end] for name, column in values.items()}
        present = {name: column for name, column in own.items() if not np.isnan(column).all()}
        answer[trial_id] = DocumentScores(trial_id=trial_id, asked=asked[document_set], values=present)
    return answer


def _asked(connection: duckdb.DuckDBPyConnection, task: str, document_set: int) -> Asked:
    rows = connection.execute(_ASKED, [document_set]).fetchall()
    indices, doc_hashes, prompt_hashes, hashes = zip(*rows, strict=True) if rows else ((), (), (), ())
    sources = hashes if any(hashes) else ()
    return Asked(task=task, indices=indices, doc_hashes=doc_hashes, prompt_hashes=prompt_hashes, sources=sources)
