"""Documents that turned between two sides: which, and how many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from harness.compare.judging.pairing import Paired
from harness.records.document_scores import DocumentAnswer, Flip, Flips

if TYPE_CHECKING:
    import numpy as np

Answers = Mapping[str, Mapping[str, DocumentAnswer]]
"""By trial id and document hash."""


def flips(task: str, name: str, pair: Paired, *, most: int | None = None) -> Flips | None:
    """Documents that most seeds of one side got right and most of the other wrong; None for what is not 0 or 1.

    `most`: list at most so many that were fixed, and so many that were broken; all of them where it is None.
    """
    import numpy as np

    if not pair.binary:
        return None
    before, after = pair.reference.mean(axis=0), pair.candidate.mean(axis=0)
    places = {
        "fixed": np.flatnonzero((before < 0.5) & (after > 0.5)),
        "broken": np.flatnonzero((before > 0.5) & (after < 0.5)),
    }
    listed = [_flip(change, pair, place) for change in _CHANGES for place in places[change][:most]]
    return Flips(
        task=task,
        metric=name,
        documents=pair.documents,
        fixed=len(places["fixed"]),
        broken=len(places["broken"]),
        tied=int(((before == 0.5) | (after == 0.5)).sum()),
        listed=tuple(sorted(listed, key=lambda flip: (flip.index, flip.change))),
    )


_CHANGES: tuple[Literal["fixed", "broken"], ...] = ("fixed", "broken")


def _flip(change: Literal["fixed", "broken"], pair: Paired, place: np.intp) -> Flip:
    position = int(pair.positions[place])
    return Flip(
        change=change,
        index=int(pair.asked.indices[position]),
        doc_hash=str(pair.asked.doc_hashes[position]),
        right=(_right(pair.reference[:, place]), _right(pair.candidate[:, place])),
    )


def _right(values: np.ndarray) -> tuple[int, int]:
    return int(values.sum()), len(values)


def with_answers(found: Flips, pair: Paired, reference: Answers, candidate: Answers) -> Flips:
    """The same with what was expected, and what the majority of each side answered."""
    wanted = {flip.index for flip in found.listed}
    place = {
        int(pair.asked.indices[position]): number
        for number, position in enumerate(pair.positions)
        if pair.asked.indices[position] in wanted
    }
    listed = []
    for flip in found.listed:
        column = place[flip.index]
        fixed = flip.change == "fixed"
        before = _of_majority(flip, pair.trials[0], pair.reference[:, column] == (not fixed), reference)
        after = _of_majority(flip, pair.trials[1], pair.candidate[:, column] == fixed, candidate)
        target = next((answer.target for answer in (*before, *after) if answer.target is not None), None)
        listed.append(replace(flip, target=target, reference=_usual(before), candidate=_usual(after)))
    return replace(found, listed=tuple(listed))


def _of_majority(flip: Flip, trials: Sequence[str], chosen: Iterable[bool], answers: Answers) -> list[DocumentAnswer]:
    held = [answers.get(trial, {}).get(flip.doc_hash) for trial, among in zip(trials, chosen, strict=True) if among]
    return [answer for answer in held if answer is not None]


def _usual(answers: Sequence[DocumentAnswer]) -> str | None:
    """The most frequent answer, the first of those alike."""
    said = Counter(answer.response for answer in answers if answer.response is not None)
    return said.most_common(1)[0][0] if said else None
