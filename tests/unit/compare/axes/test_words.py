"""What axes do, in sentences."""

from __future__ import annotations

from harness.compare.axes import axis_effects
from tests.unit.compare.axes.made import matrix

RATE, MEMORY = "tokens_per_second", "peak_device_memory"


def test_what_no_change_can_tell_is_said_once() -> None:
    levers = {"lever": ["plain", "packed", "lora"]}
    told = axis_effects(
        matrix(levers, lambda one, seed: {RATE: 1.0, MEMORY: 3e9 if one["lever"] == "lora" else 1e9}, seeds=1),
        levers,
        [RATE, MEMORY],
    )

    assert told.sentences == (
        "lever, plain → packed: no change in peak device memory.",
        "lever, plain → lora: 3.00× peak device memory.",
        "tokens/s: one run a cell, and none to spare: nothing tells how much runs vary.",
    )
