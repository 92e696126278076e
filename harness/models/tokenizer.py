"""The tokenizer of every shape: byte-level BPE, the same everywhere, made in place without a download.

1,024 entries: three special tokens, the 256 bytes, and 765 merges (`merges.txt`), learned once from this project's
`pydoc` rows under Python 3.11 with `tokenizers`' trainer. Digits never merge, so that numbers have one token per digit.
No merge joins a line's end to what stands before it: lm-eval counts the tokens of a prompt without its last newline,
and with a token such as "?\\n" that newline would be in neither prompt nor answer. Real shapes keep their published
vocabulary size for the sake of speed and memory; the ids above ours are never used.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
SPECIAL = (PAD, START, END)
VOCABULARY = 1024

# ChatML. The newline stands before a turn, not after it: a rendered prompt with the cue for the assistant is then
# exactly the beginning of the rendered whole, and a row ends with the end-of-turn token. `generation` marks what
# `assistant_only_loss` trains on: the assistant's words and the token that ends them.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if not loop.first %}{{ '\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n<|im_start|>assistant\\n' }}{% endif %}"
)


@cache
def merges() -> tuple[tuple[str, str], ...]:
    """The merges in the order they apply, in byte-level BPE's printable alphabet."""
    lines = Path(__file__).with_name("merges.txt").read_text("utf-8").splitlines()
    pairs = [tuple(line.split(" ")) for line in lines]
    return tuple((left, right) for left, right in pairs)


def build() -> Any:
    """A `Qwen2Tokenizer`: end of sequence is the end-of-turn token, padding is another one.

    It is that class, with its way of splitting text, because `AutoTokenizer` of transformers 5 opens a checkpoint of
    the `qwen2` type as that class whatever class its files name, and rebuilds the splitting from the class, not the
    files: of any other class, or with another splitting, scoring would get other tokens than training.
    """
    from tokenizers import pre_tokenizers
    from transformers import Qwen2Tokenizer

    pieces = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(left + right for left, right in merges())]
    return Qwen2Tokenizer(
        vocab={piece: number for number, piece in enumerate(pieces)},
        merges=list(merges()),
        unk_token=None,  # every byte is known
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=10**9,
    )
