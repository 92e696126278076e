"""Rows as long as asked for, whatever the tokenizer, and not all alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data import filler
from harness.models.tokenizer import build


@given(tokens=st.integers(1, 300), count=st.integers(0, 12))
def test_answers_have_a_digit_for_every_token(tokens: int, count: int) -> None:
    rows = list(filler.rows(tokens, count))
    assert rows == list(filler.rows(tokens, count))
    assert len({row["prompt"] for row in rows}) == count
    short = tokens // 4 + 1
    for number, row in enumerate(rows):
        assert len(row["chosen"].split()) == (short if number % 3 == 1 else tokens)
        assert len(row["rejected"].split()) == (short if number % 3 == 2 else tokens)


def test_where_none_is_to_be_short_none_is() -> None:
    rows = list(filler.rows(40, 6, ragged=False))
    assert {len(row[name].split()) for row in rows for name in ("chosen", "rejected")} == {40}


@pytest.mark.slow  # transformers
def test_no_tokenizer_makes_fewer_tokens_of_them() -> None:
    tokenizer = build()
    for row in filler.rows(200, 3):
        for answer in (row["chosen"], row["rejected"]):
            assert len(tokenizer(answer)["input_ids"]) >= len(answer.split())


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "fit" / "rows.jsonl"
    filler.write(file, 16, 3)
    written = file.read_text(encoding="utf-8")
    assert len(written.splitlines()) == 3
    file.write_text("kept", encoding="utf-8")
    filler.write(file, 16, 3)
    assert file.read_text(encoding="utf-8") == "kept"
