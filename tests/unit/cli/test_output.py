from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import output


@dataclass(frozen=True)
class Point:
    x: float
    where: Path


def test_records_paths_and_odd_numbers_become_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"p": Point(math.nan, Path("a/b")), "s": {3}, "i": (math.inf, -math.inf)})
    assert json.loads(capsys.readouterr().out) == {
        "p": {"x": "NaN", "where": "a/b"},
        "s": [3],
        "i": ["Infinity", "-Infinity"],
    }


_JSONABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.builds(Path, st.just("x")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(_JSONABLE)
def test_anything_made_jsonable_is_strict_json(value: Any) -> None:
    made = output.jsonable(value)
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_plain_tables_align_and_put_figures_to_the_right() -> None:
    text = output.plain_table(["name", "n"], [["a", 1], ["longer", 1234.5], [None, None]], right=["n"])
    assert text.splitlines() == ["name        n", "a           1", "longer  1,234", "–           –"]


def test_a_cell_never_breaks_its_row() -> None:
    assert len(output.plain_table(["a"], [["one\ntwo\tthree"]]).splitlines()) == 2


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.123456, "0.1235"), (12345.6, "12,346"), (3.0, "3"), (7, "7"), (math.nan, "NaN"), (None, "–"), (1e-7, "1e-07")],
)
def test_numbers_are_short(value: float | None, shown: str) -> None:
    assert output.number(value) == shown


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (2**30, "bytes", "1 GiB"),
        (90, "s", "1m 30s"),
        (9412.3, "tokens/s", "9,412 tokens/s"),
        (0.25, "ratio", "0.25"),
        (None, "s", "–"),
        (math.inf, "nats", "Infinity"),
    ],
)
def test_figures_carry_their_unit(value: float | None, unit: str, shown: str) -> None:
    assert output.figure(value, unit) == shown


def test_long_lines_are_wrapped_with_an_indent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")

    said = output.wrapped("  train  max_steps=40, learning_rate=0.001, bf16=False", indent=9)

    assert said.splitlines() == ["  train  max_steps=40,", "         learning_rate=0.001,", "         bf16=False"]


def test_short_lines_and_long_words_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")

    assert output.wrapped("extra     gpu") == "extra     gpu"
    assert output.wrapped("") == ""
    assert "/a" * 40 in output.wrapped(f"file {'/a' * 40}", indent=5).splitlines()[-1]


def test_counts_have_their_plural() -> None:
    assert [output.many(count, "cell") for count in (0, 1, 2, 1000)] == ["0 cells", "1 cell", "2 cells", "1,000 cells"]
