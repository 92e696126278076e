"""Reading events.jsonl: whole, cut off, damaged; files longer than what is parsed at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.records.events import encode, read_events

MANY = 2_500


def _lines(count: int = MANY) -> list[str]:
    return [encode({"t": float(number), "kind": "step", "step": number}).rstrip("\n") for number in range(1, count + 1)]


def _write(folder: Path, lines: list[str], end: str = "\n") -> Path:
    file = folder / "events.jsonl"
    file.write_text("\n".join(lines) + end)
    return file


@pytest.mark.parametrize("count", [0, 1, 999, 1_000, 1_001, MANY])
def test_every_event_is_read_in_order(count: int, tmp_path: Path) -> None:
    found = [event["step"] for event in read_events(_write(tmp_path, _lines(count)))]
    assert found == list(range(1, count + 1))


@pytest.mark.parametrize("count", [1, 1_000, 1_001, MANY])
def test_a_last_line_that_was_cut_off_is_passed_over(count: int, tmp_path: Path) -> None:
    lines = _lines(count)
    lines[-1] = lines[-1][:-3]
    assert [event["step"] for event in read_events(_write(tmp_path, lines, end=""))] == list(range(1, count))


@pytest.mark.parametrize("damaged", [1, 1_000, 1_001, MANY - 1])
def test_a_damaged_line_is_named(damaged: int, tmp_path: Path) -> None:
    lines = _lines()
    lines[damaged - 1] = lines[damaged - 1][:-3]
    file = _write(tmp_path, lines)
    with pytest.raises(ValueError, match=rf"{re.escape(str(file))}:{damaged}: not a JSON object"):
        list(read_events(file))


def test_damaged_lines_that_would_parse_together_are_damaged(tmp_path: Path) -> None:
    lines = _lines(4)
    lines[1:3] = ['{"t":2.0,"kind":"log","values":{"a":[1', "2]}}"]
    with pytest.raises(ValueError, match=":2: not a JSON object"):
        list(read_events(_write(tmp_path, lines)))


def test_blank_lines_and_values_that_are_no_objects_are_no_events(tmp_path: Path) -> None:
    assert list(read_events(_write(tmp_path, ["", "[1]", *_lines(1), "  ", "7"]))) == [
        {"t": 1.0, "kind": "step", "step": 1}
    ]


def test_a_missing_file_has_none(tmp_path: Path) -> None:
    assert list(read_events(tmp_path / "events.jsonl")) == []
