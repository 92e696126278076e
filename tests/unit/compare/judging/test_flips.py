"""Documents that turned: by the majority of seeds, with what was answered."""

from __future__ import annotations

import numpy as np

from harness.compare.judging.flips import flips, with_answers
from harness.records.document_scores import DocumentAnswer, Flip
from tests.unit.compare.judging.made_documents import asked, pair_of

BEFORE = np.array([[1, 0, 1, 0], [1, 0, 1, 1], [0, 0, 1, 0]])
AFTER = np.array([[0, 1, 1, 0], [1, 1, 1, 0], [0, 1, 1, 1]])


def test_the_majority_of_seeds_decides() -> None:
    found = flips("task", "acc", pair_of(BEFORE, AFTER))

    assert found is not None
    assert (found.fixed, found.broken, found.tied, found.documents) == (1, 1, 0, 4)
    assert found.listed == (
        Flip(change="broken", index=0, doc_hash="d0", right=((2, 3), (1, 3))),
        Flip(change="fixed", index=1, doc_hash="d1", right=((0, 3), (3, 3))),
    )


def test_seeds_divided_evenly_decide_nothing() -> None:
    found = flips("task", "acc", pair_of(BEFORE[:2], AFTER[:2]))

    assert found is not None
    assert (found.fixed, found.broken, found.tied) == (1, 0, 2)


def test_all_are_counted_and_some_listed() -> None:
    found = flips("task", "acc", pair_of(np.zeros(9), np.ones(9)), most=2)

    assert found is not None
    assert (found.fixed, [flip.index for flip in found.listed]) == (9, [0, 1])


def test_what_is_not_right_or_wrong_does_not_turn() -> None:
    assert flips("task", "f1", pair_of([0.2, 1.0], [0.9, 0.0])) is None


def test_answers_are_those_of_the_majority() -> None:
    pair = pair_of(BEFORE, AFTER, asked(4, indices=[10, 11, 12, 13]))
    found = flips("task", "acc", pair)
    assert found is not None
    said = {"a0": "4", "a1": "4", "a2": "5", "b0": "7", "b1": "4", "b2": "7"}
    answers = {trial: {"d0": DocumentAnswer(index=10, target="4", response=text)} for trial, text in said.items()}

    broken, fixed = with_answers(found, pair, answers, answers).listed

    assert (broken.index, broken.target, broken.reference, broken.candidate) == (10, "4", "4", "7")
    assert (fixed.target, fixed.reference, fixed.candidate) == (None, None, None)  # nothing was kept of it
