"""The built-in tokenizer: lossless, digits apart, and the same tokens from whoever opens a checkpoint."""

import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.models.tokenizer import SPECIAL, VOCABULARY, build, merges


def test_the_merges_fill_the_vocabulary() -> None:
    assert len(SPECIAL) + 256 + len(merges()) == VOCABULARY
    assert len(set(merges())) == len(merges())


def test_every_merge_joins_pieces_that_exist() -> None:
    known: set[str] = set()
    for left, right in merges():
        assert len(left) == 1 or left in known
        assert len(right) == 1 or right in known
        known.add(left + right)


def test_no_merge_holds_a_digit_beside_another_character() -> None:
    assert not [pair for pair in merges() if any(character.isdigit() for character in "".join(pair))]


def test_no_merge_joins_a_line_end_to_what_stands_before_it() -> None:
    ends = re.compile("[^Ċč][Ċč]")  # newline and carriage return in byte-level BPE's alphabet
    assert not [pair for pair in merges() if ends.search("".join(pair))]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return build()


@pytest.mark.slow
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
@settings(deadline=None)
def test_any_text_comes_back(tokenizer: Any, text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


ANY = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.text("ab?.,:)\n\r 7")  # what merges are about, which chance seldom puts side by side


@pytest.mark.slow
@given(prompt=ANY | PLAIN, spaces=st.text("\n\r\t \u00a0\u3000", min_size=1), answer=ANY | PLAIN)
@settings(deadline=None, max_examples=400)
def test_a_prompt_without_its_last_spaces_is_the_beginning_of_the_whole(
    tokenizer: Any, prompt: str, spaces: str, answer: str
) -> None:
    """lm-eval cuts the whole's tokens by the count of the shortened prompt's; see `harness.score.encoding`."""
    short = tokenizer(prompt.rstrip())["input_ids"]
    assert tokenizer(prompt + spaces + answer)["input_ids"][: len(short)] == short


@pytest.mark.slow
@pytest.mark.parametrize("prompt", ["What is `Path`?\n", "print(f'{x}')\n\n", "Answer: ", "a:\r\n", "done.\t"])
def test_lm_eval_loses_nothing_of_a_prompt(tokenizer: Any, prompt: str) -> None:
    pieces = [tokenizer.decode([number]) for number in tokenizer(prompt + "Yes")["input_ids"]]
    ends = {len("".join(pieces[:count])) for count in range(len(pieces))}
    assert len(prompt.rstrip()) in ends


@pytest.mark.slow
def test_digits_are_tokens_of_their_own(tokenizer: Any) -> None:
    pieces = [tokenizer.decode([number]) for number in tokenizer("max(4711,98)=4711")["input_ids"]]
    assert "".join(pieces) == "max(4711,98)=4711"
    assert [piece for piece in pieces if any(c.isdigit() for c in piece)] == list("4711984711")


@pytest.mark.slow
def test_the_end_of_a_turn_is_the_end_of_a_sequence_and_padding_is_another(tokenizer: Any) -> None:
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|pad|>")
    assert tokenizer.eos_token_id != tokenizer.pad_token_id
    assert (len(tokenizer), tokenizer.unk_token, tokenizer.bos_token) == (VOCABULARY, None, None)


TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "max(1,2)="},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "max(3,4)="},
    {"role": "assistant", "content": "4"},
]


@pytest.mark.slow
def test_a_prompt_is_the_beginning_of_the_whole(tokenizer: Any) -> None:
    for end in (2, 4):
        prompt = tokenizer.apply_chat_template(TURNS[:end], add_generation_prompt=True, return_dict=True)["input_ids"]
        whole = tokenizer.apply_chat_template(TURNS[: end + 1], return_dict=True)["input_ids"]
        assert whole[: len(prompt)] == prompt


@pytest.mark.slow
def test_the_assistant_says_its_words_and_their_end(tokenizer: Any) -> None:
    made = tokenizer.apply_chat_template(TURNS, return_dict=True, return_assistant_tokens_mask=True)
    said = [number for number, bit in zip(made["input_ids"], made["assistant_masks"], strict=True) if bit]
    assert tokenizer.decode(said) == "2<|im_end|>4<|im_end|>"


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["tiny", "smollm2-135m"])
def test_whoever_opens_a_checkpoint_gets_the_same_tokens(tokenizer: Any, tmp_path: Path, shape: str) -> None:
    """AutoTokenizer picks a class by the model's type; with another class it split text in another way."""
    from transformers import AutoTokenizer

    from harness.models.load import shape_config

    shape_config({"shape": shape}, tokenizer).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    opened = AutoTokenizer.from_pretrained(tmp_path)
    for text in (
        "class C(A):\n\n    def f(self): pass\r\n",
        "It's 2024, isn't it?\n\n\tYes — é 日本 🎉  ",
        "a<|im_end|>b",
    ):
        assert opened(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert opened.apply_chat_template(TURNS) == tokenizer.apply_chat_template(TURNS)
    assert (opened.eos_token, opened.pad_token) == (tokenizer.eos_token, tokenizer.pad_token)
