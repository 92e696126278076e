"""One training by several processes (data parallel): the events of all ranks as those of one trial.

Each process records its own events and waits for nobody in doing so; they are put together when they are read. A step's
tokens, samples and FLOPs are the sum over the ranks, its times those of the slowest.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.device_log import moment
from harness.records.events import Event, placed

_SUMMED = (
    "real_tokens",
    "padded_tokens",
    "loss_tokens",
    "reference_tokens",
    "samples",
    "model_flops",
    "hardware_flops",
)
_TIMES = ("wall_s", "data_s", "device_s")
_OF_ALL = ("memory", "batch", "oom", "finding", "note")
"""Kinds that are taken from every rank: the fullest process decides what fits, and each has findings of its own."""
_SAID = ("finding", "note")
"""Of these, those that are told once where several ranks say the same."""


def world_size(events: Sequence[Event]) -> int:
    """How many processes train, by the `active` event; 1 where it does not say."""
    said = [event.get("values", {}).get("world_size") for event in events if event.get("kind") == "active"]
    return next((int(size) for size in reversed(said) if size), 1)


def merged(main: Sequence[Event], others: Sequence[Sequence[Event]]) -> list[Event]:
    """The main rank's events, its steps told for all ranks, and the memory, findings and notes of the others.

    The times of the others are put on the main rank's clock, by the `origin` that each records where several train.

    Times are those of the rank that took longest over all measured steps, not of the slowest in each step: ranks wait
    for each other, so what one loses in a step the others lose in the next, and it would count twice.

    A step that not every rank has recorded (one of them was killed) is out of the measured window, and a sum that
    lacks a rank's part is left out: part of a sum is no figure.
    """
    size = max(world_size(main), 1 + len(others))
    if size == 1:
        return list(main)
    ranks = [_steps(main), *(_steps(events) for events in others)]
    whole = set.intersection(*(set(steps) for steps in ranks)) if len(ranks) == size else set()
    slowest = max(ranks, key=lambda steps: sum(_wall(steps[number]) for number in whole))
    found: list[Event] = []
    for event in main:
        if event.get("kind") == "step":
            number = event.get("step", -1)
            same = [steps[number] for steps in ranks] if number in whole else []
            event = _combined(same, slowest[number]) if same else {**event, "measured": False}
        found.append(event)
    said = {_saying(event) for event in main if event.get("kind") in _SAID}
    for events in others:
        told = _of_all(events, _later(main, events))
        found += [event for event in told if event["kind"] not in _SAID or _saying(event) not in said]
        said |= {_saying(event) for event in events if event.get("kind") in _SAID}
    return found


def _of_all(events: Sequence[Event], later: float) -> list[Event]:
    """What of another rank's events is told; its memory with the phase that it was in, since its phases are not."""
    found = []
    for phase, event in placed(events):
        if event.get("kind") not in _OF_ALL:
            continue
        event = {**event, "t": max(0.0, moment(event) + later)}
        found.append({"phase": phase, **event} if event["kind"] == "memory" and phase else event)
    return found


def _later(main: Sequence[Event], other: Sequence[Event]) -> float:
    """By how many seconds the other rank's attempt began after the main one's; 0 where it is not told."""
    first, then = _origin(main), _origin(other)
    return then - first if first is not None and then is not None else 0.0


def _origin(events: Sequence[Event]) -> float | None:
    return next((event["origin"] for event in events if isinstance(event.get("origin"), int | float)), None)


def _saying(event: Event) -> tuple[object, ...]:
    return event.get("kind"), event.get("name"), event.get("step"), event.get("text")


def _steps(events: Sequence[Event]) -> dict[int, Event]:
    return {event["step"]: event for event in events if event.get("kind") == "step" and "step" in event}


def _wall(step: Event) -> float:
    return float(step.get("wall_s", 0.0)) if step.get("measured") else 0.0


def _combined(same: list[Event], slowest: Event) -> Event:
    """One step of all ranks; what is no sum and no time is the main rank's."""
    event = {name: value for name, value in same[0].items() if name not in (*_SUMMED, *_TIMES)}
    event |= {name: slowest[name] for name in _TIMES if name in slowest}
    return event | {name: sum(each[name] for each in same) for name in _SUMMED if all(name in each for each in same)}
