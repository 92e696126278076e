"""Phases of an attempt and how long they took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.records.events import Event

ORDER = ("import", "model", "data", "trainer", "train", "save", "eval")
"""Phases of a trial in order. What is evaluated or saved on the way is an `eval` or `save` phase within `train`; the
last one of each follows it."""


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


def within(events: Sequence[Event], inner: str, outer: str) -> float:
    """Seconds of the phases `inner` that ended while one of the name `outer` was open."""
    total, depth, begun = 0.0, 0, 0.0
    for event in events:
        if event.get("kind") != "phase":
            continue
        starts = event["edge"] == "start"
        if event["name"] == outer:
            depth += 1 if starts else -1
        elif event["name"] == inner and depth > 0:
            begun, total = (float(event["t"]), total) if starts else (begun, total + float(event["t"]) - begun)
    return total


def start_of(events: Iterable[Event], name: str) -> float | None:
    """When the phase of that name first began, seconds since the attempt's start; None when it never did."""
    for event in events:
        if event.get("kind") == "phase" and event.get("name") == name and event.get("edge") == "start":
            return float(event["t"])
    return None
