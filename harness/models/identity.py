"""What a model is, as far as it decides a result: light, nothing is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import ModelError, did_you_mean
from harness.models.shapes import SHAPES, Shape
from harness.records.fingerprint import of_file, of_value

INIT_VERSION = 3
"""Moves when random weights or the built-in tokenizer come out differently for the same seed."""

BASE_FILE = "base.json"
"""Beside an adapter: how its base is rebuilt (see `harness.models.load`)."""

_WEIGHTS = ("*.safetensors", "*.bin")
_NOT_WEIGHTS = {"training_args.bin", "optimizer.bin", "scheduler.bin"}
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")
_FROM_WHERE = {"is_local", "local_files_only", "name_or_path", "transformers_version"}
"""Fields of tokenizer_config.json that tell how the tokenizer was loaded before it was saved: transformers writes them
for one that came from a folder, and leaves them out for the same one from elsewhere."""
_INCIDENTAL = {"transformers_version", "_name_or_path", "base_model_name_or_path", "peft_version", "revision"}
"""Config fields that name where a model came from or who wrote the file, not what it is."""


def shape_of(model: Mapping[str, Any]) -> Shape:
    """The shape a ShapeModel names.

    Raises:
        ModelError: no such shape.
    """
    name = str(model["shape"])
    if name not in SHAPES:
        raise ModelError.of(f"unknown shape {name!r}", hint=did_you_mean(name, SHAPES))
    return SHAPES[name]


def identity(model: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """What decides the weights the training starts from, as a JSON-able dict.

    `model` is a ShapeModel, HubModel or PathModel as a mapping; paths are relative to `root`.

    Raises:
        ModelError: an unknown shape, or a folder that is missing or holds no model.
    """
    common = {"dtype": model.get("dtype", "float32")}
    if model.get("attn_implementation"):
        common["attn_implementation"] = model["attn_implementation"]
    if "shape" in model:
        shape = shape_of(model)
        facts = of_value({"model_type": shape.model_type, **shape.config})
        own = {"shape": facts, "seed": model.get("seed", 0), "init": INIT_VERSION}
        return {**own, "overrides": dict(model.get("overrides") or {}), **common}
    if "hub" in model:
        return {"hub": model["hub"], "revision": model.get("revision"), **common}
    folder = model_folder(model, root)
    return {"weights": weights_hash(folder), "tokenizer": tokenizer_hash(folder), **common}


def model_folder(model: Mapping[str, Any], root: Path) -> Path:
    """The folder a PathModel names, once it is known to hold a model: config, weights and tokenizer.

    Raises:
        ModelError: what is missing.
    """
    folder = root / Path(str(model["path"])).expanduser()
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise ModelError.of(
            f"model folder {folder} {what}", hint="give a folder written by save_pretrained, relative to the suite file"
        )
    if not (folder / "config.json").is_file() and not (folder / "adapter_config.json").is_file():
        raise ModelError.of(
            f"model folder {folder} has no config.json",
            hint="give the folder that save_pretrained wrote, with config.json",
        )
    if not weight_files(folder):
        raise ModelError.of(f"model folder {folder} has no weights", why="no *.safetensors and no *.bin in it")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")):
        raise ModelError.of(
            f"model folder {folder} has no tokenizer", hint="save it there too: tokenizer.save_pretrained(folder)"
        )
    return folder


def weight_files(folder: Path) -> list[Path]:
    """The files of a model folder that hold weights, sorted by name; safetensors alone where both kinds lie."""
    for pattern in _WEIGHTS:
        found = sorted(path for path in folder.glob(pattern) if path.is_file() and path.name not in _NOT_WEIGHTS)
        if found:
            return found
    return []


def weights_hash(folder: Path) -> str:
    """sha256 (hex) over a model folder's weights and what gives them meaning: its config, its adapter config and base.

    Names of machines and versions in the configs do not count; the adapter's base counts by its own recorded hash.

    Raises:
        ModelError: no weights there.
    """
    files = weight_files(folder)
    if not files:
        raise ModelError.of(f"no weights in {folder}", why="no *.safetensors and no *.bin in it")
    try:
        parts: list[Any] = [[path.name, of_file(path)] for path in files]
        configs = [name for name in ("config.json", "adapter_config.json", BASE_FILE) if (folder / name).is_file()]
        parts += [[name, _meaning(json.loads((folder / name).read_bytes()), name)] for name in configs]
    except (OSError, ValueError) as error:
        raise ModelError.of(f"the model in {folder} cannot be read", why=str(error)) from error
    return of_value(parts)


def tokenizer_hash(folder: Path) -> str:
    """sha256 (hex) over the tokenizer files of a model folder, without what says where it was loaded from."""
    files = [folder / name for name in _TOKENIZER if (folder / name).is_file()]
    files += sorted(path for path in folder.glob("*.model") if path.is_file())
    return of_value([[path.name, _tokenizer_part(path)] for path in files])


def _tokenizer_part(path: Path) -> Any:
    if path.name == "tokenizer_config.json":
        try:
            config = json.loads(path.read_bytes())
        except ValueError:
            return of_file(path)  # whoever loads it will say what is wrong
        if isinstance(config, dict):
            return {key: value for key, value in config.items() if key not in _FROM_WHERE}
    return of_file(path)


def meaning(config: dict[str, Any]) -> dict[str, Any]:
    """What a config.json says of a model, without where it came from and who wrote the file."""
    return _meaning(config, "config.json")


def _meaning(config: dict[str, Any], name: str) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key not in _INCIDENTAL}
    if name == BASE_FILE:
        for path_like in ("model", "start"):  # what they lead to is in `identity` and `start_weights`
            kept.pop(path_like, None)
    if name == "adapter_config.json":
        # PEFT writes sets of names in an order that changes from one process to the next.
        kept = {key: sorted(value) if _is_names(value) else value for key, value in kept.items()}
    return kept


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(inner, str) for inner in value)
