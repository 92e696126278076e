"""Columns beside a format's own that TRL hands to the chat template, row by row.

`tools` is a list of JSON schemas, or the text of one; `chat_template_kwargs` a mapping of what the template is given by
name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.data.formats import TEMPLATE_COLUMNS, AnyRow, has_half_character, has_too_long_integer

_TRL_SETS = (
    "tools",
    "tokenize",
    "return_dict",
    "add_generation_prompt",
    "continue_final_message",
    "return_assistant_tokens_mask",
    "conversation",
    "input",
    "processing_class",
)
"""What TRL's trainers pass along themselves: a second value of that name ends in an error from inside, or is lost."""


def present(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = TEMPLATE_COLUMNS) -> tuple[str, ...]:
    """Those of the columns that some row has a value in."""
    missing = list(columns)
    for row in rows:
        for name in [name for name in missing if not _is_empty(row.get(name))]:
            missing.remove(name)
        if not missing:
            break
    return tuple(name for name in columns if name not in missing)


def handed(row: Mapping[str, Any], columns: Sequence[str]) -> AnyRow:
    """What of the row the template is given: schemas as a list, and None or an empty mapping where it has no value."""
    values: AnyRow = {name: None if _is_empty(row.get(name)) else row[name] for name in columns}
    if isinstance(values.get("tools"), str):
        values["tools"] = json.loads(values["tools"])
    if values.get("chat_template_kwargs", {}) is None:
        values["chat_template_kwargs"] = {}  # TRL unpacks what is there
    return values


def wrong_handed(row: Mapping[str, Any], columns: Sequence[str]) -> tuple[str, str] | None:
    """The first of the columns whose value cannot be handed to a template, and what is wrong with it."""
    checks = {"tools": _wrong_tools, "chat_template_kwargs": _wrong_arguments}
    for name in columns:
        value = row.get(name)
        wrong = None if _is_empty(value) else checks[name](value)
        if wrong:
            return name, f"{name!r} {wrong}"
    return None


def _wrong_tools(value: Any) -> str | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return "is text that is not JSON, expected a list of JSON schemas, or the text of one"
        if not isinstance(value, list):
            return f"is the text of {type(value).__name__}, expected a list of JSON schemas, or the text of one"
    if not isinstance(value, list):
        return f"is {type(value).__name__}, expected a list of JSON schemas, or the text of one"
    for place, tool in enumerate(value):
        if not isinstance(tool, Mapping):
            return f"holds {type(tool).__name__} at place {place}, expected a JSON schema"
    return _unfit(value)


def _wrong_arguments(value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return f"is {type(value).__name__}, expected a mapping"
    for name in value:
        if name in _TRL_SETS:
            return f"sets {name!r}, which TRL sets itself"
    return _unfit(value)


def _unfit(value: Any) -> str | None:
    if has_half_character(value):
        return "holds half a character (a lone surrogate escape), which no tokenizer takes"
    if has_too_long_integer(value):
        return "holds an integer of more than 64 bits, which no dataset takes"
    return None


def _is_empty(value: Any) -> bool:
    """Whether there is no value: a .csv file, which knows no null, has an empty text there."""
    return value is None or value == ""
