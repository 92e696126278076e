"""How long rows can be at most: never less than what a tokenizer makes of them, and silent where that is not known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.data import longest as module
from harness.data.longest import longest


def _file(folder: Path, *rows: dict[str, Any]) -> dict[str, Any]:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {"path": "rows.jsonl"}


def test_bytes_count_and_not_characters(tmp_path: Path) -> None:
    data = _file(tmp_path, {"text": "ab"}, {"text": "äß€"}, {"text": "a"})
    assert longest(data, root=tmp_path, most=2) == (7 + 1, 2 + 1)  # and the token that ends a row
    assert longest(data, root=tmp_path, most=9) == (8, 3, 2)


def test_of_chosen_and_rejected_a_row_has_one(tmp_path: Path) -> None:
    row = {"prompt": "12", "chosen": "123", "rejected": "12345", "other": "not read" * 99}
    assert longest(_file(tmp_path, row), root=tmp_path, most=1) == (2 + 5 + 1,)


def test_columns_are_known_by_the_suite_s_names(tmp_path: Path) -> None:
    data = {**_file(tmp_path, {"q": "12", "a": "123"}), "columns": {"prompt": "q", "completion": "a"}}
    assert longest(data, root=tmp_path, most=1) == (6,)


@pytest.mark.parametrize("given", ["lists", "asked"])
def test_a_conversation_has_its_template_s_marks_too(tmp_path: Path, given: str) -> None:
    if given == "lists":
        messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "oh"}]
        data, roles = _file(tmp_path, {"messages": messages}), len("user" + "assistant")
    else:
        data, roles = {**_file(tmp_path, {"prompt": "hi", "completion": "oh"}), "conversational": True}, 0
    assert longest(data, root=tmp_path, most=1) == (4 + roles + 2 * 16 + 64 + 1,)


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"name": "look"}]},
        {"chat_template_kwargs": {"think": True}},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": {}}}]}]},
    ],
)
def test_what_a_template_writes_of_more_than_texts_is_not_known(tmp_path: Path, more: dict[str, Any]) -> None:
    row = {"messages": [{"role": "user", "content": "hi"}]}
    assert longest(_file(tmp_path, row, row), root=tmp_path, most=1) is not None
    assert longest({**_file(tmp_path, row, {**row, **more}), "seed": 1}, root=tmp_path, most=1) is None


def test_plain_rows_hand_nothing_to_a_template(tmp_path: Path) -> None:
    data = _file(tmp_path, {"prompt": "12", "completion": "123", "tools": "[{}]"})
    assert longest(data, root=tmp_path, most=1) == (6,)
    assert longest({**data, "conversational": True}, root=tmp_path, most=1) is None


def test_what_takes_loading_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert longest({"hub": "a/b"}, root=tmp_path, most=1) is None
    assert longest({"path": "none.jsonl"}, root=tmp_path, most=1) is None
    assert longest({"source": "none"}, root=tmp_path, most=1) is None
    (tmp_path / "torn.jsonl").write_text('{"text": "a"}\n{"te')
    assert longest({"path": "torn.jsonl"}, root=tmp_path, most=1) is None
    data = _file(tmp_path, {"text": "ab"})
    monkeypatch.setattr(module, "WHOLE", 3)
    assert longest({**data, "seed": 1}, root=tmp_path, most=1) is None


@pytest.mark.slow
@pytest.mark.parametrize("conversational", [False, True])
@pytest.mark.parametrize("source", [{"source": "pydoc", "options": {"max_chars": 300}}, {"source": "arithmetic"}])
def test_no_row_of_a_training_is_longer(source: dict[str, Any], conversational: bool) -> None:
    from harness.data import load
    from harness.models.tokenizer import build

    data = {**source, "rows": 300, "conversational": conversational}
    bound = longest(data, root=Path(), most=300)
    assert bound is not None
    tokenizer = build()
    rows = load(data, ("prompt_completion",), root=Path()).train
    if conversational:
        made = [
            tokenizer.apply_chat_template(row["prompt"] + row["completion"], tokenize=True, return_dict=True)
            for row in rows
        ]
        lengths = [len(one["input_ids"]) + 1 for one in made]
    else:
        lengths = [len(tokenizer(row["prompt"] + row["completion"])["input_ids"]) + 1 for row in rows]
    assert max(lengths) <= bound[0]
    assert sum(lengths) <= sum(bound)
