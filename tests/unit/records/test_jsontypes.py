from __future__ import annotations

from typing import Any

import pytest

from harness.records.jsontypes import fits, is_a, shown, type_hint, type_of, wanted


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (True, "boolean"),
        (1, "integer"),
        (1.0, "number"),
        ("1", "string"),
        ([], "array"),
        ((), "array"),
        ({}, "object"),
    ],
)
def test_every_json_value_has_one_type(value: Any, kind: str) -> None:
    assert type_of(value) == kind
    assert fits(value, [kind])


def test_what_is_no_json_has_none() -> None:
    with pytest.raises(TypeError, match="set is not a JSON type"):
        type_of({1})


def test_an_integer_is_a_number_and_a_boolean_is_not() -> None:
    assert fits(1, ["number"])
    assert not fits(True, ["number", "integer"])
    assert not fits(1.0, ["integer"])
    assert not fits(0, ["boolean"])


@pytest.mark.parametrize(
    ("types", "words"),
    [
        (["integer"], "a whole number"),
        (["integer", "number"], "a number"),
        (["null", "boolean"], "true or false, or null"),
        (["string", "array", "null"], "text or a list, or null"),
        (["null"], "null"),
    ],
)
def test_types_in_words(types: list[str], words: str) -> None:
    assert wanted(types) == words


@pytest.mark.parametrize(
    ("value", "types", "hint"),
    [
        ("yes", ["boolean"], "write true"),
        ("Off", ["boolean"], "write false"),
        ("true", ["boolean"], "write true without quotes"),
        ("10", ["integer"], "write 10 without quotes"),
        ("5e-7", ["number"], "write 5e-7 without quotes"),
        ("1_000", ["integer"], "write 1000"),
        ("None", ["integer", "null"], "write null"),
        ("a", ["array"], "write a list: [a]"),
        (3, ["array"], "write a list: [3]"),
        (3, ["string"], "quote it"),
        (1e3, ["integer"], "write 1000"),
        (None, ["integer"], "leave the key out"),
        (1.5, ["integer"], None),
        ("soon", ["number"], None),
        ({}, ["array"], None),
    ],
)
def test_usual_slips_get_a_hint(value: Any, types: list[str], hint: str | None) -> None:
    given = type_hint(value, types)
    assert (given is None) == (hint is None)
    assert hint is None or hint in str(given)


def test_values_are_shown_as_written_and_cut() -> None:
    assert shown({"r": 8, "é": None}) == '{"r": 8, "é": null}'
    assert shown("x" * 100, most=10) == '"xxxxxxxx…'
    values: list[Any] = [None, False, 3, "a", [1], {}]
    assert [is_a(value) for value in values] == [
        "null",
        "false",
        "the number 3",
        'the text "a"',
        "a list",
        "a mapping",
    ]
