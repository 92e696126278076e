"""What trials got on the single documents of a task: what stores and baselines give, and verdicts on scores take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Asked:
    """The documents of a task, one entry each in every sequence; trials that were asked the same share one of these.

    `doc_hashes` pair documents over trials (None: it has no hash, and cannot be paired). `prompt_hashes` tell whether
    they were asked alike, `sources` which were made from the same text and so succeed or fail together (a passage with
    several questions); both empty where that is not known. `indices` are those of the task.
    """

    task: str
    indices: Sequence[int]
    doc_hashes: Sequence[str | None]
    prompt_hashes: Sequence[str | None] = ()
    sources: Sequence[str | None] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DocumentScores:
    """One trial's values on the documents of a task.

    `values` by metric as lm-eval names it (`acc`): an array of float64, shape (documents,), in the order of `asked`;
    NaN where the document has no value.
    """

    trial_id: str
    asked: Asked
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentAnswer:
    """What one trial answered to a document, as text, and what was expected; None where it was not kept."""

    index: int
    target: str | None
    response: str | None


class DocumentProvider(Protocol):
    """What one side of a comparison knows of single documents: a store's suite, or a saved baseline."""

    def scores(self, task: str, metrics: Sequence[str], trial_ids: Sequence[str]) -> Mapping[str, DocumentScores]:
        """By trial id, without trials that have no documents of the task; of the score that counts for each."""

    def answers(
        self, task: str, trial_ids: Sequence[str], doc_hashes: Sequence[str]
    ) -> Mapping[str, Mapping[str, DocumentAnswer]]:
        """By trial id and document hash, without those that were not kept; the first of equal documents."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flip:
    """A document that most seeds of one side got right and most of the other wrong.

    `fixed`: the candidate is right. `right` are the seeds that were right, of how many, of the reference and of the
    candidate. `reference` and `candidate` are the most frequent answers of those seeds that make the majority.
    """

    change: Literal["fixed", "broken"]
    index: int
    doc_hash: str
    right: tuple[tuple[int, int], tuple[int, int]]
    target: str | None = None
    reference: str | None = None
    candidate: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Flips:
    """Documents of one task that were fixed and broken, by a metric of 0 and 1.

    `fixed` and `broken` count them all; `listed` are those asked for, in the order of their index. `tied`: documents
    on which the seeds of a side are divided evenly, so that it has no majority.
    """

    task: str
    metric: str
    documents: int
    fixed: int
    broken: int
    tied: int
    listed: Sequence[Flip] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class OverDocuments:
    """What lies behind a verdict on a score that was made from its documents.

    `documents` pairs were counted, in `clusters` that vary as one (documents of one source, or the same twice).
    `document_error` and `seed_error` are the parts of the standard error that are due to which documents were asked,
    and to which seeds were trained; None where there is one seed a side, and nothing is known of others.
    `document_sd` and `seed_sd` are the standard deviations of the difference from document to document (of means over
    seeds) and from seed to seed (of means over all documents there could be). `correlation` is that of the two sides
    over documents; `gain` how many times as many documents it would take to know the difference as well, had the two
    sides been asked different ones. Of 0/1 metrics, means over seeds: `fixed`, `broken`, documents that one side alone
    gets right. `mcnemar`: the exact two-sided p of no change at all, of one checkpoint a side.
    """

    documents: int
    clusters: int
    seeds: tuple[int, int]
    document_error: float
    seed_error: float | None
    document_sd: float
    seed_sd: float | None
    correlation: float | None
    gain: float | None
    duplicates: int = 0  # documents that are there already
    without_value: int = 0  # documents left out, since some trial has no finite number
    fixed: float | None = None
    broken: float | None = None
    mcnemar: float | None = None
