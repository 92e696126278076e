"""Where a prompt ends and its answer begins."""

from __future__ import annotations

import pytest

from harness.score.encoding import WholePrompts

VOCABULARY = ["What?\n", "What?", "Answer:", " yes", "\n", " ", "yes", "7", "="]


class _LmEval:
    """Encodes greedily by the longest token; splits pairs as lm-eval's TemplateLM does."""

    def tok_encode(self, text: str) -> list[int]:
        tokens = []
        while text:
            token = max((known for known in VOCABULARY if text.startswith(known)), key=len)
            tokens.append(VOCABULARY.index(token))
            text = text[len(token) :]
        return tokens

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        spaces = len(context) - len(context.rstrip())
        if spaces:
            context, continuation = context[:-spaces], context[-spaces:] + continuation
        whole = self.tok_encode(context + continuation)
        return self.tok_encode(context), whole[len(self.tok_encode(context)) :]


class _Model(WholePrompts, _LmEval):
    pass


def _texts(pair: tuple[list[int], list[int]]) -> tuple[list[str], list[str]]:
    return [VOCABULARY[token] for token in pair[0]], [VOCABULARY[token] for token in pair[1]]


def test_a_newline_that_joins_the_question_mark_is_not_lost() -> None:
    assert _texts(_LmEval()._encode_pair("What?\n", "yes")) == (["What?"], ["yes"])  # what lm-eval does
    assert _texts(_Model()._encode_pair("What?\n", "yes")) == (["What?\n"], ["yes"])


def test_a_space_that_joins_the_answer_is_left_to_lm_eval() -> None:
    assert _texts(_Model()._encode_pair("Answer: ", "yes")) == (["Answer:"], [" yes"])


@pytest.mark.parametrize(("context", "continuation"), [("7=", "7"), ("Answer:", " yes"), ("What?", "7")])
def test_other_prompts_come_out_as_lm_eval_has_them(context: str, continuation: str) -> None:
    assert _Model()._encode_pair(context, continuation) == _LmEval()._encode_pair(context, continuation)
