"""What axes do, in sentences."""

from __future__ import annotations

from harness.compare.axes import axis_effects
from tests.unit.compare.axes.made import Levels, matrix

RATE, MEMORY = "tokens_per_second", "peak_device_memory"


def test_what_no_change_can_tell_is_said_once() -> None:
    levers = {"lever": ["plain", "packed", "lora"]}
    told = axis_effects(
        matrix(levers, lambda one, seed: {RATE: 1.0, MEMORY: 3e9 if one["lever"] == "lora" else 1e9}, seeds=1),
        levers,
        [RATE, MEMORY],
    )

    assert told.sentences == (
        "lever, plain → packed: no change that matters in peak device memory.",
        "lever, plain → lora: 3.00× peak device memory.",
        "tokens/s: one run a cell, and none to spare: nothing tells how much runs vary.",
    )


def test_what_is_known_only_at_levels_of_another_axis_is_told_there() -> None:
    """A mean over gains and losses is not sure, and would be no news if it were."""
    axes = {"gc": ["off", "on"], "lora": ["full", "r8"], "batch": ["b2", "b8"]}
    by_lora, by_batch = {"full": 1.25, "r8": 0.8}, {"b2": 1.1, "b8": 1 / 1.1}

    def rate(levels: Levels, seed: int) -> dict[str, float]:
        gc = by_lora[levels["lora"]] * by_batch[levels["batch"]] if levels["gc"] == "on" else 1
        return {RATE: 1000 * gc * (1 + 0.04 * (seed - 1))}

    told = axis_effects(matrix(axes, rate), axes, [RATE])

    assert told.sentences[0] == "gc, off → on: tokens/s depends on lora (batch too): +25% at full, −20% at r8."
