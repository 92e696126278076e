"""How problems read, and in which order they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import MOST_TOLD, Location, Problem, in_order

FILE = Path("suite.yaml")


def rendered(text: str, column: int | None) -> list[str]:
    return Problem(what="wrong", where=Location(file=FILE, line=3, column=column, text=text)).render().split("\n")


def test_a_line_is_shown_with_a_caret_under_its_column() -> None:
    assert rendered("  a: 1", 3) == ["suite.yaml:3:3: error: wrong", "    3 |   a: 1", "      |   ^"]


def test_a_password_in_an_address_is_masked_and_the_caret_stays() -> None:
    text = "  needs: [trl @ git+https://bob:planted@host/trl.git]  # me@host"
    _, shown, caret = rendered(text, text.index("#") + 1)
    assert "planted" not in shown
    assert "https://***********@host/trl.git]  # me@host" in shown
    assert shown.index("#") == caret.index("^")
    assert "planted" not in Problem(what="no file https:/bob:planted@host/rows").render()


def test_tabs_are_widened_for_line_and_caret_alike() -> None:
    _, shown, caret = rendered("\ta\tb", 4)
    assert shown.index("b") == caret.index("^")


@pytest.mark.parametrize("length", [101, 5000, 300_000])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999, 1.0])
def test_of_a_long_line_what_surrounds_the_column_is_shown(length: int, share: float) -> None:
    at = min(int(length * share), length - 1)
    text = "." * at + "X" + "." * (length - at - 1)
    first, shown, caret = rendered(text, at + 1)
    assert first.startswith(f"suite.yaml:3:{at + 1}:")
    assert shown.index("X") == caret.index("^")
    assert len(shown) == 8 + 100
    assert "…" in (shown[8], shown[-1])


def test_the_end_of_a_long_line_can_be_pointed_at() -> None:
    _, shown, caret = rendered("." * 500, 501)
    assert len(shown) == caret.index("^")


def test_a_line_cannot_move_the_cursor() -> None:
    _, shown, caret = rendered("a\x1b[2J\x00é\u2028b\r\n", 8)
    assert shown == "    3 | a·[2J·é·b"
    assert caret.index("^") == 8 + 7


def at(line: int | None, column: int | None = None, file: Path = FILE) -> Problem:
    return Problem(what="wrong", where=Location(file=file, line=line, column=column))


def test_problems_are_told_once_in_the_order_of_the_file_then_of_others() -> None:
    other = Path("a.jsonl")
    found = [at(2, 5, other), at(10, 2), at(2, 9), at(2, 3), at(2, 9), at(1, 1, other), at(None), Problem(what="x")]
    said = in_order(found, FILE)
    assert said == (at(None), Problem(what="x"), at(2, 3), at(2, 9), at(10, 2), at(1, 1, other), at(2, 5, other))


def test_many_are_counted() -> None:
    said = in_order([at(line) for line in range(200)], FILE)
    assert len(said) == MOST_TOLD + 1
    assert said[-1].what == "and 150 more problems"
