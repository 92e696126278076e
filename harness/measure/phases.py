"""Phases of an attempt and how long they took."""

from __future__ import annotations

from collections.abc import Iterable

from harness.records.events import Event

ORDER = ("import", "model", "data", "trainer", "train", "eval", "save")
"""Phases of a trial in order. Evaluations inside training are `eval` phases within `train`; the last one follows it."""


def durations(events: Iterable[Event]) -> dict[str, float]:
    """Seconds per phase name, summed over its occurrences.

    A name is left out when no phase of it ended, or when the clock went back during one (its end is marked `unsure`).
    """
    begun: dict[str, list[float]] = {}
    total: dict[str, float] = {}
    unsure: set[str] = set()
    for event in events:
        if event.get("kind") != "phase":
            continue
        name, t = str(event["name"]), float(event["t"])
        if event["edge"] == "start":
            begun.setdefault(name, []).append(t)
        elif begun.get(name):
            total[name] = total.get(name, 0.0) + t - begun[name].pop()
            unsure |= {name} if event.get("unsure") else set()
    return {name: seconds for name, seconds in total.items() if name not in unsure}


def start_of(events: Iterable[Event], name: str) -> float | None:
    """When the phase of that name first began, seconds since the attempt's start; None when it never did."""
    for event in events:
        if event.get("kind") == "phase" and event.get("name") == name and event.get("edge") == "start":
            return float(event["t"])
    return None
