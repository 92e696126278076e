"""What can be said of data before anything heavy runs: light, for the parent."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from harness.data.files import Numbered, check_file, located, parse_line, read_rows
from harness.data.formats import KNOWN_COLUMNS, TEMPLATE_COLUMNS, Way, choose, wrong_value
from harness.data.identity import data_file
from harness.data.sources import source_of
from harness.data.templating import wrong_handed
from harness.errors import DataError, Location, Problem, did_you_mean
from harness.records.suite import Format

WHOLE = 64 * 2**20  # bytes; larger files are checked at their beginning and end
HEAD = 1000  # rows
MOST = 5  # problems of one kind; more say nothing new

_HUB_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")


def check(
    data: Mapping[str, Any], root: Path, formats: Sequence[Format], template_columns: Sequence[str] = ()
) -> list[Problem]:
    """Every problem of the data for a method that takes `formats`, preferred first. Empty when it can be used.

    `template_columns` are those that the method hands to the chat template.

    Files up to 64 MiB are read whole, larger ones at their beginning and end. The hub is not asked.
    """
    if "source" in data:
        return _check_source(data, formats)
    mapping = _check_mapping(data.get("columns") or {})
    if "hub" in data:
        wrong = [] if _HUB_ID.match(str(data["hub"])) else [_hub_id_problem(str(data["hub"]))]
        return [*wrong, *mapping]
    return mapping or check_rows(data, data_file(data, root), formats, template_columns)


def check_rows(
    data: Mapping[str, Any], file: Path, formats: Sequence[Format], template_columns: Sequence[str] = ()
) -> list[Problem]:
    """The problems of a file of rows: of its columns once, of its rows the first `MOST`."""
    problem = check_file(file)
    if problem:
        return [problem]
    mapping = data.get("columns") or {}
    found: list[Problem] = []
    way: Way | Problem | None = None
    for entry in _sample(file):
        if isinstance(entry, Problem):
            found.append(entry)
        else:
            if way is None:
                way = mapped_way(data, list(entry.row), formats)
                found += [replace(way, where=Location(file=file))] if isinstance(way, Problem) else []
            row = renamed(entry.row, mapping)
            wrong = _wrong_in(data, row, way, template_columns) if isinstance(way, Way) else None
            if wrong:
                ours, what = wrong
                found.append(of_row(file, entry, what, column=mapping.get(ours, ours) if ours else None))
        if len(found) >= MOST:
            break
    if way is None and not found:
        found.append(Problem(what="the data file holds no rows", where=Location(file=file)))
    return list(dict.fromkeys(found))  # the last line of a large file may be among the first rows


def _wrong_in(
    data: Mapping[str, Any], row: Mapping[str, Any], way: Way, template_columns: Sequence[str]
) -> tuple[str | None, str] | None:
    """What is wrong with a row's values, after the column it is about; what is for a template counts in messages."""
    wrong = wrong_value(row, way.columns)
    if wrong or not (data.get("conversational") or any(isinstance(row.get(name), list) for name in way.columns)):
        return wrong
    return wrong_handed(row, template_columns)


def speaks(data: Mapping[str, Any], root: Path, formats: Sequence[Format]) -> bool | None:
    """Whether the rows are messages as a method that takes `formats` is given them.

    None where nothing light can tell: of the hub, and of a file whose first row cannot be used.
    """
    if data.get("conversational"):
        return True
    if "source" in data:
        return False
    if "hub" in data:
        return None
    file = data_file(data, root)
    first = next(_sample(file), None) if check_file(file) is None else None
    way = mapped_way(data, list(first.row), formats) if isinstance(first, Numbered) else None
    if not isinstance(first, Numbered) or not isinstance(way, Way):
        return None
    row = renamed(first.row, data.get("columns") or {})
    return None if wrong_value(row, way.columns) else any(isinstance(row.get(name), list) for name in way.columns)


def mapped_way(data: Mapping[str, Any], columns: Collection[str], formats: Sequence[Format]) -> Way | Problem:
    """The way from a file's or dataset's columns, renamed by `data.columns`, to what the method takes."""
    mapping = dict(data.get("columns") or {})
    for ours, theirs in mapping.items():
        if theirs not in columns:
            listed = ", ".join(repr(name) for name in columns)
            return Problem(
                what=f"data.columns maps {ours!r} to {theirs!r}, which is not there",
                why=f"the columns are {listed}",
                hint=did_you_mean(theirs, columns),
            )
    return choose(renamed(dict.fromkeys(columns), mapping), str(data.get("format", "auto")), formats)


def renamed(row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """The row under the expected names. A mapped column is known by its new name alone."""
    if not mapping:
        return dict(row)
    theirs = set(mapping.values())
    kept = {name: value for name, value in row.items() if name not in theirs and name not in mapping}
    return {**kept, **{ours: row.get(name) for ours, name in mapping.items()}}


def of_row(file: Path, numbered: Numbered, what: str, *, column: str | None = None) -> Problem:
    """The problem of a row at its place, of a parquet file by its number; `column` is the file's own name for it."""
    where = located(file, numbered, column)
    return Problem(what=what if where.line else f"row {numbered.number}: {what}", where=where)


def _check_source(data: Mapping[str, Any], formats: Sequence[Format]) -> list[Problem]:
    try:
        source = source_of(str(data["source"]))
        source.resolve(data.get("options") or {})
    except DataError as error:
        return list(error.problems)
    way = choose(("prompt", "chosen", "rejected"), str(data.get("format", "auto")), formats)
    return [way] if isinstance(way, Problem) else []


def _check_mapping(mapping: Mapping[str, str]) -> list[Problem]:
    known = (*KNOWN_COLUMNS, *TEMPLATE_COLUMNS)
    return [
        Problem(what=f"data.columns: unknown column {ours!r}", hint=did_you_mean(ours, known))
        for ours in mapping
        if ours not in known
    ]


def _hub_id_problem(name: str) -> Problem:
    return Problem(what=f"{name!r} is not the id of a dataset on the hub", hint="an id reads owner/name")


def _sample(file: Path) -> Iterator[Numbered | Problem]:
    """The rows to look at, those that cannot be read as problems: all of a small file; of a large one the first.

    Of a large .jsonl file the last line comes before them: it shows whether the file is whole.
    """
    large = file.stat().st_size > WHOLE
    if file.suffix.lower() == ".jsonl":
        if large:
            yield from _last_wrong(file)
        yield from islice(_lines(file), HEAD if large else None)
        return
    try:
        yield from islice(read_rows(file), HEAD if large else None)
    except DataError as error:
        yield from error.problems


def _lines(file: Path) -> Iterator[Numbered | Problem]:
    """The rows of a .jsonl file; a line that is none does not keep the others from being read."""
    with file.open("rb") as lines:
        for number, raw in enumerate(lines, start=1):
            try:
                row = parse_line(raw, file, number)
            except DataError as error:
                yield from error.problems
            else:
                if row is not None:
                    yield Numbered(number, row)


def _last_wrong(file: Path) -> tuple[Problem, ...]:
    """What is wrong with the last line of a .jsonl file."""
    last = _last_line(file)
    try:
        parse_line(last, file, 2)  # any number but 1, where a byte order mark may stand
    except DataError:
        try:
            parse_line(last, file, _count_lines(file))  # again, at its place: counting takes its time
        except DataError as error:
            return tuple(error.problems)
    return ()


def _last_line(file: Path) -> bytes:
    """The last line that is not blank, read from the end."""
    size = file.stat().st_size
    length = 2**16
    with file.open("rb") as raw:
        while True:
            raw.seek(-min(size, length), 2)
            tail = raw.read()
            whole = tail.rstrip(b"\n")
            if b"\n" in whole or length >= size:
                return whole.rpartition(b"\n")[2] + (b"\n" if tail.endswith(b"\n") else b"")
            length *= 4


def _count_lines(file: Path) -> int:
    """The number of the last line that is not blank."""
    number = 0
    with file.open("rb") as raw:
        for at, line in enumerate(raw, start=1):
            number = at if line.strip() else number
    return number
