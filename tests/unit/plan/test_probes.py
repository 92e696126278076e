"""What a cell is called while `fit` varies one of its fields."""

from __future__ import annotations

import pytest

from harness.plan.probes import Axis, Probed
from harness.records.plan import Cell

BATCH = "train.per_device_train_batch_size"


@pytest.mark.parametrize(
    ("name", "level", "without"),
    [
        ("sft-full-b2-packed", "b2", "sft-full-packed"),
        ("sft-full-per_device_train_batch_size4", "4", "sft-full"),
        ("sft-qwen2.5-1.5b-1", "1", "sft-qwen2.5-1.5b"),
        ("sft-full", "b2", "sft-full"),
        ("sft-full-b2", None, "sft-full-b2"),
    ],
)
def test_a_cell_loses_the_level_of_the_axis_from_its_name_and_nothing_else(
    name: str, level: str | None, without: str
) -> None:
    levels = {} if level is None else {BATCH: level}
    cell = Cell(id="c", name=name, kind="cell", levels=levels, config={})
    assert Probed(cell=cell, axis=Axis(path=BATCH), steps=6).name == without
