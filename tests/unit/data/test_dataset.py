"""Datasets of rows give each row back as it is: no key that it does not have, no number that is another."""

import json
import os
from typing import Any

import pytest

from harness.data.dataset import dataset

TURN = {"role": "user", "content": "where?"}


def _calls(arguments: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": arguments}}]}


NUMBERS: tuple[Any, ...] = (0.1234567890123456, 0.002991, 1e-12, -0.0, 2**63, [1, []], {})
ROWS: list[list[dict[str, Any]]] = [
    [{"messages": [TURN, _calls({"city": "P"})]}, {"messages": [TURN, _calls({"x": None})]}],
    [{"messages": [TURN, _calls({"n": 1})]}, {"messages": [TURN, _calls({"n": "one"})]}],
    [{"messages": [TURN, _calls({"a": 1, "b": 2})]}, {"messages": [TURN, _calls({"b": 2, "a": 1})]}],
    [{"messages": [TURN, {**TURN, "name": "me"}]}, {"messages": [{**TURN, "reasoning_content": ""}]}],
    [{"messages": [TURN, _calls({"n": n})]} for n in NUMBERS],
    [{"prompt": "a", "completion": [_calls({"n": 1})]}, {"prompt": "b", "completion": [_calls("text")]}],
    [{"messages": [TURN], "tools": None, "chat_template_kwargs": {}}] * 2,
    [
        {"messages": [TURN], "tools": [{"name": "a"}], "chat_template_kwargs": {"think": True}},
        {"messages": [TURN], "tools": [], "chat_template_kwargs": {"budget": 3}},
        {"messages": [TURN], "tools": None, "chat_template_kwargs": {}},
    ],
]


@pytest.mark.parametrize("rows", ROWS)
def test_rows_come_back_as_they_are(rows: list[dict[str, Any]]) -> None:
    made = dataset(rows)
    assert [json.dumps(row) for row in made] == [json.dumps(row) for row in rows]
    mixed = made.shuffle(seed=3).select(range(len(rows)))
    assert sorted(json.dumps(row) for row in mixed) == sorted(json.dumps(row) for row in rows)


@pytest.mark.parametrize("processes", [None, 2])
def test_a_map_over_them_sees_them_as_they_are(processes: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ)  # a map in several processes leaves a copy in its place
    rows = ROWS[4]
    seen = dataset(rows).map(lambda row: {"seen": json.dumps(row["messages"])}, num_proc=processes)
    assert list(seen["seen"]) == [json.dumps(row["messages"]) for row in rows]


@pytest.mark.parametrize("row", [{"text": "a"}, {"messages": [TURN]}, {"prompt": [TURN], "completion": [TURN]}])
def test_rows_of_roles_and_texts_are_plain_columns(row: dict[str, Any]) -> None:
    from datasets import Dataset

    assert dataset([row]).features == Dataset.from_list([row]).features


def test_one_column_with_tool_calls_leaves_the_others_plain() -> None:
    from datasets import Dataset

    made = dataset([{"prompt": [TURN], "completion": [_calls({})]}])
    assert made.features["prompt"] == Dataset.from_list([{"prompt": [TURN]}]).features["prompt"]


def test_what_json_has_no_word_for_is_its_text() -> None:
    from datetime import date

    (row,) = dataset([{"messages": [{**TURN, "day": date(2026, 1, 2)}]}])
    assert row["messages"][0]["day"] == "2026-01-02"
