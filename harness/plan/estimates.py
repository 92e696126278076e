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
    method = cell.config["method"]
    if method is None:
        return Prediction(why="nothing is trained")
    if catalog is None:
        return Prediction(why="TRL's defaults are not known")
    defaults = _defaults(catalog.within(cell.config.get("environment")), method)
    return predict(cell.config, defaults=defaults, root=root, longest=_longest(cell.config, defaults, root))


def estimates(cells: Iterable[Cell], root: Path, catalog: Catalog | None) -> dict[Key, Prediction]:
    """The predictions for these cells."""
    return {(cell.kind, cell.id): estimate(cell, root, catalog) for cell in cells}


def _longest(config: Mapping[str, Any], defaults: Mapping[str, Any], root: Path) -> tuple[int, ...] | None:
    """Tokens of the longest rows at most, as many as a batch has; looked for only where nothing cuts rows."""
    said = {**defaults, **config["train"]}
    if said.get("max_length") is not None or config["data"] is None:
        return None
    return longest(config["data"], root=root, most=int(said.get("per_device_train_batch_size") or 8))


def _defaults(catalog: Catalog, method: str) -> Mapping[str, Any]:
    fields = catalog.methods[method]
    return {name: fields[name].default for name in USED if name in fields}
