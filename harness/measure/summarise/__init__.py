"""Events → the public metrics of an attempt. Pure and light: the store and the debug engine use it too.

A figure that was not measured is absent, never zero. Definitions: `harness.records.metrics`, `docs/measuring.md`.
A new group of figures is a file with `figures(events)` and a line in `GROUPS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from harness.measure.summarise import active, compute, curves, device, health, memory, times, window
from harness.records.events import Event

GROUPS: tuple[Callable[[Sequence[Event]], dict[str, float]], ...] = (
    window.figures,
    times.figures,
    memory.figures,
    device.figures,  # after memory: it completes the device's peak
    compute.figures,
    curves.figures,
    active.figures,
    health.figures,
)


def summarise(events: Iterable[Event]) -> dict[str, float]:
    """The metrics of one attempt by public name."""
    known = list(events)
    summary = {name: value for group in GROUPS for name, value in group(known).items()}
    return {name: value for name, value in summary.items() if math.isfinite(value)}
