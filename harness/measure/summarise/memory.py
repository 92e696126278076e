"""Peaks of memory and where they fell, what memory was held for, and what was asked for when it ran out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from harness.measure.summarise.numbers import number
from harness.records.events import Event, placed
from harness.records.units import format_size

_PEAKS = {
    "host_uss": "peak_host_memory",
    "host_uss_peak": "peak_host_memory",
    "device_used": "peak_device_memory",
    "device_allocated": "peak_allocated",
    "device_allocated_peak": "peak_allocated",
    "device_reserved": "peak_reserved",
    "device_reserved_peak": "peak_reserved",
}
_HELD = {
    "weights": "weight_memory",
    "gradients": "gradient_memory",
    "optimizer": "optimizer_memory",
}
PARTS = ("forward", "backward", "optimizer")
"""Parts of a step, in which the device's peak may fall."""

SWAPPED_SHARE = 0.01
"""Share of the host's peak that must have lain in swap: fetching it back takes time that is not the training's."""


def figures(events: Sequence[Event]) -> dict[str, float]:
    """The highest figure of each kind of memory, and the breakdown at steady state, bytes."""
    peaks = {name: value for name, (value, _) in _peaks(events).items()}
    held = _breakdown(events)
    found = {public: number(held[name]) for name, public in _HELD.items() if name in held}
    if held.get("reference"):
        found["reference_memory"] = number(held["reference"])
    return {**peaks, **found, **_activations(events, held)}


def facts(events: Sequence[Event]) -> dict[str, Any]:
    """`peak_phase`: where the peak fell (of the device, else the host), `peak_phases`; `largest_batch`; `oom`.

    `own_libraries`: the host's peak holds the training libraries, which a forked worker shares with its parent.
    """
    places = {name: place for name, (_, place) in _peaks(events).items()}
    found: dict[str, Any] = {}
    for name in ("peak_allocated", "peak_host_memory"):
        if name in places:
            found = {"peak_phase": places[name], "peak_phases": places}
            break
    oom = next((event for event in events if event.get("kind") == "oom"), None)
    batches = [event for event in events if event.get("kind") == "batch"]
    if batches:
        batch = max(batches, key=lambda event: number(event["rows"]) * number(event["length"]))
        found["largest_batch"] = {name: batch[name] for name in ("rows", "length")}
    if any(event.get("kind") == "process" and event.get("own_libraries") for event in events):
        found["own_libraries"] = True
    if oom is not None:
        peaks = {name: int(value) for name, (value, _) in _peaks(events).items()}
        found["oom"] = {"phase": oom.get("phase"), **oom.get("values", {}), "peaks": peaks}
    return found


def disturbed(events: Sequence[Event]) -> list[str]:
    """That the machine was short of memory, and moved some of the worker's to swap."""
    swapped = [number(event["values"].get("host_swapped", 0)) for event in events if event.get("kind") == "memory"]
    most, (peak, _) = max(swapped, default=0.0), _peaks(events).get("peak_host_memory", (0.0, ""))
    if not most or most < SWAPPED_SHARE * peak:
        return []
    return [f"the machine was short of memory: {format_size(most)} of the worker lay in swap"]


def _peaks(events: Iterable[Event]) -> dict[str, tuple[float, str]]:
    """The highest value by public name, and the phase or the part of a step in which it fell."""
    highest: dict[str, tuple[float, str]] = {}
    parts: dict[str, float] = {}
    for place, event in _placed(events):
        values = event.get("values", {})
        for name, value in values.items():
            public = _PEAKS.get(name)
            if public is not None and number(value) > highest.get(public, (-1.0, ""))[0]:
                highest[public] = (number(value), place)
        for part in PARTS:
            if (name := f"{part}_allocated_peak") in values:
                parts[part] = max(parts.get(part, 0.0), number(values[name]))
    # Not every step's parts are followed: the part that peaked highest in those that were is where training peaks.
    if parts and "peak_allocated" in highest and highest["peak_allocated"][1] == "train":
        highest["peak_allocated"] = (highest["peak_allocated"][0], max(parts, key=lambda part: parts[part]))
    return highest


def _placed(events: Iterable[Event]) -> Iterator[tuple[str, Event]]:
    """Memory events, each with the phase that it tells of: samples are taken before the edges of phases."""
    for phase, event in placed(events):
        if event.get("kind") == "memory":
            yield str(event.get("phase") or phase or "start"), event


def _breakdown(events: Iterable[Event]) -> dict[str, Any]:
    """The last one: the steady state."""
    held: dict[str, Any] = {}
    for event in events:
        if event.get("kind") == "breakdown":
            held = dict(event.get("values", {}))
    return held


def _activations(events: Iterable[Event], held: dict[str, Any]) -> dict[str, float]:
    """The measured window's allocated peak less what the allocator held for all else; needs every part of it."""
    peaks = [
        number(event["values"]["window_allocated_peak"])
        for event in events
        if event.get("kind") == "memory" and "window_allocated_peak" in event.get("values", {})
    ]
    if not peaks or not {"weights", "gradients", "optimizer"} <= held.keys():
        return {}
    names = ("weights", "buffers", "reference", "gradients", "optimizer")
    rest = sum(number(held.get(name, 0)) for name in names) - number(held.get("elsewhere", 0))
    left = max(peaks) - rest
    return {"activation_memory": left} if left >= 0 else {}
