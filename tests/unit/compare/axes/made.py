"""Matrices made by hand: every combination of levels, every seed, with whatever figures a function says; and what is
told of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.records.effects import AxisEffects
from harness.records.results import TrialResult
from harness.records.verdict import Effect

Axes = Mapping[str, Sequence[str]]
Levels = Mapping[str, str]
RATE = "tokens_per_second"
TWO: Axes = {"gc": ["off", "on"], "lora": ["full", "r8"]}


def matrix(
    axes: Axes,
    figures: Callable[[Levels, int], Mapping[str, float]],
    *,
    seeds: int = 3,
    without: Callable[[Levels], bool] = lambda levels: False,
    **changes: Any,
) -> list[TrialResult]:
    """The trials of all combinations but those `without`."""
    combinations = [dict(zip(axes, levels, strict=True)) for levels in itertools.product(*axes.values())]
    return [
        trial(levels, seed, figures(levels, seed), **changes)
        for levels in combinations
        if not without(levels)
        for seed in range(seeds)
    ]


def trial(levels: Levels, seed: int, metrics: Mapping[str, float], **changes: Any) -> TrialResult:
    name = "-".join(levels.values())
    fields: dict[str, Any] = {
        "trial_id": f"{name}-{seed}",
        "cell_id": name,
        "name": f"{name}-s{seed}",
        "cell_name": name,
        "kind": "cell",
        "levels": dict(levels),
        "seed": seed,
        "method": "sft",
        "outcome": "ok",
        "phase": None,
        "cause": None,
        "attempts": 1,
        "environment": "e1",
        "metrics": dict(metrics),
    }
    return TrialResult(**(fields | changes))


def effect(told: AxisEffects, axis: str, level: str, metric: str = RATE, **at: str) -> Effect:
    """The effect of a level; it must be there."""
    found = [
        one
        for one in told.effects
        if (one.axis, one.level, one.metric, one.at) == (axis, level, metric, at) and one.verdict.effect is not None
    ]
    assert len(found) == 1
    assert found[0].verdict.effect is not None
    return found[0].verdict.effect


def found(told: AxisEffects, metric: str = RATE) -> list[tuple[str, str]]:
    return [one.axes for one in told.interplays if one.found and one.metric == metric]
