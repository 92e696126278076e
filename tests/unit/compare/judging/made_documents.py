"""Documents made by hand: who answered what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.compare.judging.pairing import Answered, Paired, paired
from harness.records.document_scores import Asked

NAME = "score.task.acc"
Table = Any
"""Values, shape (seeds, documents)."""


def asked(count: int, **changes: Any) -> Asked:
    """Documents that are told apart by their number."""
    fields = {"task": "task", "indices": range(count), "doc_hashes": [f"d{number}" for number in range(count)]}
    return Asked(**(fields | changes))


def answered(values: Table, of: Asked | None = None, *, side: str = "a", seeds: Sequence[int] = ()) -> list[Answered]:
    """One trial per row."""
    table = np.atleast_2d(np.asarray(values, dtype=float))
    what = of or asked(table.shape[1])
    numbers = seeds or range(len(table))
    return [
        Answered(trial_id=f"{side}{seed}", seed=seed, asked=what, values=row)
        for seed, row in zip(numbers, table, strict=True)
    ]


def pair_of(before: Table, after: Table, of: Asked | None = None, *, own_seeds: bool = False) -> Paired:
    """Both sides asked the same; with the same seeds, or seeds of their own."""
    what = of or asked(np.atleast_2d(before).shape[1])
    first = len(np.atleast_2d(before)) if own_seeds else 0
    seeds = range(first, first + len(np.atleast_2d(after)))
    found = paired(answered(before, what), answered(after, what, side="b", seeds=seeds))
    assert isinstance(found, Paired)
    return found
