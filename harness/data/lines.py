"""Where in its line a value of a row stands; worked out for rows that are wrong, so that good ones cost nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from harness.errors import Location

_SPACE = re.compile(r"[ \t\n\r]*")


def line_of(file: Path, number: int) -> str:
    """The text of a line, counted from 1, without its end; bytes that are not UTF-8 are replaced."""
    return next(_lines_from(file, number), "").rstrip("\r\n")


def of_key(file: Path, number: int, key: str | None) -> Location:
    """Where a key stands in the object of a .jsonl line; the line's beginning for a key that is not there."""
    text = line_of(file, number)
    at = _keys(text).get(key, 0) if key is not None else 0
    return Location(file=file, line=number, column=at + 1, text=text)


def of_field(file: Path, number: int, position: int | None) -> Location:
    """Where a field (counted from 0) of the .csv record stands that begins in a line.

    The record's beginning without a position, its end where there are fewer fields.
    """
    if position is None:
        return Location(file=file, line=number, column=1, text=line_of(file, number))
    starts = fields(_lines_from(file, number))
    if position < len(starts):
        after, at = starts[position]
        return Location(file=file, line=number + after, column=at + 1, text=line_of(file, number + after))
    after = starts[-1][0]
    text = line_of(file, number + after)
    return Location(file=file, line=number + after, column=len(text) + 1, text=text)


def of_last_field(file: Path, number: int) -> Location:
    """Where the last field stands that could be found of the .csv record that begins in a line."""
    return of_field(file, number, len(fields(_lines_from(file, number))) - 1)


def fields(lines: Iterable[str]) -> list[tuple[int, int]]:
    """Line (from 0) and offset of every field of the record that these lines begin with.

    Quoted as Python's csv does by default: a quote opens only a field, and two of them inside are one. Ends with the
    record, or with the field whose quotes are wrong.
    """
    starts = []
    quoted = opening = False
    for number, line in enumerate(lines):
        if not quoted:
            starts.append((number, 0))
            opening = True
        at = 0
        while at < len(line):
            letter = line[at]
            if quoted and letter == '"' and line[at + 1 : at + 2] == '"':
                at += 1
            elif letter == '"' and quoted:
                if line[at + 1 : at + 2] not in ("", ",", "\r", "\n"):
                    return starts  # text behind a closing quote
                quoted = False
            elif letter == '"' and opening:
                quoted = True
            elif letter == "," and not quoted:
                starts.append((number, at + 1))
            opening = letter == "," and not quoted
            at += 1
        if not quoted:
            break
    return starts


def _lines_from(file: Path, number: int) -> Iterator[str]:
    with file.open("rb") as lines:
        for at, raw in enumerate(islice(lines, number - 1, None), start=number):
            yield raw.decode("utf-8-sig" if at == 1 else "utf-8", "replace")


def _keys(text: str) -> dict[str, int]:
    """Offset of every key of the object that a text is; of a key that is there twice the last, as `json` takes it."""
    decode = json.JSONDecoder().raw_decode
    found: dict[str, int] = {}
    at = _after(text, _after(text, 0) + 1)
    while text[at : at + 1] == '"':
        start = at
        key, at = decode(text, start)
        found[key] = start
        _, at = decode(text, _after(text, _after(text, at) + 1))
        at = _after(text, at)
        if text[at : at + 1] != ",":
            break
        at = _after(text, at + 1)
    return found


def _after(text: str, at: int) -> int:
    """The first offset from `at` on that is no white space of JSON."""
    found = _SPACE.match(text, at)
    return found.end() if found else at
