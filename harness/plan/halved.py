"""Cells that are made for a GPU, told on a machine that has none."""

from __future__ import annotations

from collections.abc import Iterable

from harness.errors import Problem
from harness.methods.requirements import KERNELS_OF_A_GPU, OF_A_GPU
from harness.plan.places import place_of
from harness.records.plan import Cell
from harness.records.suite import Suite

_HALF = ("bf16", "fp16")


def stranded(cells: Iterable[Cell]) -> list[Cell]:
    """Those that ask for what only a GPU can do."""
    return [cell for cell in cells if _beyond(cell) is not None]


def halved(cells: Iterable[Cell]) -> list[Cell]:
    """Those that ask for half precision of the device they train on, in the harness's own environment, and for nothing
    that only a GPU can do.
    """
    return [cell for cell in cells if cell.config["environment"] is None and _asks(cell) and not _beyond(cell)]


def cannot_train(suite: Suite, cells: list[Cell]) -> Problem:
    """The warning of stranded cells, at least one, where no GPU is."""
    beyond = _beyond(cells[0])
    assert beyond is not None
    field, why = beyond
    return Problem(
        what=f"no CUDA device is here, so {_who(cells)} cannot train",
        where=place_of(suite, cells[0], field),
        why=f"{field}: {why}",
        hint=f"leave it out here (--skip {cells[0].name}), or run it where a GPU is",
    )


def without_gpu(suite: Suite, cells: list[Cell]) -> Problem:
    """The warning of cells in half precision, at least one, where no GPU would train them."""
    field, who = f"train.{_asks(cells[0])}", _who(cells)
    variant = suite.file.with_name(f"{suite.file.stem}-cpu{suite.file.suffix}")
    return Problem(
        what=f"no CUDA device is here, so {who} would train on the CPU",
        where=place_of(suite, cells[0], field),
        why=f"{field} asks for a GPU; a CPU trains for long, takes of the host what is predicted of a device's memory, "
        "and leaves every figure of a device out",
        hint=f"run it on a machine with a GPU, or {variant.name} here" if variant.exists() else "run it where a GPU is",
    )


def _who(cells: list[Cell]) -> str:
    return cells[0].name + (f" and {len(cells) - 1:,} more" if len(cells) > 1 else "")


def _beyond(cell: Cell) -> tuple[str, str] | None:
    """The field path of what only a GPU can do, and why."""
    kernel = str(cell.config["model"].get("attn_implementation"))
    if kernel in KERNELS_OF_A_GPU and cell.kind != "floor":
        return "model.attn_implementation", KERNELS_OF_A_GPU[kernel]
    options = cell.config["train"].get("gradient_checkpointing_kwargs")
    on = cell.config["train"].get("gradient_checkpointing") is not False
    if on and isinstance(options, dict) and options.get("offload"):
        return "train.gradient_checkpointing_kwargs", "its offload takes pinned memory, which only a GPU has"
    return next(((f"train.{name}", why) for name, why in OF_A_GPU.items() if cell.config["train"].get(name)), None)


def _asks(cell: Cell) -> str | None:
    train = cell.config["train"]
    return None if train.get("use_cpu") else next((name for name in _HALF if train.get(name) is True), None)
