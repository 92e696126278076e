"""What the data is, as far as it decides a result: light, hub data is not loaded, files are hashed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.data.sources import source_of
from harness.errors import DataError
from harness.records.fingerprint import of_file

SPLIT_VERSION = 1
"""Moves when the same rows are chosen, converted or split in another way."""


def identity(data: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """What decides the rows, as a JSON-able dict. `data` is a SourceData, PathData or HubData as a mapping.

    Paths are relative to `root`; a file counts by its content, a source by its options, version and facts.

    Raises:
        DataError: an unknown source or option, or a file that is missing or unreadable.
    """
    common = {"split": SPLIT_VERSION, **_set(data, ("format", "conversational", "rows", "eval_fraction", "seed"))}
    if "source" in data:
        source = source_of(str(data["source"]))
        options = source.resolve(data.get("options") or {})
        return {"source": source.name, "version": source.version, "options": options, **source.facts(), **common}
    columns = {"columns": dict(data["columns"])} if data.get("columns") else {}
    if "hub" in data:
        hub = {"hub": data["hub"], "revision": data.get("revision"), "config": data.get("config")}
        return {**hub, "hub_split": data.get("split", "train"), **columns, **common}
    file = data_file(data, root)
    if not file.is_file():
        what = "is a folder, not a file" if file.is_dir() else "does not exist"
        raise DataError.of(f"data file {file} {what}", hint="paths are relative to the suite file")
    try:
        return {"file": of_file(file), "kind": file.suffix.lower(), **columns, **common}
    except OSError as error:
        raise DataError.of(f"data file {file} cannot be read", why=error.strerror or str(error)) from error


def data_file(data: Mapping[str, Any], root: Path) -> Path:
    """The file a PathData names."""
    return root / Path(str(data["path"])).expanduser()


_DEFAULTS: Mapping[str, Any] = {
    "format": "auto",
    "conversational": False,
    "rows": None,
    "eval_fraction": 0.0,
    "seed": 0,
}


def _set(data: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The values that differ from their defaults, so that spelling a default out moves no id."""
    return {name: data[name] for name in names if name in data and data[name] != _DEFAULTS[name]}
