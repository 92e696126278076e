"""How long an attempt and its parts took. What spans a moment at which the clock went back is left out."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.phases import durations, start_of, within
from harness.measure.summarise.numbers import number
from harness.measure.summarise.spans import went_back
from harness.records.events import Event

_PHASES = ("import", "model", "data", "trainer", "train")


def figures(events: Sequence[Event]) -> dict[str, float]:
    """Seconds of the attempt, of its start-up and its parts, and of training."""
    if not events:
        return {}
    back = went_back(events)
    found: dict[str, float] = {}
    if back is None:
        found["trial_seconds"] = max(number(event.get("t", 0)) for event in events)
    took = durations(events)
    found |= {f"{name}_seconds": took[name] for name in _PHASES if name in took}
    if "train" in took:
        found["train_seconds"] -= within(events, "save", "train")  # for scores on the way: no part of training
    first = next((event for event in events if event.get("kind") == "step"), None)
    if first is not None and number(first.get("wall_s")) >= 0:
        found["first_step_seconds"] = number(first["wall_s"])
    begun = _begun(events, first)
    if begun is not None and (back is None or back > begun):
        before = events[: events.index(first)] if first is not None else ()
        found["startup_seconds"] = max(0.0, begun - within(before, "eval", "train"))  # `eval_on_start`: no start-up
    return found


def _begun(events: Sequence[Event], first: Event | None) -> float | None:
    """When the first step began; without a step, when training did."""
    if first is None:
        return start_of(events, "train")
    return max(0.0, number(first["t"]) - number(first["wall_s"])) if "wall_s" in first else None
