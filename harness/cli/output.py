"""Printing: tables, JSON and figures. stdout is the result, stderr the progress."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

_GAP = 2  # characters between columns
_RICH_ROWS = 500  # above this rich takes longer to lay a table out than a reader to read it


def say(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)


def width() -> int:
    """Columns of the terminal, or of `COLUMNS`; 80 where neither is known."""
    return shutil.get_terminal_size().columns


def room(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
    """Characters that a table leaves for its first column on the terminal, or in 100 columns where there is none."""
    others = (max(len(cell(value)) for value in cells) for cells in list(zip(columns, *rows, strict=True))[1:])
    return shutil.get_terminal_size(fallback=(100, 24)).columns - sum(_GAP + wide for wide in others)


def fits(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bool:
    """Whether a table is no wider than the terminal, or than 100 columns where there is none."""
    return max(len(columns[0]), *(len(cell(row[0])) for row in rows), 0) <= room(columns, rows)


def shortened(text: str, most: int) -> str:
    """At most so many characters, the middle left out: the ends of names tell more."""
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def wrapped(text: str, *, indent: int = 0) -> str:
    """One line as several that fit the terminal, all but the first indented; words are never cut."""
    import textwrap

    start = len(text) - len(text.lstrip())
    lines = textwrap.wrap(
        text.strip(),
        max(width(), indent + 20),
        initial_indent=" " * start,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def paragraph(text: str) -> str:
    """One line, for scripts; on a terminal as many as it takes."""
    return wrapped(text) if sys.stdout.isatty() else text


def many(count: int, what: str) -> str:
    """`1 cell`, `1,000 cells`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def print_json(value: Any) -> None:
    """Exactly one JSON document; NaN and infinities are the strings "NaN", "Infinity", "-Infinity"."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(jsonable(value), indent=2, ensure_ascii=not unicode, allow_nan=False))


def jsonable(value: Any) -> Any:
    """Records, paths and odd numbers as what JSON knows; anything else as its text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _odd(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(inner) for inner in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return jsonable(value.model_dump(mode="json"))
    return str(value) if isinstance(value, PurePath) or value is not None else None


def _odd(value: float) -> str:
    return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[str] = ()) -> None:
    """Rows on stdout: drawn by rich on a terminal, aligned plain text elsewhere and for very many rows."""
    if sys.stdout.isatty() and len(rows) <= _RICH_ROWS:
        _rich_table(columns, rows, right)
    else:
        print(plain_table(columns, rows, right=right))


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[str] = ()) -> str:
    """Aligned columns, two spaces apart, no colour, nothing cut; figures of `right` columns to the right."""
    cells = [list(columns), *([cell(value) for value in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    to_right = [name in right for name in columns]
    lines = (
        "  ".join(
            text.rjust(wide) if flush else text.ljust(wide)
            for text, wide, flush in zip(row, widths, to_right, strict=True)
        ).rstrip()
        for row in cells
    )
    return "\n".join(lines)


def cell(value: Any) -> str:
    """A value in one line of a table."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return number(value)
    return str(value).replace("\n", "⏎").replace("\t", " ")


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for name in columns:
        drawn.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell(value), style=_STYLES.get(cell(value), "")) for value in row))
    Console(highlight=False).print(drawn)


_STYLES = {
    "ok": "green",
    "running": "cyan",
    "oom": "red",
    "diverged": "red",
    "timeout": "red",
    "crashed": "red",
    "interrupted": "yellow",
    "skipped": "yellow",
    "improved": "green",
    "regressed": "red",
    "inconclusive": "yellow",
    "insufficient": "yellow",
    "missing": "yellow",
}


def number(value: float | int | None) -> str:
    """A figure for a person: four significant digits, thousands in groups; – for unknown."""
    if value is None:
        return "–"
    if isinstance(value, float) and not math.isfinite(value):
        return _odd(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _prefixed(value: float) -> str:
    """Three digits and a decimal prefix: 23.2 G, 1.97 P."""
    for size, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "


def figure(value: float | None, unit: str) -> str:
    """A metric's value with its unit: sizes as GiB, durations as 1m 30s."""
    from harness.records.units import format_duration, format_size

    if value is None:
        return "–"
    if not math.isfinite(value):
        return _odd(value)
    if unit == "bytes":
        return format_size(value)
    if unit == "s":
        return format_duration(value)
    if unit in ("ratio", "score"):
        return number(value)
    if unit.startswith("FLOP"):
        return f"{_prefixed(value)}{unit}"
    return f"{number(value)} {unit}"
