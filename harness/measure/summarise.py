"""Events → the public metrics of an attempt. Pure and light: the store and the debug engine use it too.

A figure that was not measured is absent, never zero. Definitions: `harness.records.metrics`, `docs/measuring.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from harness.measure.phases import durations, start_of
from harness.records.events import Event

_TOKEN_SUMS = ("real_tokens", "padded_tokens", "loss_tokens", "reference_tokens")
_PEAKS = {
    "host_uss": "peak_host_memory",
    "host_uss_peak": "peak_host_memory",
    "device_used": "peak_device_memory",
    "device_allocated": "peak_allocated",
    "device_allocated_peak": "peak_allocated",
    "device_reserved_peak": "peak_reserved",
}


def summarise(events: Iterable[Event]) -> dict[str, float]:
    """The metrics of one attempt by public name."""
    known = list(events)
    summary: dict[str, float] = {}
    summary.update(_window([event for event in known if event.get("kind") == "step" and event.get("measured")]))
    summary.update(_times(known))
    summary.update(_memory(event for event in known if event.get("kind") == "memory"))
    summary.update(_curves([event for event in known if event.get("kind") == "log"]))
    summary.update(_active(event for event in known if event.get("kind") == "active"))
    return {name: value for name, value in summary.items() if math.isfinite(value)}


def _window(steps: Sequence[Event]) -> dict[str, float]:
    """Ratios of sums over the measured window, never means of ratios."""
    if not steps:
        return {}
    walls = sorted(_number(step.get("wall_s")) for step in steps)
    seconds = sum(walls)
    sums = {name: sum(_number(step.get(name, 0)) for step in steps) for name in _TOKEN_SUMS}
    found: dict[str, float] = {
        "measured_steps": len(steps),
        "step_seconds_p50": _percentile(walls, 0.5),
        "step_seconds_p90": _percentile(walls, 0.9),
        **sums,
    }
    if sums["padded_tokens"] > 0:
        found["padding_share"] = 1 - sums["real_tokens"] / sums["padded_tokens"]
    if seconds > 0:
        found["tokens_per_second"] = sums["real_tokens"] / seconds
        found["padded_tokens_per_second"] = sums["padded_tokens"] / seconds
        found["samples_per_second"] = sum(_number(step.get("samples", 0)) for step in steps) / seconds
        found["data_share"] = sum(_number(step.get("data_s", 0)) for step in steps) / seconds
    return found


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Linear interpolation between order statistics (Hyndman & Fan 1996, definition 7)."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _times(events: Sequence[Event]) -> dict[str, float]:
    if not events:
        return {}
    found = {"trial_seconds": max(_number(event.get("t", 0)) for event in events)}
    train = durations(events).get("train")
    if train is not None:
        found["train_seconds"] = train
    startup = _startup(events)
    if startup is not None:
        found["startup_seconds"] = startup
    return found


def _startup(events: Sequence[Event]) -> float | None:
    """When the first step began; without a step, when training did."""
    for event in events:
        if event.get("kind") == "step" and "wall_s" in event:
            return max(0.0, _number(event["t"]) - _number(event["wall_s"]))
    return start_of(events, "train")


def _memory(events: Iterable[Event]) -> dict[str, float]:
    peaks: dict[str, float] = {}
    for event in events:
        for name, value in event.get("values", {}).items():
            public = _PEAKS.get(name)
            if public is not None:
                peaks[public] = max(peaks.get(public, 0.0), _number(value))
    return peaks


def _curves(logs: Sequence[Event]) -> dict[str, float]:
    found: dict[str, float] = {}
    losses = _series(logs, "loss")
    if losses:
        found["final_loss"] = _mean(losses[-_tenth(losses) :])
    evals = _series(logs, "eval_loss")
    if evals:
        found["final_eval_loss"] = evals[-1]
    margins = _series(logs, "rewards/margins")
    if margins:
        found["first_reward_margin"] = _mean(margins[: _tenth(margins)])
        found["final_reward_margin"] = _mean(margins[-_tenth(margins) :])
    return found


def _active(events: Iterable[Event]) -> dict[str, float]:
    found: dict[str, float] = {}
    for event in events:
        for name in ("trainable_parameters", "total_parameters"):
            value = event.get("values", {}).get(name)
            if value is not None:
                found[name] = _number(value)
    return found


def _series(logs: Sequence[Event], name: str) -> list[float]:
    return [_number(log["values"][name]) for log in logs if name in log.get("values", {})]


def _tenth(values: Sequence[float]) -> int:
    return max(1, len(values) // 10)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _number(value: Any) -> float:
    """A number as events hold it: non-finite ones are the strings "NaN", "Infinity", "-Infinity"."""
    return float(value) if value is not None else math.nan
