"""How long the rows of data can be, in tokens, without tokenizing or loading them: light, for the parent."""

from __future__ import annotations

import functools
import heapq
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.data.check import WHOLE, renamed
from harness.data.files import read_rows
from harness.data.formats import KNOWN_COLUMNS, TEMPLATE_COLUMNS, is_plain_message
from harness.data.identity import data_file
from harness.data.sources import source_of
from harness.errors import DataError

_ANSWERS = ("chosen", "rejected")  # a row of a batch has one of them
_END = 1  # the token that TRL ends a row with
_MESSAGE = 16  # what a chat template may add to a message: its role and marks
_RENDERED = 64  # and to a conversation, as a system prompt of its own


def longest(data: Mapping[str, Any], *, root: Path, most: int) -> tuple[int, ...] | None:
    """Tokens that the `most` longest rows can have at most, longest first; None where that takes loading the data.

    A token per UTF-8 byte: byte-level tokenizers, and those that fall back to bytes, make no more of a text. Of a
    conversation 16 more for each message and 64 for the whole, which a chat template is taken to add; None too where it
    is given more than roles and texts (tool calls, tools): what it writes of those only the template knows. Sources and
    files up to 64 MiB are looked into; `data` is a SourceData, PathData or HubData as a mapping, paths relative to
    `root`.
    """
    try:
        return _longest(json.dumps(data, sort_keys=True), root, most)
    except (DataError, OSError):
        return None  # what is wrong with the data is told where it is checked


@functools.lru_cache(maxsize=64)
def _longest(said: str, root: Path, most: int) -> tuple[int, ...] | None:
    data = json.loads(said)
    rows = _rows(data, root)
    if rows is None:
        return None
    asked = bool(data.get("conversational", False))
    sizes = []
    for row in rows:
        if _is_open(row, conversational=asked):
            return None
        sizes.append(_tokens(row, conversational=asked))
    return tuple(heapq.nlargest(most, sizes))


def _rows(data: Mapping[str, Any], root: Path) -> Iterator[Mapping[str, Any]] | None:
    if "source" in data:
        source = source_of(str(data["source"]))
        options = source.resolve(data.get("options") or {})
        return iter(source.rows(options, int(data.get("seed", 0))))
    if "path" not in data:
        return None
    file = data_file(data, root)
    if file.stat().st_size > WHOLE:
        return None
    columns = data.get("columns") or {}
    return (renamed(numbered.row, columns) for numbered in read_rows(file))


def _is_open(row: Mapping[str, Any], *, conversational: bool) -> bool:
    """Whether a template is given more of the row than roles and texts."""
    lists = [row[name] for name in KNOWN_COLUMNS if isinstance(row.get(name), list)]
    besides = any(row.get(name) for name in TEMPLATE_COLUMNS) if lists or conversational else False
    return besides or not all(is_plain_message(message) for messages in lists for message in messages)


def _tokens(row: Mapping[str, Any], *, conversational: bool) -> int:
    """What the row can have at most; of chosen and rejected the longer."""
    used = {name: row[name] for name in KNOWN_COLUMNS if row.get(name) is not None}
    text = sum(_size(value) for name, value in used.items() if name not in _ANSWERS)
    text += max((_size(used[name]) for name in _ANSWERS if name in used), default=0)
    lists = any(isinstance(value, list) for value in used.values())
    plain = sum(isinstance(value, str) for value in used.values()) if conversational and not lists else 0
    return text + plain * _MESSAGE + (_RENDERED if lists or plain else 0) + _END


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, list):
        return sum(_size(inner) + _MESSAGE for inner in value)
    if isinstance(value, dict):
        return sum(_size(inner) for inner in value.values())
    return len(str(value))
