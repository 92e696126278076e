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
_Moment = tuple[Any, Any, dict[str, Any]]  # step, t, values by field


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
    groups: dict[tuple[str, ...], list[_Moment]] = {}
    for event in parsed.objects:
        kind = event.get("kind")
        values = event if kind == "step" else event.get("values") if kind in ("log", "memory") else None
        if isinstance(values, dict):
            groups.setdefault(tuple(values), []).append((event.get("step"), event.get("t"), values))
        else:
            _apart(found, event)
    for names, moments in groups.items():
        _add_group(found.columns, names, moments)
    found.columns = {name: column for name, column in found.columns.items() if column.values}
    return found


def _add_group(columns: dict[str, Column], names: tuple[str, ...], moments: list[_Moment]) -> None:
    """Adds events that have the same fields: whole columns at a time, which is what makes reading fast."""
    try:
        steps = array("q", [step for step, _, _ in moments])
        times = array("d", [t for _, t, _ in moments])
    except (TypeError, OverflowError):
        moments = [(step, _time(t), values) for step, t, values in moments if plain.integer(step) is not None]
        steps = array("q", [step for step, _, _ in moments])
        times = array("d", [t for _, t, _ in moments])
    step_event = "kind" in names
    for name in names:
        if step_event and name in _NOT_FIELDS:
            continue
        column = columns.setdefault(RENAMED.get(name, name) if step_event else name, Column())
        try:
            values = array("d", [values[name] for _, _, values in moments])
        except (TypeError, OverflowError):
            _add_numbers(column, steps, times, [values[name] for _, _, values in moments])
            continue
        column.steps.extend(steps)
        column.times.extend(times)
        column.values.extend(values)


def _add_numbers(column: Column, steps: array[int], times: array[float], values: list[Any]) -> None:
    """The same for a field that is not a number everywhere: TRL logs strings and lists too."""
    for step, t, value in zip(steps, times, values, strict=True):
        figure = plain.figure(value)
        if figure is not None:
            column.steps.append(step)
            column.times.append(t)
            column.values.append(figure)


def _time(value: Any) -> float:
    moment = plain.figure(value)
    return float("nan") if moment is None else moment


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
