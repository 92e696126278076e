"""Who reads a score is told of prompts that lost a token on the way, and no figure changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.score.encoding import Watched, notes_on_prompts

VOCABULARY = ["What?\n", "What?", "Answer:", " yes", "\n", " ", "yes", "7", "=", "7="]
Pair = tuple[list[int], list[int]]


class _LmEval:
    """Encodes greedily by the longest token; splits pairs as lm-eval's TemplateLM does."""

    backend = "causal"

    def __init__(self, *, backend: str = "causal") -> None:
        self.backend = backend

    def tok_encode(self, text: str) -> list[int]:
        tokens = []
        while text:
            token = max((known for known in VOCABULARY if text.startswith(known)), key=len)
            tokens.append(VOCABULARY.index(token))
            text = text[len(token) :]
        return tokens

    def _encode_pair(self, context: str, continuation: str) -> Pair:
        spaces = len(context) - len(context.rstrip())
        if spaces:
            context, continuation = context[:-spaces], context[-spaces:] + continuation
        if self.backend != "causal":
            return self.tok_encode(context), self.tok_encode(continuation)
        whole = self.tok_encode(context + continuation)
        return self.tok_encode(context), whole[len(self.tok_encode(context)) :]


class _Model(Watched, _LmEval):
    pass


@pytest.mark.parametrize(
    ("context", "continuation", "cut"),
    [
        ("What?\n", "yes", True),  # the newline is in neither part
        ("7", "=7", True),  # as is what joins the answer's first token: here the model sees "7" "7"
        ("Answer: ", "yes", False),  # the space goes to the answer, where it belongs
        ("Answer:", " yes", False),
        ("What?", "7", False),
    ],
)
def test_a_prompt_that_loses_a_token_is_noted(context: str, continuation: str, cut: bool) -> None:
    model = _Model()
    model._encode_pair(context, continuation)
    assert model.is_cut(context) is cut
    assert bool(notes_on_prompts(model, [{context}])) is cut


@given(pieces=st.lists(st.sampled_from(VOCABULARY), min_size=2), at=st.integers(0))
def test_the_tokens_are_lm_evals_own(pieces: list[str], at: int) -> None:
    at = 1 + at % (len(pieces) - 1)
    context, continuation = "".join(pieces[:at]), "".join(pieces[at:])
    model = _Model()
    found = model._encode_pair(context, continuation)
    assert found == _LmEval()._encode_pair(context, continuation)
    assert model.is_cut(context) is (
        "".join(VOCABULARY[token] for part in found for token in part) != context + continuation
    )


def test_documents_are_counted_once_however_many_prompts_and_answers_they_have() -> None:
    model = _Model()
    for context, continuation in [("What?\n", "yes"), ("What?\n", "7"), ("=What?\n", "7"), ("What?", "7")]:
        model._encode_pair(context, continuation)
    (note,) = notes_on_prompts(model, [{"What?\n", "=What?\n"}, {"What?"}, {"What?\n"}])
    assert note.startswith("2 of 3 documents: the prompt did not reach the model whole")


def test_a_model_that_takes_the_parts_for_themselves_loses_nothing() -> None:
    model = _Model(backend="seq2seq")
    model._encode_pair("What?\n", "yes")
    assert notes_on_prompts(model, [{"What?\n"}]) == []


def test_a_model_that_nobody_watches_has_no_notes() -> None:
    assert notes_on_prompts(_LmEval(), [{"What?\n"}]) == []
