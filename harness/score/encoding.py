"""Whether prompts reach the model whole. Imported by the scoring child alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

_Pair = tuple[list[int], list[int]]


class Watched:
    """Before one of lm-eval's model classes: hears of the prompts that lose a token, and changes nothing.

    lm-eval 0.4.13 (`lm_eval.api.model.TemplateLM._encode_pair`) moves a prompt's trailing whitespace to the answer and
    then cuts the tokens of the whole text by the count of the shortened prompt's. Where the tokenizer has one token for
    the prompt's last characters, such as "?\\n", what it cuts off is in neither part, and the model is asked about a
    prompt nobody wrote. Figures stay lm-eval's own; whoever reads them is told.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._cut: set[int] = set()  # prompts can be long and many: their hashes
        super().__init__(*args, **kwargs)

    def _encode_pair(self, context: str, continuation: str) -> _Pair:
        lm: Any = self
        pair: _Pair = super()._encode_pair(context, continuation)  # type: ignore[misc]
        # Encoder-decoder models are given the parts for themselves, so nothing is cut.
        if lm.backend == "causal" and [*pair[0], *pair[1]] != lm.tok_encode(context + continuation):
            self._cut.add(hash(context))
        return pair

    def is_cut(self, context: str) -> bool:
        """Whether this prompt has lost a token since the model was opened."""
        return hash(context) in self._cut


def notes_on_prompts(lm: Any, documents: Sequence[Collection[str]]) -> list[str]:
    """What to say in a score, given each document's prompts: nothing where the model saw all of them whole."""
    if not isinstance(lm, Watched):
        return []
    cut = sum(any(lm.is_cut(prompt) for prompt in prompts) for prompts in documents)
    if not cut:
        return []
    return [
        f"{cut} of {len(documents)} documents: the prompt did not reach the model whole; the tokenizer joins its end "
        "to what stands beside it, and lm-eval leaves a token out there"
    ]
