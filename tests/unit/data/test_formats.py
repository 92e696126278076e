"""Which format columns make, and how a row of one becomes a row of another."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.convert import NoWay, convert
from harness.data.formats import KNOWN_COLUMNS, Way, choose, detect, row_problem, way_notes
from harness.errors import Problem
from harness.records.suite import Format

SFT: tuple[Format, ...] = ("prompt_completion", "language_modeling")
DPO: tuple[Format, ...] = ("preference",)
USER = [{"role": "user", "content": "Hi"}]
GOOD = [{"role": "assistant", "content": "Hello"}]
BAD = [{"role": "assistant", "content": "Go away"}]


@pytest.mark.parametrize(
    ("columns", "formats"),
    [
        (["text"], ["language_modeling"]),
        (["messages"], ["language_modeling"]),
        (["prompt", "completion"], ["prompt_completion"]),
        (["prompt", "chosen", "rejected"], ["preference"]),
        (["chosen", "rejected"], ["preference"]),
        (["text", "prompt", "completion", "id"], ["prompt_completion", "language_modeling"]),
        (["prompt"], []),
        ([], []),
    ],
)
def test_columns_make_formats(columns: list[str], formats: list[str]) -> None:
    assert detect(columns) == formats


@pytest.mark.parametrize(
    ("columns", "asked", "accepted", "native", "target"),
    [
        (["prompt", "completion"], "auto", SFT, "prompt_completion", "prompt_completion"),
        (["text"], "auto", SFT, "language_modeling", "language_modeling"),
        (["prompt", "chosen", "rejected"], "auto", SFT, "preference", "prompt_completion"),
        (["prompt", "chosen", "rejected"], "auto", DPO, "preference", "preference"),
        (["prompt", "completion"], "language_modeling", SFT, "prompt_completion", "language_modeling"),
        (["prompt", "chosen", "rejected"], "language_modeling", SFT, "preference", "language_modeling"),
        (["text", "prompt", "chosen", "rejected"], "auto", SFT, "language_modeling", "language_modeling"),
    ],
)
def test_the_way_to_what_a_method_takes(
    columns: list[str], asked: str, accepted: tuple[Format, ...], native: str, target: str
) -> None:
    way = choose(columns, asked, accepted)
    assert isinstance(way, Way)
    assert (way.native, way.target) == (native, target)
    assert bool(way_notes(way)) == (native != target)


@pytest.mark.parametrize(
    ("columns", "asked", "accepted", "said"),
    [
        (["prompt", "completion"], "auto", DPO, "needs a chosen and a rejected answer"),
        (["text"], "prompt_completion", SFT, "where the prompt ends"),
        (["prompt", "chosen", "rejected"], "preference", SFT, "it takes prompt_completion or language_modeling"),
        (["question", "answer"], "auto", SFT, "map them: data.columns: {prompt: question, completion: answer}"),
        (["instruction", "output", "input"], "auto", SFT, "data.columns: {prompt: instruction, completion: output}"),
        (["Text"], "auto", SFT, "{text: Text}"),
        (["a", "b"], "auto", DPO, "'a', 'b'"),
        (["a", "b"], "auto", DPO, "prompt, chosen, rejected"),
    ],
)
def test_no_way_is_a_problem_that_helps(
    columns: list[str], asked: str, accepted: tuple[Format, ...], said: str
) -> None:
    problem = choose(columns, asked, accepted)
    assert isinstance(problem, Problem)
    assert said in problem.render()


@given(
    columns=st.sets(st.sampled_from([*KNOWN_COLUMNS, "id"])),
    asked=st.sampled_from(["auto", *get_args(Format)]),
    accepted=st.sampled_from([SFT, DPO]),
)
def test_a_way_is_one_that_the_method_takes_from_columns_that_are_there(
    columns: set[str], asked: str, accepted: tuple[Format, ...]
) -> None:
    way = choose(sorted(columns), asked, accepted)
    if isinstance(way, Way):
        assert way.target in accepted
        assert asked in ("auto", way.target)
        assert set(way.columns) <= columns
    else:
        assert way.why
        assert way.hint


def _turn(row: dict[str, Any], target: Format, *, conversational: bool = False) -> dict[str, Any]:
    way = choose(list(row), "auto", (target,))
    assert isinstance(way, Way)
    return convert(row, way, conversational=conversational)


PAIR = {"prompt": "1+1=", "chosen": "2", "rejected": "3"}


@pytest.mark.parametrize(
    ("row", "target", "conversational", "expected"),
    [
        (PAIR, "preference", False, PAIR),
        (PAIR, "prompt_completion", False, {"prompt": "1+1=", "completion": "2"}),
        (PAIR, "language_modeling", False, {"text": "1+1=2"}),
        ({"text": "a", "id": 3}, "language_modeling", False, {"text": "a"}),
        (
            {"prompt": "Hi", "chosen": "Hello", "rejected": "Go away"},
            "preference",
            True,
            {"prompt": USER, "chosen": GOOD, "rejected": BAD},
        ),
        ({"prompt": "Hi", "completion": "Hello"}, "language_modeling", True, {"messages": USER + GOOD}),
        ({"prompt": USER, "completion": GOOD}, "language_modeling", False, {"messages": USER + GOOD}),
        (
            {"chosen": USER + GOOD, "rejected": USER + BAD},
            "preference",
            False,
            {"prompt": USER, "chosen": GOOD, "rejected": BAD},
        ),
        (
            {"prompt": "Hi", "chosen": USER + GOOD, "rejected": USER + BAD},
            "preference",
            False,
            {"prompt": USER, "chosen": GOOD, "rejected": BAD},
        ),
        (
            {"prompt": "Hi", "chosen": GOOD, "rejected": BAD},
            "preference",
            False,
            {"prompt": USER, "chosen": GOOD, "rejected": BAD},
        ),
        ({"prompt": "Hi", "completion": GOOD}, "prompt_completion", False, {"prompt": USER, "completion": GOOD}),
        ({"messages": USER + GOOD}, "language_modeling", True, {"messages": USER + GOOD}),
        (
            {"chosen": "Say a word: yes", "rejected": "Say a word: no"},
            "preference",
            False,
            {"prompt": "Say a word:", "chosen": " yes", "rejected": " no"},
        ),
    ],
)
def test_rows_are_turned(row: dict[str, Any], target: Format, conversational: bool, expected: dict[str, Any]) -> None:
    assert _turn(row, target, conversational=conversational) == expected


@pytest.mark.parametrize(
    ("row", "conversational", "said"),
    [
        ({"text": "a"}, True, "who speaks"),
        ({"chosen": USER + GOOD, "rejected": USER + GOOD}, False, "are the same"),
        ({"chosen": "yes", "rejected": "no"}, False, "share no beginning"),
    ],
)
def test_rows_that_cannot_be_turned_say_why(row: dict[str, Any], conversational: bool, said: str) -> None:
    target: Format = "language_modeling" if "text" in row else "preference"
    with pytest.raises(NoWay, match=said):
        _turn(row, target, conversational=conversational)


@given(st.text(), st.text(min_size=1), st.text(min_size=1))
def test_nothing_is_lost_when_a_beginning_becomes_the_prompt(shared: str, one: str, other: str) -> None:
    row = {"chosen": shared + one, "rejected": shared + other}
    try:
        made = _turn(row, "preference")
    except NoWay:
        return
    assert made["prompt"] + made["chosen"] == row["chosen"]
    assert made["prompt"] + made["rejected"] == row["rejected"]
    assert made["prompt"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "a", "completion": None}, "no value for 'completion'"),
        ({"prompt": "a"}, "no value for 'completion'"),
        ({"prompt": "a", "completion": 3}, "is int"),
        ({"prompt": USER, "completion": "a"}, "some columns are text"),
        ({"prompt": USER, "completion": []}, "empty list"),
        ({"prompt": USER, "completion": [{"content": "a"}]}, "message 0 has no role"),
        ({"prompt": USER, "completion": [{"role": "assistant", "content": ["parts"]}]}, "no text as content"),
    ],
)
def test_values_that_are_no_rows(row: dict[str, Any], said: str) -> None:
    assert said in (row_problem(row, ("prompt", "completion")) or "")


@pytest.mark.parametrize(
    "row",
    [
        {"text": "a \ud83d b"},
        {"messages": [{"role": "user", "content": "\ude00"}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "\ud83d"}}]}]},
    ],
)
def test_half_a_character_is_no_text(row: dict[str, Any]) -> None:
    assert "half a character" in (row_problem(row, tuple(row)) or "")
    assert row_problem({"text": "a \N{SLIGHTLY SMILING FACE} b"}, ("text",)) is None


def test_text_and_messages_are_not_mistaken_for_each_other() -> None:
    assert "expected text" in (row_problem({"text": USER}, ("text",)) or "")
    assert "expected a list" in (row_problem({"messages": "a"}, ("messages",)) or "")
    assert row_problem({"prompt": USER, "completion": GOOD}, ("prompt", "completion")) is None
