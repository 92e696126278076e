"""How long an attempt and its parts took."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.phases import durations, start_of
from harness.measure.summarise.numbers import number
from harness.records.events import Event


def figures(events: Sequence[Event]) -> dict[str, float]:
    if not events:
        return {}
    found = {"trial_seconds": max(number(event.get("t", 0)) for event in events)}
    train = durations(events).get("train")
    if train is not None:
        found["train_seconds"] = train
    startup = _startup(events)
    if startup is not None:
        found["startup_seconds"] = startup
    return found


def _startup(events: Sequence[Event]) -> float | None:
    """When the first step began; without a step, when training did."""
    for event in events:
        if event.get("kind") == "step" and "wall_s" in event:
            return max(0.0, number(event["t"]) - number(event["wall_s"]))
    return start_of(events, "train")
