"""Hints for unknown names."""

from __future__ import annotations

import pytest

from harness.errors import did_you_mean

MANY = [f"field_{number}" for number in range(30)]


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("bse", ["base", "stages"], "did you mean 'base'?"),
        ("base", ["stage-base", "other"], "did you mean 'stage-base'?"),
        ("BASE", ["stage-base", "other"], "did you mean 'stage-base'?"),
        ("SFT", ["sft", "dpo"], "did you mean 'sft'?"),
        ("st", ["bestow", "lasting"], "known: bestow, lasting"),
        ("xyz", ["b", "a"], "known: a, b"),
        ("xyz", [], "known: none"),
        ("xyz", MANY[:20], "known: " + ", ".join(sorted(MANY[:20]))),
    ],
)
def test_names(name: str, known: list[str], hint: str) -> None:
    assert did_you_mean(name, known) == hint


def test_of_many_the_likest_are_listed() -> None:
    hint = did_you_mean("zz_29", [*MANY, "quite_else"])
    assert hint.startswith("known: ")
    assert "field_29" in hint
    assert "quite_else" not in hint
    assert hint.endswith(" and 11 more")
