"""One mistake: what is said, where, and what to try."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.errors import Problem
from tests.unit.suite.wrong import AT_TOP, DATA, FIRST, HEAD, IN_BASE, MODEL

ProblemsOf = Callable[[str], list[Problem]]


@pytest.mark.parametrize(("text", "column", "what", "more"), IN_BASE)
def test_a_wrong_base(problems_of: ProblemsOf, text: str, column: int, what: str, more: str | None) -> None:
    (problem,) = problems_of(HEAD + text + "\n")
    assert problem.what.startswith(what)
    assert problem.where is not None
    assert (problem.where.line, problem.where.column) == (FIRST + text.count("\n"), column)
    assert problem.where.text == text.split("\n")[-1]
    assert more is None or more in f"{problem.hint} {problem.why}"


@pytest.mark.parametrize(("text", "column", "what", "more"), AT_TOP)
def test_a_wrong_section(problems_of: ProblemsOf, text: str, column: int, what: str, more: str | None) -> None:
    (problem,) = problems_of(HEAD + text + "\n")
    assert problem.what.startswith(what)
    assert problem.where is not None
    assert (problem.where.line, problem.where.column) == (FIRST, column)
    assert more is None or more in f"{problem.hint} {problem.why}"


def test_a_word_beside_an_axis_of_mappings_is_a_level_that_is_not_there(problems_of: ProblemsOf) -> None:
    (problem,) = problems_of(HEAD + "matrix: {lora: {full: null, r4: {r: 4}}}\nbaseline: {lora: rank4}\n")
    assert (problem.what, problem.hint) == ("unknown level of 'lora': 'rank4'", "known: full, r4")
    assert problem.where is not None
    assert (problem.where.line, problem.where.column) == (FIRST + 1, 18)


@pytest.mark.parametrize(("line", "what", "more"), MODEL)
def test_a_wrong_model(problems_of: ProblemsOf, line: str, what: str, more: str | None) -> None:
    (problem,) = problems_of(HEAD.replace("  model: {shape: tiny}", line))
    assert problem.what == what
    assert problem.where is not None
    assert problem.where.text == line
    assert more is None or more in str(problem.hint)


@pytest.mark.parametrize(("line", "what", "more"), DATA)
def test_wrong_data(problems_of: ProblemsOf, line: str, what: str, more: str | None) -> None:
    (problem,) = problems_of(HEAD.replace("  data: {source: arithmetic}", line))
    assert problem.what == what
    assert problem.where is not None
    assert problem.where.text == line
    assert more is None or more in str(problem.hint)
