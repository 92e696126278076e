"""Documents of two sides put side by side: by their hashes, so that each is compared with itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harness.compare.judging.effects import seeds_alone
from harness.records.document_scores import Asked

if TYPE_CHECKING:
    import numpy as np

LEAST_SHARED = 2
"""Seeds that both sides must have to be paired by seed."""
_SIDES = ("reference", "candidate")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """One trial's values of one metric, one per document of `asked`; NaN where there is none."""

    trial_id: str
    seed: int
    asked: Asked
    values: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """Values of both sides on the same documents, all finite: shapes (trials of a side, documents).

    `positions` are the documents' places in `asked`. `clusters`: for each document the number of what varies as one,
    from 0; None where each varies by itself. `by_seed`: row for row the two sides have the same seed.
    """

    asked: Asked
    reference: np.ndarray
    candidate: np.ndarray
    trials: tuple[Sequence[str], Sequence[str]]
    positions: np.ndarray
    clusters: np.ndarray | None
    by_seed: bool
    duplicates: int
    without_value: int
    left_out: Sequence[str]

    @property
    def documents(self) -> int:
        """How many are counted."""
        return len(self.positions)

    @property
    def n_clusters(self) -> int:
        """How many vary independently."""
        return self.documents if self.clusters is None else int(self.clusters.max(initial=-1)) + 1

    @property
    def binary(self) -> bool:
        """Whether every value is 0 or 1."""
        return all(bool(((side == 0) | (side == 1)).all()) for side in (self.reference, self.candidate))


def paired(reference: Sequence[Answered], candidate: Sequence[Answered]) -> Paired | str:
    """The two sides' documents side by side; a sentence instead where they are not the same documents, asked alike.

    A document that stands several times is paired with itself as often, in the order of the task, and all of its
    copies vary as one. Left out, and said: documents for which some trial has no finite number, trials without any,
    and seeds of one side alone where the two share at least two.
    """
    sides = [_one_per_seed(reference), _one_per_seed(candidate)]
    left_out = _silent(sides)
    shared = sides[0].keys() & sides[1].keys()
    by_seed = len(shared) >= LEAST_SHARED
    if by_seed:
        left_out += seeds_alone(*sides)
        sides = [{seed: side[seed] for seed in sorted(shared)} for side in sides]
    if not all(sides):
        return f"the {_SIDES[0] if not sides[0] else _SIDES[1]} has no document with a finite number"
    base = next(iter(sides[0].values())).asked
    orders: dict[Asked, Any] = {}
    for name, side in zip(_SIDES, sides, strict=True):
        for trial in side.values():
            if trial.asked not in orders:
                found = order(base, trial.asked)
                if isinstance(found, str):
                    return f"{name} {trial.trial_id}: {found}" if name == _SIDES[0] else found
                orders[trial.asked] = found
    return _put_together(base, sides, orders, by_seed=by_seed, left_out=left_out)


def _one_per_seed(trials: Sequence[Answered]) -> dict[int, Answered]:
    return {trial.seed: trial for trial in sorted(trials, key=lambda trial: trial.seed)}


def _silent(sides: list[dict[int, Answered]]) -> list[str]:
    """Takes out trials without any finite number, and says so."""
    import numpy as np

    told = []
    for name, side in zip(_SIDES, sides, strict=True):
        seeds = [seed for seed, trial in side.items() if not np.isfinite(trial.values).any()]
        for seed in seeds:
            del side[seed]
        told += [f"seed {seed} of the {name}: no document has a finite number" for seed in seeds]
    return told


def order(base: Asked, other: Asked) -> Any:
    """Places in `other` of the documents of `base`, shape (documents,); None where they are the same; a sentence where
    they are other documents, or were asked with other prompts.
    """
    import numpy as np

    if other is base:
        return None
    if None in base.doc_hashes or None in other.doc_hashes:
        return "documents without a hash cannot be paired"
    places = None
    if list(base.doc_hashes) != list(other.doc_hashes):
        there = _keys(other)
        wanted = _keys(base)
        common = len(there.keys() & wanted.keys())
        if common < len(wanted) or common < len(there):
            return (
                f"the documents differ: {len(wanted)} of the reference, {len(there)} of the candidate, {common} in both"
            )
        places = np.fromiter((there[key] for key in wanted), dtype=np.int64, count=len(wanted))
    prompts = _other_prompts(base, other, places)
    return f"the prompts differ on {prompts} of {len(base.doc_hashes)} documents" if prompts else places


def _keys(asked: Asked) -> dict[tuple[str | None, int], int]:
    """Place by document hash and how often it came before, in the order of the sequences."""
    seen: Counter[str | None] = Counter()
    found: dict[tuple[str | None, int], int] = {}
    for place, digest in enumerate(asked.doc_hashes):
        found[digest, seen[digest]] = place
        seen[digest] += 1
    return found


def _other_prompts(base: Asked, other: Asked, places: Any) -> int:
    """On how many documents the prompts are known and differ."""
    if not base.prompt_hashes or not other.prompt_hashes:
        return 0
    theirs = other.prompt_hashes if places is None else [other.prompt_hashes[place] for place in places]
    return sum(
        one != another and one is not None and another is not None
        for one, another in zip(base.prompt_hashes, theirs, strict=True)
    )


def _put_together(
    base: Asked,
    sides: Sequence[Mapping[int, Answered]],
    orders: Mapping[Asked, Any],
    *,
    by_seed: bool,
    left_out: list[str],
) -> Paired:
    import numpy as np

    before, after = (
        np.stack(
            [
                trial.values if orders[trial.asked] is None else trial.values[orders[trial.asked]]
                for trial in side.values()
            ]
        ).astype(np.float64, copy=False)
        for side in sides
    )
    finite = np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0)
    clusters, duplicates = clusters_of(base)
    without = int(len(finite) - finite.sum())
    if without:
        left_out.append(f"{without} of {len(finite)} documents, for which some trial has no finite number")
        before, after = before[:, finite], after[:, finite]
        clusters = None if clusters is None else np.unique(clusters[finite], return_inverse=True)[1]
    return Paired(
        asked=base,
        reference=before,
        candidate=after,
        trials=tuple([trial.trial_id for trial in side.values()] for side in sides),  # type: ignore[arg-type]
        positions=np.flatnonzero(finite),
        clusters=clusters,
        by_seed=by_seed,
        duplicates=duplicates,
        without_value=without,
        left_out=left_out,
    )


@lru_cache(maxsize=4)  # a matrix asks for the same task again and again
def clusters_of(asked: Asked) -> tuple[Any, int]:
    """For each document the number of what varies as one: its source, or else the document itself, which may stand
    several times. None where each stands alone. And how many documents are there already.
    """
    import numpy as np

    hashes = asked.doc_hashes
    distinct = len(set(hashes))
    keys: Sequence[object] = hashes
    if asked.sources:
        pairs = zip(asked.sources, hashes, strict=True)
        keys = [("source", source) if source is not None else ("document", digest) for source, digest in pairs]
    numbers: dict[object, int] = {}
    codes = np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), dtype=np.int64, count=len(keys))
    return (None if len(numbers) == len(keys) else codes), len(hashes) - distinct
