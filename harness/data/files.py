"""Files of rows: .jsonl, .parquet, .csv. Light: pyarrow alone, and only for parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import DataError, Location, Problem

ENDINGS = (".jsonl", ".parquet", ".csv")
_SHOWN = 120  # characters of an offending line


@dataclass(frozen=True, slots=True)
class Numbered:
    """A row and where it stands: its line for .jsonl and .csv, its number from 1 for .parquet."""

    number: int
    row: dict[str, Any]


def check_file(file: Path) -> Problem | None:
    """What keeps a file from being read at all: missing, a folder, empty, an ending nobody here knows."""
    where = Location(file=file)
    if file.is_dir():
        return Problem(what="the data file is a folder", where=where, hint="give one file: .jsonl, .parquet or .csv")
    if not file.exists():
        return Problem(what="the data file does not exist", where=where, hint="paths are relative to the suite file")
    if file.suffix.lower() not in ENDINGS:
        return Problem(
            what=f"data files end in {', '.join(ENDINGS)}, not in {file.suffix or 'nothing'!r}",
            where=where,
            hint="a JSON array becomes .jsonl with: jq -c '.[]' rows.json > rows.jsonl"
            if file.suffix == ".json"
            else None,
        )
    try:
        if file.stat().st_size == 0:
            return Problem(what="the data file is empty", where=where)
        with file.open("rb"):
            return None
    except OSError as error:
        return Problem(what="the data file cannot be read", where=where, why=error.strerror or str(error))


def read_rows(file: Path) -> Iterator[Numbered]:
    """Every row of the file, in order.

    Raises:
        DataError: it cannot be read, is not UTF-8, or is cut off; with file and line.
    """
    problem = check_file(file)
    if problem:
        raise DataError(problems=(problem,))
    readers = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
    return readers[file.suffix.lower()](file)


def columns_of(file: Path) -> list[str]:
    """The file's columns: of .jsonl the keys of its first row.

    Raises:
        DataError: see `read_rows`; also where there is no row.
    """
    if file.suffix.lower() == ".parquet" and not check_file(file):
        return [str(name) for name in _open_parquet(file).schema_arrow.names]
    for numbered in read_rows(file):
        return list(numbered.row)
    raise _failed(file, "the data file holds no rows")


def decode(raw: bytes, file: Path, line: int) -> str:
    """One line as text.

    Raises:
        DataError: it is not UTF-8; names line and byte.
    """
    try:
        return raw.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise _failed(
            file,
            f"not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start} of the line",
            line=line,
            hint=f"convert it: iconv -f latin1 -t utf-8 {file.name}",
        ) from error


def parse_line(raw: bytes, file: Path, line: int) -> dict[str, Any] | None:
    """The object of one .jsonl line; None for a blank line.

    Raises:
        DataError: not UTF-8, not JSON, or not an object.
    """
    text = decode(raw, file, line)
    if not text.strip():
        return None
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        # A whole last line ends in a newline or parses; one that does neither was cut off while it was written.
        torn = not raw.endswith(b"\n")
        raise _failed(
            file,
            "the last line is cut off" if torn else f"not JSON: {error.msg}",
            line=line,
            column=error.colno,
            text=text,
            hint="remove the line, or write the file again" if torn else None,
        ) from error
    except (RecursionError, ValueError) as error:
        raise _failed(file, f"not JSON that can be read: {error}", line=line, text=text) from error
    if not isinstance(row, dict):
        array = isinstance(row, list) and line == 1
        hint = "turn the array into lines: jq -c '.[]' rows.json > rows.jsonl" if array else None
        raise _failed(file, f"expected a JSON object, not {type(row).__name__}", line=line, text=text, hint=hint)
    return row


def _jsonl(file: Path) -> Iterator[Numbered]:
    with file.open("rb") as lines:
        for number, raw in enumerate(lines, start=1):
            row = parse_line(raw, file, number)
            if row is not None:
                yield Numbered(number, row)


def _csv(file: Path) -> Iterator[Numbered]:
    csv.field_size_limit(2**31 - 1)  # documents are longer than csv's own limit of 131,072 characters
    with file.open("rb") as raw:
        lines = (decode(line, file, number) for number, line in enumerate(raw, start=1))
        reader = csv.reader(lines, strict=True)
        try:
            header = next(reader, [])
            _check_header(header, file)
            for values in reader:
                if not values:
                    continue
                if len(values) != len(header):
                    what = f"{len(values)} fields, the header has {len(header)}"
                    raise _failed(file, what, line=reader.line_num, hint="quote fields that hold commas or line breaks")
                yield Numbered(reader.line_num, dict(zip(header, values, strict=True)))
        except csv.Error as error:
            torn = "unexpected end" in str(error)
            what = "the file ends inside a quoted field: it is cut off" if torn else f"not CSV: {error}"
            raise _failed(file, what, line=reader.line_num) from error


def _check_header(header: list[str], file: Path) -> None:
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise _failed(file, f"the column {twice[0]!r} is named twice", line=1)
    if not any(name.strip() for name in header):
        raise _failed(file, "the first line names no columns", line=1)


def _parquet(file: Path) -> Iterator[Numbered]:
    number = 0
    for batch in _open_parquet(file).iter_batches(batch_size=1024):
        for row in batch.to_pylist():
            number += 1
            yield Numbered(number, row)


def _open_parquet(file: Path) -> Any:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise _failed(
            file,
            "not a whole parquet file",
            why=str(error).splitlines()[0],
            hint="a parquet file ends with its index; a cut-off one must be written or downloaded again",
        ) from error


def _failed(
    file: Path,
    what: str,
    *,
    line: int | None = None,
    column: int | None = None,
    text: str | None = None,
    why: str | None = None,
    hint: str | None = None,
) -> DataError:
    shown = text if text is not None and len(text) <= _SHOWN else None  # a document of a page shows nothing
    where = Location(file=file, line=line, column=column if shown else None, text=shown)
    return DataError(problems=(Problem(what=what, where=where, why=why, hint=hint),))
