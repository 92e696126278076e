"""Files of rows: .jsonl, .parquet, .csv. Light: pyarrow alone, and only for parquet."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data import lines as in_lines
from harness.errors import DataError, Location, Problem

ENDINGS = (".jsonl", ".parquet", ".csv")


@dataclass(frozen=True, slots=True)
class Numbered:
    """A row and where it stands: the line it begins in for .jsonl and .csv, its number from 1 for .parquet."""

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
        DataError: it cannot be read, is not UTF-8, or is cut off; with line and column where the file has lines.
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
    raise _failed(Location(file=file), "the data file holds no rows")


def located(file: Path, row: Numbered, column: str | None) -> Location:
    """Where a row's value in a column (by the file's own name for it) stands; a parquet file has no lines."""
    match file.suffix.lower():
        case ".jsonl":
            return in_lines.of_key(file, row.number, column)
        case ".csv":
            position = list(row.row).index(column) if column in row.row else None
            return in_lines.of_field(file, row.number, position)
    return Location(file=file)


def decode(raw: bytes, file: Path, line: int) -> str:
    """One line as text.

    Raises:
        DataError: it is not UTF-8; names line, column and byte.
    """
    body = raw.removeprefix(codecs.BOM_UTF8) if line == 1 else raw
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        column = len(body[: error.start].decode("utf-8")) + 1
        text = body.decode("utf-8", "replace").rstrip("\r\n")
        offset = error.start + len(raw) - len(body)
        wide = line == 1 and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        raise _failed(
            Location(file=file, line=line, column=column, text=text),
            f"not UTF-8: byte 0x{raw[offset]:02x} at offset {offset} of the line",
            hint=f"convert it: iconv -f {'utf-16' if wide else 'latin1'} -t utf-8 {file.name}",
        ) from error


def parse_line(raw: bytes, file: Path, line: int) -> dict[str, Any] | None:
    """The object of one .jsonl line; None for a blank line.

    Raises:
        DataError: not UTF-8, not JSON, or not an object.
    """
    text = decode(raw, file, line)
    if not text.strip():
        return None
    shown = text.rstrip("\r\n")
    begin = Location(file=file, line=line, column=len(text) - len(text.lstrip()) + 1, text=shown)
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        # A whole last line ends in a newline or parses; one that does neither was cut off while it was written.
        torn = not raw.endswith(b"\n")
        raise _failed(
            Location(file=file, line=line, column=error.pos + 1, text=shown),
            "the last line is cut off" if torn else f"not JSON: {error.msg}",
            why=f"not JSON: {error.msg}" if torn else None,
            hint="remove the line, or write the file again" if torn else None,
        ) from error
    except (RecursionError, ValueError) as error:
        raise _failed(begin, f"not JSON that can be read: {error}") from error
    if not isinstance(row, dict):
        array = isinstance(row, list) and line == 1
        hint = "turn the array into lines: jq -c '.[]' rows.json > rows.jsonl" if array else None
        raise _failed(begin, f"expected a JSON object, not {type(row).__name__}", hint=hint)
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
        records = _records(csv.reader(lines, strict=True), file)
        _, header = next(records, (1, []))
        _check_header(header, file)
        for number, values in records:
            if not values:
                continue
            if len(values) != len(header):
                raise _failed(
                    in_lines.of_field(file, number, len(header)),
                    f"{len(values)} fields, the header has {len(header)}",
                    hint="quote fields that hold commas or line breaks",
                )
            yield Numbered(number, dict(zip(header, values, strict=True)))


def _records(reader: Any, file: Path) -> Iterator[tuple[int, list[str]]]:
    """Every record with the line it begins in."""
    while True:
        began = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            torn = "unexpected end" in str(error)
            what = "the file ends inside a quoted field: it is cut off" if torn else f"not CSV: {error}"
            raise _failed(in_lines.of_last_field(file, began), what) from error
        yield began, values


def _check_header(header: list[str], file: Path) -> None:
    twice = [position for position, name in enumerate(header) if name in header[:position]]
    if twice:
        where = in_lines.of_field(file, 1, twice[0])
        raise _failed(where, f"the column {header[twice[0]]!r} is named twice")
    if not any(name.strip() for name in header):
        raise _failed(in_lines.of_field(file, 1, None), "the first line names no columns")


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
            Location(file=file),
            "not a whole parquet file",
            why=str(error).splitlines()[0],
            hint="a parquet file ends with its index; a cut-off one must be written or downloaded again",
        ) from error


def _failed(where: Location, what: str, *, why: str | None = None, hint: str | None = None) -> DataError:
    return DataError(problems=(Problem(what=what, where=where, why=why, hint=hint),))
