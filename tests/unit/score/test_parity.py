"""Two backends' answers to the same documents, compared."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records.events import encode
from harness.records.score import Document
from harness.score.parity import NOTE, TOLERANCE, compare, note


def document(index: int, *logprobs: float, response: str = "4", **more: Any) -> Document:
    one = Document(
        index=index,
        doc_hash=f"d{index}",
        prompt_hash=f"p{index}",
        target_hash="t",
        target="4",
        response=response,
        metrics={"acc": float(response == "4")},
        logprobs=list(logprobs),
    )
    return replace(one, **more)


OURS = [document(index, -1.0 - index, -2.0) for index in range(4)]


def test_equal_answers_leave_nothing_to_say() -> None:
    found = compare(OURS, OURS, backend="hf")
    assert found == {
        "backend": "hf",
        "documents": 4,
        "other_prompts": 0,
        "max_logprob_difference": 0.0,
        "mean_logprob_difference": 0.0,
        "same_answers": 4,
        "metrics": {"acc": [1.0, 1.0]},
        "tolerance": TOLERANCE,
    }
    assert note(found) is None


def test_what_differs_is_counted_and_said() -> None:
    theirs = [document(0, -1.0, -2.0), document(1, -2.5, -2.0, response="5")]
    found = compare(OURS, theirs, backend="hf")
    assert (found["documents"], found["same_answers"]) == (2, 1)
    assert found["max_logprob_difference"] == pytest.approx(0.5)
    assert found["mean_logprob_difference"] == pytest.approx(0.125)
    assert found["metrics"] == {"acc": [1.0, 0.5]}
    assert note(found) == (
        f"{NOTE}hf gave the same answer on 1 of 2 documents; log-probabilities differ by up to 0.5 nats"
    )


@pytest.mark.parametrize(("apart", "said"), [(TOLERANCE * 0.99, False), (TOLERANCE * 1.01, True)])
def test_a_difference_within_the_tolerance_is_none(apart: float, said: bool) -> None:
    found = compare([document(0, 0.0)], [document(0, -apart)], backend="hf")
    assert found["same_answers"] == 1
    assert (note(found) is not None) is said


def test_generated_text_has_no_difference_in_nats() -> None:
    found = compare([document(0, response="4")], [document(0, response="five")], backend="hf")
    assert (found["max_logprob_difference"], found["mean_logprob_difference"]) == (None, None)
    assert note(found) == f"{NOTE}hf gave the same answer on 0 of 1 documents"


def test_a_character_that_was_not_ended_is_no_other_answer() -> None:
    """transformers writes U+FFFD for its first bytes, vLLM waits for the rest, which never comes."""
    cut = compare([document(0, response="7")], [document(0, response="7\ufffd\ufffd")], backend="hf")
    inside = compare([document(0, response="71")], [document(0, response="7\ufffd1")], backend="hf")
    assert (cut["same_answers"], inside["same_answers"]) == (1, 0)


def test_other_prompts_are_not_compared() -> None:
    theirs = [replace(OURS[0], prompt_hash="other"), OURS[1]]
    found = compare(OURS, theirs, backend="hf")
    assert (found["documents"], found["other_prompts"]) == (1, 1)
    assert note(found) == f"{NOTE}1 documents were asked with another prompt by hf"


def test_nothing_to_compare_is_said() -> None:
    assert note(compare(OURS, [], backend="hf")) == f"{NOTE}no document could be compared with hf"


def test_numbers_that_are_none_are_equal_to_their_like_alone() -> None:
    nan, inf = math.nan, math.inf
    both = compare([document(0, nan, -inf)], [document(0, nan, -inf)], backend="hf")
    assert both["max_logprob_difference"] == 0.0
    one = compare([document(0, nan)], [document(0, -1.0)], backend="hf")
    assert one["max_logprob_difference"] == inf
    assert "differ by up to inf nats" in str(note(one))


NUMBERS = st.floats(min_value=-100, max_value=0) | st.sampled_from([math.nan, -math.inf])
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS, st.booleans()), max_size=6)


@given(PAIRS)
def test_the_order_of_backends_changes_no_difference(pairs: list[tuple[float, float, bool]]) -> None:
    ours = [document(index, a) for index, (a, _, _) in enumerate(pairs)]
    theirs = [document(index, b, response="4" if same else "5") for index, (_, b, same) in enumerate(pairs)]
    found, back = compare(ours, theirs, backend="hf"), compare(list(reversed(theirs)), ours, backend="hf")
    assert found["max_logprob_difference"] == back["max_logprob_difference"]
    assert found["same_answers"] == sum(same for _, _, same in pairs) == back["same_answers"]
    assert {name: both[::-1] for name, both in back["metrics"].items()} == found["metrics"]
    encode(found)  # NaN and infinities go into score.json too
    quiet = found["same_answers"] == found["documents"] and (found["max_logprob_difference"] or 0) <= TOLERANCE
    assert (note(found) is None) is (quiet and bool(pairs))
