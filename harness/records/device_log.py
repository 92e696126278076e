"""device.jsonl: what was sampled of the devices beside a worker, put in order with what the worker itself recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.records.events import Event, read_events


def device_events(logs: Sequence[Path]) -> list[Event]:
    """The events of these logs on the clock of the first. A damaged one is a note: it must not cost the other figures.

    Each log begins with its `origin`, the attempt's start in that process on the machine's monotonic clock. A device
    that several of them sampled counts as the first has it, and what several say is told once.
    """
    found: list[Event] = []
    first: float | None = None
    known: set[str] = set()
    for log in logs:
        try:
            events = list(read_events(log))
        except (OSError, ValueError):
            text = f"{log.name} is damaged: what was sampled of the device is left out"
            found.append({"t": 0.0, "kind": "note", "level": "warning", "text": text})
            continue
        origin = next((event["origin"] for event in events if isinstance(event.get("origin"), int | float)), None)
        first = origin if first is None else first
        late = origin - first if origin is not None and first is not None else 0.0
        found += [{**event, "t": moment(event) + late} for event in events if _of(event) not in known]
        known |= {_of(event) for event in events}
    return found


def _of(event: Event) -> str:
    """What the event is of: a device, or what a note says."""
    return str(event.get("text" if event.get("kind") == "note" else "device"))


def in_order(own: Sequence[Event], sampled: Sequence[Event]) -> list[Event]:
    """Both by time; events of the same time as they come."""
    return sorted([*own, *sampled], key=moment) if sampled else list(own)


def moment(event: Event) -> float:
    """Its `t`, seconds since the attempt's start; 0 where it has none."""
    t = event.get("t", 0.0)
    return float(t) if isinstance(t, int | float) else 0.0
