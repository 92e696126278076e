"""Access keys and passwords in a suite: refused where they stand, and repeated nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli.failure import rendered
from harness.environments import declare
from harness.errors import SuiteError
from harness.records.suite import Suite

SuiteOf = Callable[[str], Suite]

KEY = "hf_" + "aB3" * 9

SUITE = """\
name: demo
question: Which one?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic}
  train: {max_steps: 10}
"""


def _refused(text: str, suite_of: SuiteOf) -> tuple[list[tuple[int | None, int | None]], str]:
    with pytest.raises(SuiteError) as caught:
        suite_of(text)
    keys = [
        problem for problem in caught.value.problems if problem.what == "this looks like an access key or a password"
    ]
    places = [(problem.where.line, problem.where.column) for problem in keys if problem.where is not None]
    return places, rendered(caught.value.problems)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("Which one?", f"Is {KEY} the best?", (2, 11)),
        ("shape: tiny", f"hub: org/{KEY}", (5, 16)),
        ("source: arithmetic", f"path: 'https://x.org/rows.jsonl?k={KEY}'", (6, 16)),
        ("max_steps: 10", f"max_steps: 10, run_name: {KEY}", (7, 36)),
        ("Which one?", "Is git+https://me:planted@x.org/a faster?", (2, 11)),
        ("shape: tiny", "hub: 'https://me:planted@x.org/a/b'", (5, 16)),
        ("max_steps: 10", f"{KEY}: 10", (7, 11)),
    ],
)
def test_it_is_refused_wherever_it_stands(old: str, new: str, place: tuple[int, int], suite_of: SuiteOf) -> None:
    places, said = _refused(SUITE.replace(old, new), suite_of)
    assert places == [place]
    assert KEY not in said
    assert "planted" not in said
    assert KEY not in said
    assert "HF_TOKEN" in said


def test_an_alias_is_told_once(suite_of: SuiteOf) -> None:
    text = SUITE.replace("Which one?", f"&said '{KEY}'") + "matrix: {train.run_name: [*said, other]}\n"
    places, said = _refused(text, suite_of)
    assert places == [(2, 11)]
    assert KEY not in said


def test_what_package_addresses_need_is_masked_and_not_refused(suite_of: SuiteOf) -> None:
    address = "https://user:glpat-0123456789abcdefghij@packages.example.org/trl.whl"
    suite = suite_of(SUITE + f"environments:\n  old: {{requirements: ['trl @ {address}']}}\n")
    assert "glpat" not in str(declare("old", suite.environments["old"]).shown())


def test_ordinary_words_are_none(suite_of: SuiteOf) -> None:
    assert suite_of(
        SUITE.replace("Which one?", "Does sk-learn beat hf_transfer of git@x.org, http://x.org:80/a@b?")
    ).question


def test_a_key_in_another_mistake_is_not_repeated(tmp_path: Path, suite_of: SuiteOf) -> None:
    _, said = _refused(SUITE.replace("max_steps: 10", f"max_steps: {KEY}"), suite_of)
    assert KEY not in said
    assert "max_steps wants a whole number" in said
