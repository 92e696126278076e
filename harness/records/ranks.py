"""One training by several processes (data parallel): the events of all ranks as those of one trial.

Each process records its own events and waits for nobody in doing so; they are put together when they are read. A step's
tokens, samples and FLOPs are the sum over the ranks, its times those of the slowest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from harness.records.events import Event

_SUMMED = (
    "real_tokens",
    "padded_tokens",
    "loss_tokens",
    "reference_tokens",
    "samples",
    "model_flops",
    "hardware_flops",
)
_SLOWEST = ("wall_s", "data_s", "device_s")
_COMBINED: dict[str, Callable[[list[Any]], Any]] = {**dict.fromkeys(_SUMMED, sum), **dict.fromkeys(_SLOWEST, max)}
_OF_ALL = ("memory", "finding")
"""Kinds that are taken from every rank: the fullest process decides what fits, and each has findings of its own."""


def world_size(events: Sequence[Event]) -> int:
    """How many processes train, by the `active` event; 1 where it does not say."""
    said = [event.get("values", {}).get("world_size") for event in events if event.get("kind") == "active"]
    return int(said[-1]) if said and said[-1] else 1


def merged(main: Sequence[Event], others: Sequence[Sequence[Event]]) -> list[Event]:
    """The main rank's events, its steps told for all ranks, and the memory and findings of the others.

    A step that not every rank has recorded (one of them was killed) is out of the measured window, and a field that
    not every rank has is left out: part of a sum is no figure.
    """
    size = world_size(main)
    if size == 1:
        return list(main)
    steps = [_steps(events) for events in others]
    found: list[Event] = []
    for event in main:
        if event.get("kind") == "step":
            same = [event, *(known[event["step"]] for known in steps if event["step"] in known)]
            event = _combined(same) if len(same) == size else {**event, "measured": False}
        found.append(event)
    return found + [event for events in others for event in events if event.get("kind") in _OF_ALL]


def _steps(events: Sequence[Event]) -> dict[int, Event]:
    return {event["step"]: event for event in events if event.get("kind") == "step"}


def _combined(same: list[Event]) -> Event:
    """One step of all ranks; what is no sum and no time is the main rank's."""
    event = {name: value for name, value in same[0].items() if name not in _COMBINED}
    for name, combine in _COMBINED.items():
        if all(name in each for each in same):
            event[name] = combine([each[name] for each in same])
    return event
