"""Throughput, tokens and step times of the measured window: ratios of sums, never means of ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.measure.summarise.numbers import number, percentile
from harness.records.events import Event
from harness.records.ranks import world_size

_TOKEN_SUMS = ("real_tokens", "padded_tokens", "loss_tokens", "reference_tokens")
_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def figures(events: Sequence[Event]) -> dict[str, float]:
    """Figures of the steps after warm-up; none where there are none."""
    steps = measured(events)
    if not steps:
        return {}
    found: dict[str, float] = {"measured_steps": len(steps), **_percentiles(steps), **_totals(steps), **_speeds(steps)}
    if "tokens_per_second" in found:
        found["tokens_per_second_per_device"] = found["tokens_per_second"] / world_size(events)
    return found


def measured(events: Sequence[Event]) -> list[Event]:
    """The step events of the measured window."""
    return [event for event in events if event.get("kind") == "step" and event.get("measured")]


def timed(steps: Sequence[Event]) -> list[Event]:
    """Those whose wall time is known: a step during which the clock went back has none."""
    return [step for step in steps if number(step.get("wall_s")) >= 0]


def counted(steps: Sequence[Event]) -> list[Event]:
    """Those whose tokens are known: where the device was lost they are not."""
    return [step for step in steps if all(number(step.get(name)) >= 0 for name in _TOKEN_SUMS[:2])]


def _percentiles(steps: Sequence[Event]) -> dict[str, float]:
    """Of the wall time, and of the device's time where there is one."""
    found: dict[str, float] = {}
    for field, public in (("wall_s", "step_seconds"), ("device_s", "device_step_seconds")):
        seconds = sorted(value for step in steps if (value := number(step.get(field))) >= 0)
        if seconds:
            found |= {f"{public}_{name}": percentile(seconds, share) for name, share in _SHARES.items()}
    return found


def _totals(steps: Sequence[Event]) -> dict[str, float]:
    """Tokens of the window; none where a step's are not known (nor of a kind that is not), or where no step had any."""
    if len(counted(steps)) < len(steps):
        return {}
    known = [name for name in _TOKEN_SUMS if all(name in step for step in steps)]
    sums = {name: sum(number(step[name]) for step in steps) for name in known}
    if not sums["padded_tokens"] or not sums["real_tokens"]:
        return {}
    return {**sums, "padding_share": 1 - sums["real_tokens"] / sums["padded_tokens"]}


def _speeds(steps: Sequence[Event]) -> dict[str, float]:
    """Sums over the steps whose time and what is summed are known, over the seconds of the same steps."""
    known = timed(steps)
    told = counted(known) if any(number(step["real_tokens"]) for step in counted(known)) else []
    found: dict[str, float] = {}
    if (seconds := _seconds(known)) > 0:
        found["data_share"] = math.fsum(number(step.get("data_s", 0)) for step in known) / seconds
    rates = (
        ("samples", "samples_per_second", [step for step in known if number(step.get("samples")) >= 0]),
        ("real_tokens", "tokens_per_second", told),
        ("padded_tokens", "padded_tokens_per_second", told),
    )
    for name, public, both in rates:
        seconds, total = _seconds(both), sum(number(step[name]) for step in both)
        if seconds > 0 and total:
            found[public] = total / seconds
    return found


def _seconds(steps: Sequence[Event]) -> float:
    """Wall time of steps whose time is known."""
    return math.fsum(number(step["wall_s"]) for step in steps)
