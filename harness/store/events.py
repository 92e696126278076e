"""events.jsonl → columns. Tolerant where `harness.records.events.read_events` is strict: what can be read is stored."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.store import lines, plain

RENAMED = {"wall_s": "step_seconds", "data_s": "data_seconds"}
"""Fields of a step event whose name as a metric says what they are; the others keep their own."""

_NOT_FIELDS = ("kind", "t", "step")
_Entry = tuple[dict[str, Any], dict[str, Any]]  # the event, its values by field


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
    parsed = lines.parse(raw, may_be_torn=True)
    found.unreadable, found.first_unreadable = parsed.unreadable, parsed.first_unreadable
    groups: dict[tuple[str, int], list[_Entry]] = {}
    for event in parsed.objects:
        kind = event.get("kind")
        values = event if kind == "step" else event.get("values") if kind in ("log", "memory") else None
        if isinstance(kind, str) and isinstance(values, dict):
            groups.setdefault((kind, len(values)), []).append((event, values))
        else:
            _apart(found, event)
    for (kind, _), entries in groups.items():
        _add_group(found.columns, entries, of_steps=kind == "step")
    found.columns = {name: column for name, column in found.columns.items() if column.values}
    return found


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
