"""Rows that are too wide for a terminal."""

from __future__ import annotations

import pytest

from harness.cli.upright import fits, upright


def test_a_table_fits_while_each_column_is_whole_or_can_be_read_folded() -> None:
    assert fits(["a", "text"], [[1, "x" * 200]], 11)
    assert not fits(["a", "text"], [[1, "x" * 200]], 10)
    assert not fits([f"column {at}" for at in range(40)], [[None] * 40], 80)
    assert fits(["a"], [], 80)


def test_rows_stand_one_below_the_other_with_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")

    said = upright(["name", "mfu", "cause"], [["sft-s0", 0.123456, "words that need two lines"], ["f" * 40, None, ""]])

    assert said.splitlines() == [
        "name   sft-s0",
        "mfu    0.1235",
        "cause  words that need two",
        "       lines",
        "",
        f"name   {'f' * 40}",
        "mfu    –",
        "cause",
    ]
