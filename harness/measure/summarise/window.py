"""Throughput, tokens and step times of the measured window: ratios of sums, never means of ratios."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.summarise.numbers import number, percentile
from harness.records.events import Event

_TOKEN_SUMS = ("real_tokens", "padded_tokens", "loss_tokens", "reference_tokens")


def figures(events: Sequence[Event]) -> dict[str, float]:
    """Figures of the steps after warm-up; none where there are none."""
    return _window(measured(events))


def measured(events: Sequence[Event]) -> list[Event]:
    """The step events of the measured window."""
    return [event for event in events if event.get("kind") == "step" and event.get("measured")]


def _window(steps: Sequence[Event]) -> dict[str, float]:
    """Ratios of sums over the measured window, never means of ratios."""
    if not steps:
        return {}
    walls = sorted(number(step.get("wall_s")) for step in steps)
    seconds = sum(walls)
    sums = {name: sum(number(step.get(name, 0)) for step in steps) for name in _TOKEN_SUMS}
    found: dict[str, float] = {
        "measured_steps": len(steps),
        "step_seconds_p50": percentile(walls, 0.5),
        "step_seconds_p90": percentile(walls, 0.9),
        **sums,
    }
    if sums["padded_tokens"] > 0:
        found["padding_share"] = 1 - sums["real_tokens"] / sums["padded_tokens"]
    if seconds > 0:
        found["tokens_per_second"] = sums["real_tokens"] / seconds
        found["padded_tokens_per_second"] = sums["padded_tokens"] / seconds
        found["samples_per_second"] = sum(number(step.get("samples", 0)) for step in steps) / seconds
        found["data_share"] = sum(number(step.get("data_s", 0)) for step in steps) / seconds
    return found
