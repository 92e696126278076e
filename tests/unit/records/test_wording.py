from __future__ import annotations

import pytest

from harness.records.wording import wording


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the loss jumped to 9, from a median of 2.7 in", "the loss jumped to 1.5e+03, from a median of 1e-05 in"),
        ("eval_loss became nan", "eval_loss became -inf"),
        ("12 more spikes, up to 8", "3 more spikes, up to -0.5"),
        ("wins in 50% of the pairs", "wins in 7% of the pairs"),
        ("memory of 1,024 tokens", "memory of 3 tokens"),
    ],
)
def test_other_numbers_are_the_same_wording(one: str, other: str) -> None:
    assert wording(one) == wording(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("entropy became nan", "eval_loss became nan"),
        ("the gradient norm is below 0.1", "the gradient norm is between 10 and 100"),
    ],
)
def test_other_words_are_another_wording(one: str, other: str) -> None:
    assert wording(one) != wording(other)
