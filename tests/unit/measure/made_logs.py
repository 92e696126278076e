"""Logs of a training made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.events import Event


def made_logs(warmup: int = 0, **curves: Sequence[float]) -> list[Event]:
    """One log and one step event per value, from step 1; curves by name, `__` for a slash."""
    count = max(len(values) for values in curves.values())
    events: list[Event] = [{"kind": "step", "step": step + 1, "measured": step >= warmup} for step in range(count)]
    for step in range(count):
        values = {name.replace("__", "/"): series[step] for name, series in curves.items() if step < len(series)}
        events.append({"kind": "log", "step": step + 1, "values": values})
    return events
