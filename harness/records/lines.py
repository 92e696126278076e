"""JSON lines → objects, fast where the file is whole, and tolerant where it is not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True, slots=True)
class Lines:
    """The objects of a file. `unreadable` counts lines that hold none; `first_unreadable` is the first such line."""

    objects: list[dict[str, Any]] = field(default_factory=list)
    unreadable: int = 0
    first_unreadable: int | None = None


def parse(raw: bytes, *, may_be_torn: bool) -> Lines:
    """Every object of the bytes, in order. A torn last line is passed over quietly where `may_be_torn`."""
    lines = raw.split(b"\n")
    whole = [line for line in lines if line and not line.isspace()]
    objects = at_once(whole)
    return _one_by_one(lines, may_be_torn=may_be_torn) if objects is None else Lines(objects=objects)


def at_once(lines: Sequence[bytes]) -> list[dict[str, Any]] | None:
    """The objects of whole lines by one call, twice as fast as one per line and with each key in memory once; None
    where a line is no object.
    """
    try:
        objects = json.loads(b"[" + b",".join(lines) + b"]")
    except (ValueError, RecursionError):
        return None
    # Damaged lines could parse by merging, so the number of objects must be the number of lines.
    return objects if len(objects) == len(lines) and all(type(value) is dict for value in objects) else None


def _one_by_one(lines: list[bytes], *, may_be_torn: bool) -> Lines:
    found = Lines()
    for number, line in enumerate(lines, start=1):
        if not line or line.isspace():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
            if may_be_torn and number == len(lines):
                continue  # the writer was killed inside this line
        if isinstance(value, dict):
            found.objects.append(value)
        else:
            found.unreadable += 1
            found.first_unreadable = found.first_unreadable or number
    return found
