"""Cells that are made for a GPU, told on a machine that has none."""

from __future__ import annotations

from collections.abc import Iterable

from harness.errors import Problem
from harness.plan.places import place_of
from harness.records.plan import Cell
from harness.records.suite import Suite

_HALF = ("bf16", "fp16")


def halved(cells: Iterable[Cell]) -> list[Cell]:
    """Those that ask for half precision of the device they train on, in the harness's own environment."""
    return [cell for cell in cells if cell.config["environment"] is None and _asks(cell) is not None]


def without_gpu(suite: Suite, cells: list[Cell]) -> Problem:
    """The warning of such cells, at least one, where no GPU would train them."""
    field, others = f"train.{_asks(cells[0])}", len(cells) - 1
    who = cells[0].name + (f" and {others:,} more" if others else "")
    variant = suite.file.with_name(f"{suite.file.stem}-cpu{suite.file.suffix}")
    return Problem(
        what=f"no CUDA device is here, so {who} would train on the CPU",
        where=place_of(suite, cells[0], field),
        why=f"{field} asks for a GPU; a CPU trains for long, takes of the host what is predicted of a device's memory, "
        "and leaves every figure of a device out",
        hint=f"run it on a machine with a GPU, or {variant.name} here" if variant.exists() else "run it where a GPU is",
    )


def _asks(cell: Cell) -> str | None:
    train = cell.config["train"]
    return None if train.get("use_cpu") else next((name for name in _HALF if train.get(name) is True), None)
