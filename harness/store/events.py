"""Event files → columns. Tolerant where `harness.records.events.read_events` is strict: what can be read is stored."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.records import lines
from harness.records.events import Event
from harness.records.ranks import merged
from harness.store import plain

RENAMED = {"wall_s": "step_seconds", "data_s": "data_seconds", "device_s": "device_seconds"}
"""Fields of a step event whose name as a metric says what they are; the others keep their own."""

OF_DEVICE = "device_"
"""How the names of the device's samples begin, whether or not they do in its events."""

_NOT_FIELDS = ("kind", "t", "step")
_SAMPLED = ("log", "memory", "device")
_OF_OTHERS = ("finding", "note")
"""What the further processes of a training say in words; their memory would be taken for the main one's."""
_Entry = tuple[Event, dict[str, Any]]  # the event, its values by field


@dataclass(slots=True)
class Column:
    """One metric of one attempt: equally long `steps`, `times` (s) and `values`; no `steps` where it has times only."""

    steps: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))


@dataclass(kw_only=True, slots=True)
class Events:
    """What one file of events says. `unreadable` counts lines (a torn last one apart) that are no event."""

    columns: dict[str, Column] = field(default_factory=dict)  # by metric, over steps
    timed: dict[tuple[str, str], Column] = field(default_factory=dict)  # by device and metric, over time
    phases: list[tuple[str, float | None, float | None]] = field(default_factory=list)  # name, start, end
    notes: list[tuple[float | None, str, str]] = field(default_factory=list)  # t, level, text
    findings: list[tuple[str, int | None, str, str]] = field(default_factory=list)  # name, step, level, text
    active: dict[str, Any] | None = None
    breakdown: dict[str, Any] | None = None
    compute: dict[str, Any] | None = None
    unreadable: int = 0
    first_unreadable: int | None = None  # its line number, from 1


def read(path: Path, others: Sequence[Path] = ()) -> Events:
    """Every event of the file that can be read; a missing file has none.

    `others` are the files of further processes of the same training: steps are told for all of them together.

    Raises:
        OSError: the file, or one of the others, is there and cannot be read.
    """
    found = Events()
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return found
    parsed = lines.parse(raw, may_be_torn=True)
    found.unreadable, found.first_unreadable = parsed.unreadable, parsed.first_unreadable
    groups: dict[tuple[str, int], list[_Entry]] = {}
    for event in _of_all(parsed.objects, others) if others else parsed.objects:
        kind = event.get("kind")
        values = event if kind == "step" else event.get("values") if kind in _SAMPLED else None
        if isinstance(kind, str) and isinstance(values, dict):
            groups.setdefault((kind, len(values)), []).append((event, values))
        else:
            _apart(found, event)
    for (kind, _), entries in groups.items():
        if kind == "device":
            _add_device(found.timed, entries)
        else:
            _add_group(found.columns, entries, of_steps=kind == "step")
    found.columns = {name: column for name, column in found.columns.items() if column.values}
    return found


def _of_all(main: list[Event], others: Sequence[Path]) -> list[Event]:
    """The main process's events, its steps told for all processes, and the findings and notes of the others."""
    files = [lines.parse(path.read_bytes(), may_be_torn=True).objects for path in others]
    whole = [[event for event in events if event.get("kind") != "step" or "step" in event] for events in (main, *files)]
    found = merged(whole[0], whole[1:])
    own = len(whole[0])
    return found[:own] + [event for event in found[own:] if event.get("kind") in _OF_OTHERS]


def _add_device(columns: dict[tuple[str, str], Column], entries: list[_Entry]) -> None:
    """Numbers with their times; what could not be read is left out."""
    for event, values in entries:
        moment = plain.figure(event.get("t"))
        for name, value in values.items():
            figure = plain.figure(value)
            if figure is not None:
                metric = name if name.startswith(OF_DEVICE) else OF_DEVICE + name
                column = columns.setdefault((str(event.get("device", "")), metric), Column())
                column.times.append(float("nan") if moment is None else moment)
                column.values.append(figure)


def _add_group(columns: dict[str, Column], entries: list[_Entry], *, of_steps: bool) -> None:
    """Adds events with equally many fields: whole columns at a time, which is what makes reading fast."""
    names = [name for name in entries[0][1] if not (of_steps and name in _NOT_FIELDS)]
    try:
        # Where every event has all fields of the first and no more, they have the same ones.
        by_name = {name: [values[name] for _, values in entries] for name in names}
    except KeyError:
        same: dict[tuple[str, ...], list[_Entry]] = {}
        for entry in entries:
            same.setdefault(tuple(entry[1]), []).append(entry)
        for alike in same.values():
            _add_group(columns, alike, of_steps=of_steps)
        return
    steps, times = [event.get("step") for event, _ in entries], [event.get("t") for event, _ in entries]
    for name, values in by_name.items():
        _add(columns.setdefault(RENAMED.get(name, name) if of_steps else name, Column()), steps, times, values)


def _add(column: Column, steps: list[Any], times: list[Any], values: list[Any]) -> None:
    try:
        added = array("q", steps), array("d", times), array("d", values)
    except (TypeError, OverflowError):
        _add_numbers(column, steps, times, values)
        return
    column.steps.extend(added[0])
    column.times.extend(added[1])
    column.values.extend(added[2])


def _add_numbers(column: Column, steps: list[Any], times: list[Any], values: list[Any]) -> None:
    """The same where something is not a number: TRL logs strings and lists too. What has no step is left out."""
    for step, t, value in zip(steps, times, values, strict=True):
        figure, moment = plain.figure(value), plain.figure(t)
        if figure is not None and plain.integer(step) is not None:
            column.steps.append(step)
            column.times.append(float("nan") if moment is None else moment)
            column.values.append(figure)


def _apart(found: Events, event: dict[str, Any]) -> None:
    kind, t = event.get("kind"), plain.figure(event.get("t"))
    if kind == "phase" and isinstance(event.get("name"), str):
        _phase(found.phases, event["name"], event.get("edge"), t)
    elif kind == "note" and isinstance(event.get("text"), str):
        found.notes.append((t, str(event.get("level", "info")), event["text"]))
    elif kind == "finding" and isinstance(event.get("text"), str):
        step = plain.integer(event.get("step"))
        found.findings.append((str(event.get("name", "")), step, str(event.get("level", "info")), event["text"]))
    elif kind == "active" and isinstance(event.get("values"), dict):
        found.active = (found.active or {}) | event["values"]
    elif kind == "breakdown" and isinstance(event.get("values"), dict):
        found.breakdown = {"device": event.get("device"), **event["values"]}
    elif kind == "compute" and isinstance(event.get("values"), dict):
        found.compute = (found.compute or {}) | event["values"]


def _phase(phases: list[tuple[str, float | None, float | None]], name: str, edge: Any, t: float | None) -> None:
    if edge == "start":
        phases.append((name, t, None))
    elif edge == "end":
        for place in range(len(phases) - 1, -1, -1):
            if phases[place][0] == name and phases[place][2] is None:
                phases[place] = (name, phases[place][1], t)
                return
        phases.append((name, None, t))  # its start lay in a line that could not be read
