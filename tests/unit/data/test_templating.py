"""What rows hand to a chat template: known, checked, and kept where messages are rendered."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.data import check, load
from harness.data.prepare import training_rows
from harness.data.templating import handed, present, wrong_handed
from harness.errors import DataError
from harness.methods import METHODS

BOTH = ("tools", "chat_template_kwargs")
TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
SCHEMA = {"type": "function", "function": {"name": "look", "parameters": {}}}
Write = Callable[..., Path]


def _load(root: Path, method: str = "sft", **data: Any) -> Any:
    known = METHODS[method]
    named = {"path": "rows.jsonl", **data}
    prepared = load(named, known.formats, root=root, template_columns=known.template_columns)
    _, seen = training_rows(named, known.formats, root=root, template_columns=known.template_columns)
    assert seen == prepared.fingerprint
    return prepared


def test_columns_count_that_some_row_has_a_value_in() -> None:
    assert present([{"tools": None}, {"tools": ""}, {}]) == ()
    assert present([{}, {"chat_template_kwargs": {}}]) == ("chat_template_kwargs",)
    assert present([{"chat_template_kwargs": {}}, {"tools": "[]"}]) == BOTH


def test_rows_without_a_value_hand_over_nothing() -> None:
    assert handed({}, BOTH) == handed({"tools": ""}, BOTH) == {"tools": None, "chat_template_kwargs": {}}
    assert handed({"tools": '[{"a": 1}]', "chat_template_kwargs": {"b": 2}}, ("tools",)) == {"tools": [{"a": 1}]}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("tools", {"a": 1}, "is dict, expected a list of JSON schemas, or the text of one"),
        ("tools", "look", "is text that is not JSON"),
        ("tools", "[" * 100_000, "is text that is not JSON"),
        ("tools", '{"a": 1}', "is the text of dict"),
        ("tools", [SCHEMA, "look"], "holds str at place 1, expected a JSON schema"),
        ("tools", '["\\ud800"]', "holds str at place 0"),
        ("tools", '[{"name": "\\ud800"}]', "half a character"),
        ("tools", [{"maximum": 2**64}], "more than 64 bits"),
        ("chat_template_kwargs", [], "is list, expected a mapping"),
        ("chat_template_kwargs", "{}", "is str, expected a mapping"),
        ("chat_template_kwargs", {"tokenize": False}, "sets 'tokenize', which TRL sets itself"),
        ("chat_template_kwargs", {"a": "\ud800"}, "half a character"),
    ],
)
def test_what_cannot_be_handed_over_is_told(name: str, value: Any, said: str) -> None:
    wrong = wrong_handed({name: value}, BOTH)
    assert wrong is not None
    assert wrong[0] == name
    assert said in wrong[1]
    assert wrong_handed({name: value}, ()) is None


@pytest.mark.parametrize(
    ("column", "value"), [("tools", "look"), ("tools", {"a": 1}), ("chat_template_kwargs", ["enable_thinking"])]
)
def test_it_is_told_with_its_line(write: Write, tmp_path: Path, column: str, value: Any) -> None:
    write("rows.jsonl", [{"messages": TURNS}, {"messages": TURNS, column: value}])
    (problem,) = check({"path": "rows.jsonl"}, tmp_path, METHODS["sft"].formats, BOTH)
    at = json.dumps({"messages": TURNS}).index("]}") + len("], ") + 1
    assert str(problem.where) == f"{tmp_path}/rows.jsonl:2:{at}"
    with pytest.raises(DataError, match=rf"rows\.jsonl:2:1: error: '{column}' is"):
        _load(tmp_path)


def test_an_integer_that_no_dataset_takes_is_told_with_its_line(write: Write, tmp_path: Path) -> None:
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"n": 2**64}}}]}
    write("rows.jsonl", [{"messages": TURNS}, {"messages": [*TURNS, call]}])
    (problem,) = check({"path": "rows.jsonl"}, tmp_path, METHODS["sft"].formats)
    assert problem.what == "'messages': message 2 holds an integer of more than 64 bits, which no dataset takes"


def test_conversational_rows_keep_what_their_method_hands_over(write: Write, tmp_path: Path) -> None:
    rows = [
        {"messages": TURNS, "id": 1},
        {"messages": TURNS, "id": 2, "tools": [SCHEMA], "chat_template_kwargs": {"think": True}},
    ]
    write("rows.jsonl", rows)
    prepared = _load(tmp_path)
    assert prepared.conversational
    assert list(prepared.train) == [
        {"messages": TURNS, "tools": None, "chat_template_kwargs": {}},
        {"messages": TURNS, "tools": [SCHEMA], "chat_template_kwargs": {"think": True}},
    ]
    assert prepared.notes == ("columns that were not used: id",)


@pytest.mark.parametrize(("method", "kept"), [("sft", BOTH), ("dpo", BOTH), ("orpo", ("chat_template_kwargs",))])
def test_what_a_method_does_not_render_stays_unused_and_is_noted(
    write: Write, tmp_path: Path, method: str, kept: tuple[str, ...]
) -> None:
    pair = {"prompt": TURNS[:1], "chosen": TURNS[1:], "rejected": TURNS[1:]}
    write("rows.jsonl", [pair, {**pair, "tools": [SCHEMA], "chat_template_kwargs": {"think": True}}])
    prepared = _load(tmp_path, method)
    assert tuple(name for name in prepared.train.column_names if name in BOTH) == kept
    assert [note for note in prepared.notes if "tools" in note] == (
        [] if "tools" in kept else ["columns that were not used: tools"]
    )


def test_plain_rows_have_no_template_to_hand_them_to(write: Write, tmp_path: Path) -> None:
    write(
        "rows.csv", [{"prompt": "a", "completion": "b", "tools": ""}, {"prompt": "c", "completion": "d", "tools": "[]"}]
    )
    plain = _load(tmp_path, path="rows.csv")
    assert plain.train.column_names == ["prompt", "completion"]
    assert plain.notes == ("columns that were not used: tools",)
    turned = _load(tmp_path, path="rows.csv", conversational=True)
    assert list(turned.train["tools"]) == [None, []]
    assert turned.notes == ()


def test_a_column_of_another_name_is_mapped(write: Write, tmp_path: Path) -> None:
    write("rows.jsonl", [{"messages": TURNS, "functions": '[{"name": "look"}]'}])
    data: dict[str, Any] = {"path": "rows.jsonl", "columns": {"tools": "functions"}}
    assert check(data, tmp_path, METHODS["sft"].formats, BOTH) == []
    assert list(_load(tmp_path, columns=data["columns"]).train["tools"]) == [[{"name": "look"}]]


def test_text_of_schemas_and_the_schemas_are_the_same_data(write: Write, tmp_path: Path) -> None:
    write("rows.jsonl", [{"messages": TURNS, "tools": [SCHEMA]}])
    write(
        "text.jsonl",
        [{"messages": TURNS, "tools": '[{"type": "function", "function": {"name": "look", "parameters": {}}}]'}],
    )
    assert _load(tmp_path).fingerprint == _load(tmp_path, path="text.jsonl").fingerprint
    write("none.jsonl", [{"messages": TURNS}])
    assert _load(tmp_path).fingerprint != _load(tmp_path, path="none.jsonl").fingerprint


def test_a_row_is_kept_back_whatever_it_hands_over(write: Write, tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": str(n)}, TURNS[1]]} for n in range(60)]
    write("rows.jsonl", rows)
    write("more.jsonl", [{**row, "tools": [SCHEMA]} for row in rows])
    one, other = (_load(tmp_path, path=name, eval_fraction=0.3).eval for name in ("rows.jsonl", "more.jsonl"))
    assert list(one["messages"]) == list(other["messages"])
