"""Peaks of memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.measure.summarise.numbers import number
from harness.records.events import Event

_PEAKS = {
    "host_uss": "peak_host_memory",
    "host_uss_peak": "peak_host_memory",
    "device_used": "peak_device_memory",
    "device_allocated": "peak_allocated",
    "device_allocated_peak": "peak_allocated",
    "device_reserved_peak": "peak_reserved",
}


def figures(events: Sequence[Event]) -> dict[str, float]:
    """The highest figure of each kind of memory, bytes."""
    return _memory(event for event in events if event.get("kind") == "memory")


def _memory(events: Iterable[Event]) -> dict[str, float]:
    peaks: dict[str, float] = {}
    for event in events:
        for name, value in event.get("values", {}).items():
            public = _PEAKS.get(name)
            if public is not None:
                peaks[public] = max(peaks.get(public, 0.0), number(value))
    return peaks
