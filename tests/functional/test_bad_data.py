"""Data files that cannot be used are refused before anything runs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Answer = subprocess.CompletedProcess[str]
Harness = Callable[..., Answer]

_ROWS = b'{"prompt": "7+5=", "completion": "12"}\n{"prompt": "1+1=", "completion": "2"}\n'


@pytest.fixture
def with_file(suite: Path) -> Callable[[str, bytes | None], Path]:
    """Makes the suite train on a file of this name and content."""

    def make(name: str, content: bytes | None) -> Path:
        if content is not None:
            (suite.parent / name).write_bytes(content)
        text = suite.read_text(encoding="utf-8")
        suite.write_text(text.replace("{source: arithmetic, rows: 200}", f"{{path: {name}}}"), encoding="utf-8")
        return suite

    return make


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("rows.jsonl", None, "rows.jsonl", id="missing"),
        pytest.param("rows.jsonl", b"", "empty", id="empty"),
        pytest.param("rows.jsonl", _ROWS + b'{"prompt": "3+', "rows.jsonl:3", id="truncated jsonl"),
        pytest.param("rows.jsonl", _ROWS + b'{"prompt": "caf\xe9", "completion": "x"}\n', "UTF-8", id="not UTF-8"),
        pytest.param("rows.jsonl", b"[1, 2]\n", "rows.jsonl", id="rows that are no objects"),
        pytest.param("rows.jsonl", b'{"question": "a", "reply": "b"}\n', "question", id="wrong columns"),
        pytest.param("rows.parquet", b"PAR1 and then nothing", "rows.parquet", id="truncated parquet"),
        pytest.param("rows.parquet", b"", "rows.parquet", id="empty parquet"),
        pytest.param("rows.csv", b"", "rows.csv", id="empty csv"),
        pytest.param("rows.csv", b"prompt,completion\n", "rows.csv", id="csv without rows"),
        pytest.param("rows.xlsx", b"x", "rows.xlsx", id="unknown kind of file"),
    ],
)
def test_a_data_file_that_cannot_be_used_is_refused(
    name: str, content: bytes | None, said: str, with_file: Callable[[str, bytes | None], Path], harness: Harness
) -> None:
    suite = with_file(name, content)
    answer = harness("run", suite.name, "--engine", "debug")
    assert answer.returncode == 2, answer.stderr
    assert said in answer.stderr
    assert name in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""
    assert not (suite.parent / "results").exists()


def test_a_missing_file_is_told_where_the_suite_names_it(
    with_file: Callable[[str, bytes | None], Path], harness: Harness
) -> None:
    answer = harness("plan", with_file("rows.jsonl", None).name)
    assert answer.stderr.startswith("tiny.yaml:6:16: error: data file rows.jsonl does not exist")
    assert "    6 |   data: {path: rows.jsonl}" in answer.stderr


def test_a_wrong_row_is_shown_with_its_column(with_file: Callable[[str, bytes | None], Path], harness: Harness) -> None:
    rows = (
        _ROWS + b'{"id": 7, "prompt": "' + b"x" * 500 + b'", "completion": 12}\n{"prompt": "1+1=" "completion": "2"}\n'
    )
    answer = harness("plan", with_file("rows.jsonl", rows).name)
    first, second = answer.stderr.rstrip().split("\n\n")
    said, shown, caret = first.split("\n")
    assert said == "rows.jsonl:3:525: error: 'completion' is int, expected text or a list of messages"
    assert shown[caret.index("^") :].startswith('"completion": 12}')
    assert len(shown) < 120
    assert second.split("\n") == [
        "rows.jsonl:4:19: error: not JSON: Expecting ',' delimiter",
        '    4 | {"prompt": "1+1=" "completion": "2"}',
        "      |                   ^",
    ]


def test_rows_are_told_with_what_is_wrong_with_the_suite(
    with_file: Callable[[str, bytes | None], Path], harness: Harness
) -> None:
    suite = with_file("rows.jsonl", _ROWS + b'{"prompt": "3+')
    suite.write_text(suite.read_text(encoding="utf-8").replace("max_steps", "max_stepz"), encoding="utf-8")
    answer = harness("validate", suite.name)
    assert answer.returncode == 2
    assert answer.stderr.index("tiny.yaml:7:11: error: ") < answer.stderr.index("rows.jsonl:3:12: error: the last line")


def test_columns_that_suit_no_method_are_told_once(
    with_file: Callable[[str, bytes | None], Path], harness: Harness
) -> None:
    suite = with_file("rows.jsonl", b'{"question": "a", "reply": "b"}\n')
    text = suite.read_text(encoding="utf-8").replace("train.learning_rate: [1.0e-3, 2.0e-3]", "method: [sft, dpo]")
    suite.write_text(text, encoding="utf-8")
    answer = harness("plan", suite.name)
    assert answer.stderr.count("make no format") == 1
    assert "for sft: expected prompt_completion" in answer.stderr
    assert "for dpo: expected preference" in answer.stderr


def test_a_good_file_runs(with_file: Callable[[str, bytes | None], Path], harness: Harness) -> None:
    answer = harness("plan", with_file("rows.jsonl", _ROWS).name)
    assert answer.returncode == 0, answer.stderr
