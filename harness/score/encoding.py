"""Prompts reach the model whole. Imported by the scoring child alone."""

from __future__ import annotations

from typing import Any

_Pair = tuple[list[int], list[int]]


class WholePrompts:
    """Before one of lm-eval's model classes: splits prompt from answer where training did, when there is such a place.

    lm-eval moves the prompt's trailing whitespace to the answer and then cuts the tokens of the whole text by the
    count of the shortened prompt's. With a tokenizer that has a token such as "?\\n" the newline is then in neither
    part, and the model is asked about a prompt it never saw (0.1 to 0.5 nats on `pydoc_mc`). Where the prompt's own
    tokens begin the whole text's, as in training, they are the prompt; else (a prompt that ends in a space which
    belongs to the answer's first token) lm-eval's way stays.
    """

    def _encode_pair(self, context: str, continuation: str) -> _Pair:
        lm: Any = self
        prompt: list[int] = lm.tok_encode(context)
        whole: list[int] = lm.tok_encode(context + continuation)
        if whole[: len(prompt)] == prompt and len(whole) > len(prompt):
            return prompt, whole[len(prompt) :]
        pair: _Pair = super()._encode_pair(context, continuation)  # type: ignore[misc]
        return pair
