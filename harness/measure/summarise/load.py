"""What on the host disturbed the measured window: others on its cores, or a hypervisor that gave them to others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.measure.summarise.numbers import number
from harness.measure.summarise.spans import went_back
from harness.records.events import Event

OTHERS_SHARE = 0.03
"""Share of the usable cores' time that others must have taken. A quiet machine stays below 1%, the harness's own parent
included; at 5% training on two cores lost a fifth of its speed."""

WAITED_SHARE = 0.03
"""And least time, of the window, that the worker's threads stood ready without a core; alone they wait below 1.5%."""

IDLE_SHARE = 0.10
"""Where the kernel does not tell how long threads wait: cores that were idle for more of the time stood in no way."""

STOLEN_SHARE = 0.03
LEAST_S = 1.0
"""A shorter time is not judged: the kernel counts the cores' time in ticks of 10 ms."""


def disturbed(events: Sequence[Event]) -> list[str]:
    """Others that took cores the training would have used, and what a hypervisor took.

    Where the clock went back nothing is said: the window's seconds, which both are shares of, are not known.
    """
    if went_back(events) is not None:
        return []
    found = [event["values"] for event in events if event.get("kind") == "host" and "values" in event]
    return _reasons(found[-1]) if found else []


def _reasons(values: Mapping[str, Any]) -> list[str]:
    seconds = number(values.get("seconds"))
    capacity = seconds * number(values.get("cores"))
    if not seconds >= LEAST_S or not capacity > 0:
        return []
    reasons = []
    others = (number(values["busy"]) - number(values["own"])) / capacity
    if others >= OTHERS_SHARE and not values.get("quota") and _in_the_way(values, seconds, capacity):
        reasons.append(f"other processes took {others:.0%} of the processor's cores during the measured window")
    stolen = number(values["stolen"]) / capacity
    if stolen >= STOLEN_SHARE:
        reasons.append(f"the hypervisor took {stolen:.0%} of the cores' time during the measured window")
    return reasons


def _in_the_way(values: Mapping[str, Any], seconds: float, capacity: float) -> bool:
    if "waited" in values:
        return number(values["waited"]) / seconds >= WAITED_SHARE
    return number(values["idle"]) / capacity <= IDLE_SHARE
