"""Events → what of an attempt is no number: facts by name, and what disturbed its figures. Pure and light."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from harness.measure.summarise import device, health, load, memory
from harness.records.events import Event

FACTS: tuple[Callable[[Sequence[Event]], dict[str, Any]], ...] = (health.facts, memory.facts, device.facts)
DISTURBANCES: tuple[Callable[[Sequence[Event]], list[str]], ...] = (
    device.disturbed,
    load.disturbed,
    memory.disturbed,
)
"""A new kind of fact, or of disturbance, is a function in the file of its probe's figures and an entry here."""


def facts(events: Iterable[Event]) -> dict[str, Any]:
    """What the events tell in words, by name: `peak_phase`, `oom`, …"""
    known = list(events)
    return {name: value for find in FACTS for name, value in find(known).items()}


def disturbed(events: Iterable[Event]) -> tuple[str, ...]:
    """Why the measured window is not to be trusted, one reason each; empty where nothing disturbed it."""
    known = list(events)
    return tuple(reason for find in DISTURBANCES for reason in find(known))
