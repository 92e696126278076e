"""Cells that are predicted to hold more than there is: of the host where a CPU would train them, else of the device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.errors import Problem
from harness.methods.catalog import Catalog
from harness.plan.estimates import on_device, on_host
from harness.plan.places import place_of
from harness.records.claims import Device
from harness.records.plan import Cell
from harness.records.suite import Suite
from harness.records.units import format_size, parse_size

_MOST_NAMED = 3
_BATCH = "train.per_device_train_batch_size"


def too_large(suite: Suite, cells: Iterable[Cell], catalog: Catalog, memory: int) -> Problem | None:
    """The warning of cells predicted to hold more than `memory` bytes; None where none does.

    Cells with a limit of their own below that are left out: it ends them before the machine has nothing left.
    """
    root = suite.file.parent
    open_ = [cell for cell in cells if cell.config["environment"] is None and not _bounded(cell.config, memory)]
    held = [(size, cell) for cell in open_ if (size := on_host(cell, root, catalog)) is not None and size > memory]
    if not held:
        return None
    named, largest = _named(held)
    return Problem(
        what=f"no CUDA device is here, and {named} may need more than the host's {format_size(memory)}",
        where=place_of(suite, largest, _BATCH),
        why="so much is predicted at most; without limits.host_memory a training takes what there is, until the kernel "
        "kills it or the machine stands still",
        hint=f"leave it out (--skip {largest.name}), or set limits.host_memory, which ends it as oom in time",
    )


def beyond_device(suite: Suite, cells: Iterable[Cell], catalog: Catalog, device: Device) -> Problem | None:
    """The warning of cells whose tensors alone are predicted to be more than the device has; None where none's are.

    Cells that are meant to run out of memory are left out, and loose bounds say nothing.
    """
    root, memory = suite.file.parent, device.memory_bytes
    if memory is None:
        return None
    tried = [cell for cell in cells if cell.config["limits"]["expect"] != "oom"]
    held = [(size, cell) for cell in tried if (size := on_device(cell, root, catalog)) is not None and size > memory]
    if not held:
        return None
    named, largest = _named(held)
    return Problem(
        what=f"{named} may need more than the {format_size(memory)} of {device.name}",
        where=place_of(suite, largest, _BATCH),
        why="so much is predicted for the largest batches, and what runs out of memory ends oom",
        hint=f"that is a result too; or leave it out (--skip {largest.name}), or see what fits: harness fit",
    )


def _named(held: list[tuple[int, Cell]]) -> tuple[str, Cell]:
    """Those that hold most, in words, and the first of them."""
    held.sort(key=lambda one: -one[0])
    named = ", ".join(f"{cell.name} ({format_size(size)})" for size, cell in held[:_MOST_NAMED])
    more = f" and {len(held) - _MOST_NAMED:,} more" if len(held) > _MOST_NAMED else ""
    return named + more, held[0][1]


def _bounded(config: Mapping[str, Any], memory: int) -> bool:
    limit = config["limits"]["host_memory"]
    return limit is not None and parse_size(limit) < memory
