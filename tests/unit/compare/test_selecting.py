"""Selections in words: conditions and globs, and the nearest names where they choose nothing."""

from __future__ import annotations

import dataclasses

import pytest

from harness.compare.selecting import chosen
from harness.errors import SelectionError
from harness.records.results import TrialResult
from tests.unit.compare.made import cell, plan, result

TRIALS: list[TrialResult] = [
    result(trial, {})
    for trial in plan(
        [
            cell("floor", kind="floor"),
            *(
                dataclasses.replace(cell(f"{recipe}-{lora}"), levels={"recipe": recipe, "lora": lora})
                for recipe in ("sft", "dpo")
                for lora in ("none", "r8")
            ),
        ]
    ).trials
]


def names(*terms: str, **options: tuple[str, ...]) -> list[str]:
    return [trial.name for trial in chosen(TRIALS, terms, suite="quick", **options)]


def test_no_term_chooses_everything() -> None:
    assert names() == [trial.name for trial in TRIALS]


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (["recipe=sft", "lora=r8"], ["sft-r8-s0", "sft-r8-s1"]),
        (["lora=r8", "recipe=sft", "recipe=dpo", "seed=0"], ["sft-r8-s0", "dpo-r8-s0"]),
        (["recipe=d*", "lora=none"], ["dpo-none-s0", "dpo-none-s1"]),
        (["method=dpo", "seed=1"], ["dpo-none-s1", "dpo-r8-s1"]),
        (["sft-*", "lora=none"], ["sft-none-s0", "sft-none-s1"]),
        (["floor", "dpo-r8-s1"], ["floor-s0", "dpo-r8-s1"]),
        (["sft-none-id"], ["sft-none-s0", "sft-none-s1"]),
    ],
)
def test_axes_all_hold_and_their_levels_are_alternatives(terms: list[str], expected: list[str]) -> None:
    assert names(*terms) == expected


def test_only_and_skip_narrow_what_the_terms_choose() -> None:
    assert names("recipe=sft", only=("*-s0",), skip=("*r8*",)) == ["sft-none-s0"]


@pytest.mark.parametrize(
    ("term", "what", "hint"),
    [
        ("recip=sft", "no axis 'recip'", "'recipe'"),
        ("recipe=dop", "no level 'dop'", "'dpo'"),
        ("seed=7", "no level '7'", "known: 0, 1"),
        ("sft-nome", "matches no cell or trial", "'sft-none'"),
        ("quik", "matches no cell or trial", "'quick'"),
    ],
)
def test_a_term_that_chooses_nothing_names_the_nearest(term: str, what: str, hint: str) -> None:
    with pytest.raises(SelectionError) as caught:
        chosen(TRIALS, [term], suite="quick", suites=["quick"])

    (problem,) = caught.value.problems
    assert what in problem.what
    assert hint in (problem.hint or "")


def test_every_wrong_term_is_told_at_once() -> None:
    with pytest.raises(SelectionError) as caught:
        names("recip=sft", "recipe=dop", "nome")

    assert len(caught.value.problems) == 3


def test_conditions_that_never_hold_together_say_so() -> None:
    with pytest.raises(SelectionError, match="no trial of suite 'quick' is all of: recipe=sft, dpo-"):
        names("recipe=sft", "dpo-*")
