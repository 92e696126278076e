"""What each cell will hold on a device, before anything runs: predicted from its configuration and TRL's defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.data.longest import longest
from harness.methods.catalog import Catalog
from harness.models.memory import Prediction, predict
from harness.models.memory.prediction import USED
from harness.records.plan import Cell, Kind

Key = tuple[Kind, str]
"""A cell: its kind and its id."""


def estimate(cell: Cell, root: Path, catalog: Catalog | None) -> Prediction:
    """The prediction for one cell; its model's path is relative to `root`. Without a catalogue nothing is predicted."""
    if cell.config["method"] is None:
        return Prediction(why="nothing is trained")
    if catalog is None:
        return Prediction(why="TRL's defaults are not known")
    defaults = _defaults(catalog, cell)
    return predict(cell.config, defaults=defaults, root=root, longest=_longest(cell.config, defaults, root))


def on_host(cell: Cell, root: Path, catalog: Catalog) -> int | None:
    """Bytes of tensors that the cell holds at most where a CPU trains it: without a context, and with what is paged.

    None where nothing is predicted, or nothing cuts the rows: the data is not looked at.
    """
    predicted = _unread(cell, root, catalog)
    return None if predicted is None else (predicted.allocated or 0) + predicted.paged


def on_device(cell: Cell, root: Path, catalog: Catalog) -> int | None:
    """Bytes of tensors that the cell holds at most on a device; None as for `on_host`."""
    predicted = _unread(cell, root, catalog)
    return None if predicted is None else predicted.allocated


def _unread(cell: Cell, root: Path, catalog: Catalog) -> Prediction | None:
    if cell.config["method"] is None:
        return None
    predicted = predict(cell.config, defaults=_defaults(catalog, cell), root=root)
    return None if predicted.allocated is None or predicted.loose else predicted


def estimates(cells: Iterable[Cell], root: Path, catalog: Catalog | None) -> dict[Key, Prediction]:
    """The predictions for these cells."""
    return {(cell.kind, cell.id): estimate(cell, root, catalog) for cell in cells}


def _longest(config: Mapping[str, Any], defaults: Mapping[str, Any], root: Path) -> tuple[int, ...] | None:
    """Tokens of the longest rows at most, as many as a batch has; looked for only where nothing cuts rows."""
    said = {**defaults, **config["train"]}
    if said.get("max_length") is not None or config["data"] is None:
        return None
    return longest(config["data"], root=root, most=int(said.get("per_device_train_batch_size") or 8))


def _defaults(catalog: Catalog, cell: Cell) -> Mapping[str, Any]:
    fields = catalog.within(cell.config.get("environment")).methods[cell.config["method"]]
    return {name: fields[name].default for name in USED if name in fields}
