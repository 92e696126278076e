"""What each cell will hold on a device, before anything runs: predicted from its configuration and TRL's defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.methods.catalog import Catalog
from harness.models.memory import Prediction, predict
from harness.models.memory.prediction import USED
from harness.records.plan import Cell, Kind

Key = tuple[Kind, str]
"""A cell: its kind and its id."""


def estimate(cell: Cell, root: Path, catalog: Catalog | None) -> Prediction:
    """The prediction for one cell; its model's path is relative to `root`. Without a catalogue nothing is predicted."""
    method = cell.config["method"]
    if method is None:
        return Prediction(why="nothing is trained")
    if catalog is None:
        return Prediction(why="TRL's defaults are not known")
    return predict(cell.config, defaults=_defaults(catalog, method), root=root)


def estimates(cells: Iterable[Cell], root: Path, catalog: Catalog | None) -> dict[Key, Prediction]:
    """The predictions for these cells."""
    return {(cell.kind, cell.id): estimate(cell, root, catalog) for cell in cells}


def _defaults(catalog: Catalog, method: str) -> Mapping[str, Any]:
    fields = catalog.methods[method]
    return {name: fields[name].default for name in USED if name in fields}
