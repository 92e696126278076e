from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import Problem, SuiteError
from harness.suite.compose import compose
from harness.suite.document import Problems
from harness.suite.scalars import resolve

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4),
    max_leaves=12,
)


def plain(text: str) -> Any:
    problems = Problems(Path("suite.yaml"), text.split("\n"))
    node = compose(text, problems)
    problems.raise_any()
    return None if node is None else node.plain()


def only_problem(text: str) -> Problem:
    with pytest.raises(SuiteError) as caught:
        plain(text)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-7", 5e-7),
        ("1e3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-7", -7),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("True", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("Null", None),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("1.2.3", "1.2.3"),
        ("-", "-"),
        ("+", "+"),
        (".", "."),
        ("e5", "e5"),
    ],
)
def test_plain_scalars_read_as_in_yaml_1_2(text: str, value: object) -> None:
    got = resolve(text)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize("text", [".nan", "-.inf", ".INF", "1e999", "9" * 400])
def test_numbers_that_nothing_can_be_set_to_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"number"):
        resolve(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_python_writes_reads_back(number: float) -> None:
    got = resolve(repr(number))
    assert isinstance(got, float)
    assert got == number
    assert math.copysign(1, got) == math.copysign(1, number)


@given(JSON)
def test_json_is_yaml(value: object) -> None:
    assert plain(f"key: {json.dumps(value)}") == {"key": value}


def test_quoted_scalars_are_text() -> None:
    assert plain("a: '5'\nb: \"true\"\nc: |\n  12\nd: !!str 5\n") == {"a": "5", "b": "true", "c": "12\n", "d": "5"}


def test_keys_are_text_as_written() -> None:
    assert plain("{1: a, true: b, 1e-4: c}") == {"1": "a", "true": "b", "1e-4": "c"}


def test_aliases_and_merge_keys() -> None:
    text = "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [{a: 9}, *x], c: 4}\nw: *x\n"
    assert plain(text) == {
        "x": {"a": 1, "b": 2},
        "y": {"a": 1, "b": 3},
        "z": {"a": 9, "b": 2, "c": 4},
        "w": {"a": 1, "b": 2},
    }


def test_an_empty_text_has_no_value() -> None:
    assert plain("# only a comment\n") is None


@pytest.mark.parametrize(
    ("text", "line", "column", "what"),
    [
        ("a:\n\tb: 1\n", 2, 1, "tabs cannot indent YAML; use spaces"),
        ("a:\n  b: 1\n \tc: 2\n", 3, 2, "tabs cannot indent YAML; use spaces"),
        ("a: 1\nb: 2\na: 3\n", 3, 1, "duplicate key 'a'"),
        ("a: {x: 1, 'x': 2}\n", 1, 11, "duplicate key 'x'"),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            1,
            4,
            "the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed",
        ),
        ("a: !include other.yaml\n", 1, 4, "the tag !include is not allowed"),
        ("a: b: c\n", 1, 5, "not valid YAML: mapping values are not allowed here"),
        ("a: *nowhere\n", 1, 4, "unknown alias *nowhere"),
        ("a: &a [*a]\n", 1, 8, "the alias *a stands inside the value it names"),
        ("a: 1\n---\nb: 2\n", 2, 1, "a suite file is one YAML document"),
        ("a: .nan\n", 1, 4, ".nan is not a number that anything can be set to"),
        ("a: x\x07y\n", 1, 5, "the character U+0007 is not allowed in YAML"),
        ("? [a, b]\n: 1\n", 1, 3, "a key must be text, not a list or a mapping"),
        ("a: {<<: 3}\n", 1, 9, "<< merges a mapping, or a list of mappings"),
        ('a: "\\ud83d"\n', 1, 4, "half a character (a lone surrogate escape)"),
        ("[" * 60, 1, 51, "nested more than 50 levels deep"),
    ],
)
def test_where_yaml_is_lax_the_suite_is_not(text: str, line: int, column: int, what: str) -> None:
    problem = only_problem(text)
    assert problem.what == what
    assert problem.where is not None
    assert (problem.where.line, problem.where.column) == (line, column)
    assert problem.where.text == text.split("\n")[line - 1]


def test_a_duplicate_key_says_where_the_first_stands() -> None:
    assert only_problem("a: 1\nb: 2\na: 3\n").why == "it stands in line 1 already, and only one of them could count"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a: b: c\n", "quotes"),
        ("a: [1, 2\nb: 3\n", "commas"),
        ("a: 'x\n", "not closed"),
        ("a: %x\n", "quote text that begins with %"),
        ("a: @x\n", "quote text that begins with @"),
        ("a:\n  - 1\n  b: 2\n", "same column"),
    ],
)
def test_syntax_errors_say_what_to_try(text: str, hint: str) -> None:
    problem = only_problem(text)
    assert problem.what.startswith("not valid YAML")
    assert problem.hint is not None
    assert hint in problem.hint


def test_aliases_cannot_explode() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    began = time.perf_counter()
    problem = only_problem("\n".join(lines))
    assert problem.what.startswith("aliases make this file")
    assert time.perf_counter() - began < 2


def test_aliases_cannot_nest_deeper_than_brackets() -> None:
    lines = ["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 200))]
    assert only_problem("\n".join(lines)).what == "nested more than 50 levels deep"


@given(st.text(alphabet="ab:-[]{}&*!#'\"|>%@`?,\n\t ~=<.1", max_size=40))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    assert all(problem.where is not None and problem.what for problem in _refusal(text))


def _refusal(text: str) -> list[Problem]:
    try:
        plain(text)
    except SuiteError as error:
        return list(error.problems)
    return []
