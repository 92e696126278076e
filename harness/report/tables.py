"""Markdown tables whose source is aligned, so that they read in a pager as well as on a code host."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Align = Literal["left", "right"]

WIDEST = 100
"""Characters of a line that a terminal of usual size shows unwrapped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A heading and its cells, Markdown already."""

    heading: str
    cells: Sequence[str]
    align: Align = "right"


def width(text: str) -> int:
    """Columns that a terminal gives the text: two for wide characters, none for combining ones."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[Align]) -> str:
    """A Markdown table. Every row has as many cells as the header; cells are Markdown already."""
    widths = [max(3, *(width(row[place]) for row in (header, *rows))) for place in range(len(header))]
    rule = ["-" * (size - 1) + ":" if side == "right" else "-" * size for size, side in zip(widths, align, strict=True)]
    lines = [_line(header, widths, align), "| " + " | ".join(rule) + " |"]
    return "\n".join([*lines, *(_line(row, widths, align) for row in rows)])


def tables(first: Column, columns: Sequence[Column], *, widest: int = WIDEST) -> str:
    """The columns in as few tables as keep within `widest` characters, each beginning with `first`.

    A single column is never divided, however wide it is.
    """
    groups: list[list[Column]] = [[first]]
    for column in columns:
        if len(groups[-1]) > 1 and _wide([*groups[-1], column]) > widest:
            groups.append([first])
        groups[-1].append(column)
    return "\n\n".join(_of_columns(group) for group in groups)


def _wide(columns: Sequence[Column]) -> int:
    return sum(max(3, *(width(text) for text in (column.heading, *column.cells))) + 3 for column in columns) + 1


def _of_columns(columns: Sequence[Column]) -> str:
    rows = list(zip(*(column.cells for column in columns), strict=True))
    return table([column.heading for column in columns], rows, [column.align for column in columns])


def _line(cells: Sequence[str], widths: Sequence[int], align: Sequence[Align]) -> str:
    padded = [_padded(cell, size, side) for cell, size, side in zip(cells, widths, align, strict=True)]
    return "| " + " | ".join(padded) + " |"


def _padded(cell: str, size: int, side: Align) -> str:
    space = " " * (size - width(cell))
    return space + cell if side == "right" else cell + space
