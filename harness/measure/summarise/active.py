"""Parameter counts, from what was active."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.measure.summarise.numbers import number
from harness.records.events import Event


def figures(events: Sequence[Event]) -> dict[str, float]:
    """Parameters of the trained model."""
    return _active(event for event in events if event.get("kind") == "active")


def _active(events: Iterable[Event]) -> dict[str, float]:
    found: dict[str, float] = {}
    for event in events:
        for name in ("trainable_parameters", "total_parameters"):
            value = event.get("values", {}).get(name)
            if value is not None:
                found[name] = number(value)
    return found
