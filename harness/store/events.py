"""events.jsonl → columns. Tolerant where `harness.records.events.read_events` is strict: what can be read is stored."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.store import plain

RENAMED = {"wall_s": "step_seconds", "data_s": "data_seconds"}
"""Fields of a step event whose name as a metric says what they are; the others keep their own."""

_NOT_FIELDS = ("kind", "t", "step")


@dataclass(slots=True)
class Column:
    """One metric of one attempt: equally long `steps`, `times` (s) and `values`."""

    steps: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))


@dataclass(kw_only=True, slots=True)
class Events:
    """What one events.jsonl says. `unreadable` counts lines (a torn last one apart) that are no event."""

    columns: dict[str, Column] = field(default_factory=dict)
    phases: list[tuple[str, float | None, float | None]] = field(default_factory=list)  # name, start, end
    notes: list[tuple[float | None, str, str]] = field(default_factory=list)  # t, level, text
    active: dict[str, Any] | None = None
    unreadable: int = 0
    first_unreadable: int | None = None  # its line number, from 1

    @property
    def samples(self) -> int:
        return sum(len(column.values) for column in self.columns.values())


def read(path: Path) -> Events:
    """Every event of the file that can be read; a missing file has none.

    Raises:
        OSError: the file is there and cannot be read.
    """
    found = Events()
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return found
    raw_columns: dict[str, tuple[list[Any], list[Any], list[Any]]] = {}
    for event in _parsed(raw, found):
        kind = event.get("kind")
        if kind == "step":
            _collect(raw_columns, event, ((RENAMED.get(k, k), v) for k, v in event.items() if k not in _NOT_FIELDS))
        elif kind in ("log", "memory"):
            values = event.get("values")
            _collect(raw_columns, event, values.items() if isinstance(values, dict) else ())
        else:
            _apart(found, event)
    for metric, (steps, times, values) in raw_columns.items():
        column = _column(steps, times, values)
        if column.values:
            found.columns[metric] = column
    return found


def _parsed(raw: bytes, found: Events) -> list[dict[str, Any]]:
    lines = raw.split(b"\n")
    whole = [line for line in lines if line and not line.isspace()]
    try:
        # One call for the whole file is three times as fast as one per line. A damaged file could parse by merging
        # lines, so the number of events must be the number of lines.
        events = json.loads(b"[" + b",".join(whole) + b"]")
        if len(events) == len(whole) and all(type(event) is dict for event in events):
            return list(events)
    except (ValueError, RecursionError):
        pass
    return _line_by_line(lines, found)


def _line_by_line(lines: list[bytes], found: Events) -> list[dict[str, Any]]:
    events = []
    for number, line in enumerate(lines, start=1):
        if not line or line.isspace():
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
            if number == len(lines):
                continue  # torn: the writer was killed inside this line, which is legal
        if isinstance(event, dict):
            events.append(event)
        else:
            found.unreadable += 1
            found.first_unreadable = found.first_unreadable or number
    return events


def _collect(
    columns: dict[str, tuple[list[Any], list[Any], list[Any]]],
    event: dict[str, Any],
    values: Iterable[tuple[str, Any]],
) -> None:
    step, t = event.get("step"), event.get("t")
    for metric, value in values:
        column = columns.get(metric)
        if column is None:
            column = columns[metric] = ([], [], [])
        column[0].append(step)
        column[1].append(t)
        column[2].append(value)


def _column(steps: list[Any], times: list[Any], values: list[Any]) -> Column:
    try:
        return Column(array("q", steps), array("d", times), array("d", values))
    except (TypeError, OverflowError):
        return _cleaned(steps, times, values)


def _cleaned(steps: list[Any], times: list[Any], values: list[Any]) -> Column:
    """The same, leaving out what is not a number at a step: TRL logs strings and lists too."""
    column = Column()
    for step, t, value in zip(steps, times, values, strict=True):
        figure = plain.figure(value)
        if figure is None or plain.integer(step) is None:
            continue
        moment = plain.figure(t)
        column.steps.append(step)
        column.times.append(float("nan") if moment is None else moment)
        column.values.append(figure)
    return column


def _apart(found: Events, event: dict[str, Any]) -> None:
    kind, t = event.get("kind"), plain.figure(event.get("t"))
    if kind == "phase" and isinstance(event.get("name"), str):
        _phase(found.phases, event["name"], event.get("edge"), t)
    elif kind == "note" and isinstance(event.get("text"), str):
        found.notes.append((t, str(event.get("level", "info")), event["text"]))
    elif kind == "active" and isinstance(event.get("values"), dict):
        found.active = (found.active or {}) | event["values"]


def _phase(phases: list[tuple[str, float | None, float | None]], name: str, edge: Any, t: float | None) -> None:
    if edge == "start":
        phases.append((name, t, None))
    elif edge == "end":
        for place in range(len(phases) - 1, -1, -1):
            if phases[place][0] == name and phases[place][2] is None:
                phases[place] = (name, phases[place][1], t)
                return
        phases.append((name, None, t))  # its start lay in a line that could not be read
