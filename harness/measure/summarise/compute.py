"""FLOPs of the measured window, and how much of the device's peak they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.measure.summarise.numbers import number
from harness.measure.summarise.window import measured, timed
from harness.records.events import Event
from harness.records.ranks import world_size

_USE = (("model_flops", "mfu"), ("hardware_flops", "hfu"))


def figures(events: Sequence[Event]) -> dict[str, float]:
    """Sums over the window, none where a step's part is not known; ratios of sums over steps with FLOPs and time."""
    steps, peak = measured(events), _peak(events)
    found: dict[str, float] = {}
    for name, use in _USE:
        if steps and len(_counted(steps, name)) == len(steps):
            found[name] = sum(number(step[name]) for step in steps)
        rate = _rate(_counted(timed(steps), name), name)
        if rate and name == "model_flops":
            found["model_flops_per_second"] = rate
        if rate and peak:
            found[use] = rate / peak / world_size(events)
    return found


def _counted(steps: Sequence[Event], name: str) -> list[Event]:
    return [step for step in steps if number(step.get(name)) >= 0]


def _rate(steps: Sequence[Event], name: str) -> float:
    """FLOP/s; 0 where none were counted."""
    seconds = math.fsum(number(step["wall_s"]) for step in steps)
    return sum(number(step[name]) for step in steps) / seconds if seconds > 0 else 0.0


def _peak(events: Sequence[Event]) -> float | None:
    """The peak of one device, FLOP/s."""
    said = [event.get("values", {}).get("peak_flops_per_second") for event in events if event.get("kind") == "compute"]
    return float(said[-1]) if said and said[-1] else None
