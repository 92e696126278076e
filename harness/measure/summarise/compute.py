"""FLOPs of the measured window, and how much of the device's peak they are."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.summarise.numbers import number
from harness.measure.summarise.window import measured
from harness.records.events import Event
from harness.records.ranks import world_size


def figures(events: Sequence[Event]) -> dict[str, float]:
    """Sums over the window and ratios of them; a sum that one step has no part of is no figure."""
    steps = measured(events)
    seconds = sum(number(step.get("wall_s")) for step in steps)
    sums = {name: _sum(steps, name) for name in ("model_flops", "hardware_flops")}
    found = {name: value for name, value in sums.items() if value is not None}
    if seconds > 0 and "model_flops" in found:
        found["model_flops_per_second"] = found["model_flops"] / seconds
    peak = _peak(events)
    if peak and seconds > 0:
        of_all = peak * world_size(events)
        for name, flops in (("mfu", "model_flops"), ("hfu", "hardware_flops")):
            if flops in found:
                found[name] = found[flops] / seconds / of_all
    return found


def _sum(steps: Sequence[Event], name: str) -> float | None:
    if not steps or any(name not in step for step in steps):
        return None
    return sum(number(step[name]) for step in steps)


def _peak(events: Sequence[Event]) -> float | None:
    """The peak of one device, FLOP/s."""
    said = [event.get("values", {}).get("peak_flops_per_second") for event in events if event.get("kind") == "compute"]
    return float(said[-1]) if said and said[-1] else None
