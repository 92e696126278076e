"""Rows of more columns than a terminal has room for, one below the other: a line for each figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.cli.output import cell, wrapped

_LEAST, _GAP = 8, 2  # columns of a terminal below which a folded cell is no longer read, and between two cells


def fits(columns: Sequence[str], rows: Sequence[Sequence[Any]], room: int) -> bool:
    """Whether a table of this width shows every column whole, or folded into a width that can be read."""
    widest = [max(len(name), *(len(cell(row[at])) for row in rows), 0) for at, name in enumerate(columns)]
    return sum(min(wide, _LEAST) for wide in widest) + _GAP * (len(columns) - 1) <= room


def upright(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Each row as lines of name and value, with an empty line between two rows."""
    indent = max(map(len, columns)) + _GAP
    named = (zip(columns, row, strict=True) for row in rows)
    return "\n\n".join("\n".join(_line(f"{name:<{indent}}", cell(value)) for name, value in row) for row in named)


def _line(name: str, value: str) -> str:
    """Several lines where the value's words do not fit into one; a hash or a path stays beside its name."""
    return wrapped(name + value, indent=len(name)) if " " in value else (name + value).rstrip()
