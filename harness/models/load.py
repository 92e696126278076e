"""Models and tokenizers in memory, and checkpoints to and from disk. For the child: its functions import torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import ModelError, did_you_mean
from harness.models.identity import BASE_FILE, identity, model_folder, shape_of, weights_hash
from harness.models.tokenizer import build
from harness.records.hub import hub_problem
from harness.records.run_folder import write_json


def load(model: Mapping[str, Any], *, root: Path, device: str) -> tuple[Any, Any]:
    """The model and its tokenizer, on `device`, in evaluation mode as transformers gives it.

    `model` is a ShapeModel, HubModel or PathModel as a mapping; paths are relative to `root`. Random weights come
    from the shape's own seed and are made on the CPU, so that they are the same for every device; the global random
    state is as before.

    Raises:
        ModelError: an unknown shape or override; a folder or repository that cannot be used.
    """
    if "shape" in model:
        return _from_shape(model, device)
    if "hub" in model:
        return _from_hub(model, device)
    folder = model_folder(model, root)
    if (folder / "adapter_config.json").is_file():
        kernel = model.get("attn_implementation")
        return load_checkpoint(folder, device=device, dtype=model.get("dtype"), attn_implementation=kernel)
    return _from_folder(folder, device, model.get("dtype", "float32"), model.get("attn_implementation"))


def save(model: Any, tokenizer: Any, folder: Path, base: Mapping[str, Any] | None) -> None:
    """Writes the trained weights: a whole model as safetensors, of a PEFT model the adapter alone; and the tokenizer.

    `base` says how an adapter's base is rebuilt, and is not needed for a whole model: `model` (the mapping it was
    loaded from), `root` (the folder its paths are relative to), `start` (the checkpoint the training started from,
    or None). It is kept in base.json beside the adapter, `start` relative to it, so that results can be moved.
    `identity` and `start_weights`, of the model and the start, are looked up where they are not given.

    Raises:
        ModelError: an adapter without `base`, which nobody could load again.
    """
    from peft import PeftModel

    adapter = isinstance(model, PeftModel)
    if adapter and base is None:
        raise ModelError.of(f"the adapter for {folder} has no base", why="it could not be loaded again")
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    if adapter and base is not None:
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's model card, empty of facts
        write_json(folder / BASE_FILE, _base_record(base, folder))


def load_checkpoint(
    folder: Path, *, device: str, dtype: str | None = None, attn_implementation: str | None = None
) -> tuple[Any, Any]:
    """Whole weights from a checkpoint: a saved model, or an adapter merged into its base; and the tokenizer.

    Without `dtype` and `attn_implementation` they are the ones it was trained with. All weights can be trained on.

    Raises:
        ModelError: no checkpoint there, or an adapter whose base is gone or has changed since.
    """
    if (folder / "adapter_config.json").is_file():
        adapted, tokenizer = _adapted(folder, device, dtype, attn_implementation, foreign_dtype="float32")
        _untie(adapted)
        return adapted.merge_and_unload().requires_grad_(True), tokenizer  # PEFT leaves the base frozen
    model_folder({"path": str(folder)}, Path())
    return _from_folder(folder, device, dtype or "auto", attn_implementation)


def open_checkpoint(folder: Path, *, device: str = "cpu") -> tuple[Any, Any]:
    """A checkpoint as it was trained, ready to be scored, and its tokenizer.

    An adapter stays beside its base, as PEFT runs it and as it was trained: merging rounds (up to 1e-4 nats on the
    `tiny` shape in float32). A base that the harness did not choose itself has the dtype it was saved in.

    Raises:
        ModelError: as `load_checkpoint`.
    """
    if (folder / "adapter_config.json").is_file():
        model, tokenizer = _adapted(folder, device, None, None, foreign_dtype="auto")
    else:
        model, tokenizer = load_checkpoint(folder, device=device)
    return model.eval(), tokenizer


def load_tokenizer(model: Mapping[str, Any], *, root: Path, start: str | Path | None = None) -> Any:
    """The tokenizer alone, as `load` gives it; that of the checkpoint `start` where there is one.

    Raises:
        ModelError: it cannot be had.
    """
    from transformers import AutoTokenizer

    if start is not None:
        return _tokenizer_in(Path(start))
    if "shape" in model:
        shape_of(model)
        return build()
    if "path" in model:
        return _tokenizer_in(model_folder(model, root))
    name, revision = str(model["hub"]), model.get("revision")
    try:
        return AutoTokenizer.from_pretrained(name, revision=revision)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(problems=(hub_problem(error, kind="model", name=name, revision=revision),)) from error


def _tokenizer_in(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ModelError.of(f"no tokenizer can be loaded from {folder}", why=_beginning(error)) from error


def _base_record(base: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    root = Path(str(base.get("root") or ".")).resolve()
    model = dict(base["model"])
    known = base.get("identity") or identity(model, root)
    record: dict[str, Any] = {"identity": known, "start": None, "start_weights": None}
    if "path" in model:
        model["path"] = str((root / Path(str(model["path"])).expanduser()).resolve())
    if base.get("start"):
        start = Path(str(base["start"])).resolve()
        record["start"] = os.path.relpath(start, folder.resolve())
        record["start_weights"] = base.get("start_weights") or weights_hash(start)
    return {"model": model, **record}


def _adapted(
    folder: Path, device: str, dtype: str | None, kernel: str | None, *, foreign_dtype: str
) -> tuple[Any, Any]:
    """An adapter on its base, unmerged, and the tokenizer."""
    from peft import PeftModel

    base, tokenizer = _adapter_base(folder, device, dtype, kernel, foreign_dtype)
    try:
        adapted = PeftModel.from_pretrained(base, str(folder))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError.of(f"the adapter in {folder} does not fit its base", why=_beginning(error)) from error
    return adapted, _own_tokenizer(folder) or tokenizer


def _adapter_base(
    folder: Path, device: str, dtype: str | None, kernel: str | None, foreign_dtype: str
) -> tuple[Any, Any]:
    """The model under an adapter. Adapters written elsewhere have no base.json: there PEFT's own field counts."""
    record = _read(folder / BASE_FILE) if (folder / BASE_FILE).is_file() else None
    if record is None:
        name = _read(folder / "adapter_config.json").get("base_model_name_or_path")
        if not name:
            raise ModelError.of(f"the adapter in {folder} does not say which model it is for", hint="merge it first")
        foreign = {"path": name} if Path(str(name)).is_dir() else {"hub": name}
        wanted = {"dtype": dtype or foreign_dtype, "attn_implementation": kernel}
        return load({**foreign, **wanted}, root=folder, device=device)
    asked = {"dtype": dtype, "attn_implementation": kernel}
    model = {**record["model"], **{key: value for key, value in asked.items() if value is not None}}
    if record.get("start") is None:
        return load(model, root=folder, device=device)
    start = folder / record["start"]
    if not start.is_dir():
        raise ModelError.of(
            f"the checkpoint that the adapter in {folder} was trained from is gone", why=f"{start} does not exist"
        )
    if weights_hash(start) != record.get("start_weights"):
        raise ModelError.of(
            f"the checkpoint that the adapter in {folder} was trained from has changed",
            why=f"the weights in {start} are not those it was trained on",
            hint="train the adapter again from the new checkpoint",
        )
    kept = {"dtype": model.get("dtype"), "attn_implementation": model.get("attn_implementation")}
    return load_checkpoint(start, device=device, **kept)


def _from_shape(model: Mapping[str, Any], device: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM

    from harness.models.filling import OnEveryCore

    tokenizer = build()
    config = shape_config(model, tokenizer)
    kernel = _kernel(model.get("attn_implementation"))
    with torch.random.fork_rng(devices=[]), OnEveryCore():
        # The CPU's generator alone: `torch.manual_seed` would reseed the devices too, which nobody puts back.
        torch.default_generator.manual_seed(int(model.get("seed", 0)))
        try:
            made = AutoModelForCausalLM.from_config(config, dtype=_dtype(model.get("dtype", "float32")), **kernel)
        except (ValueError, TypeError, ImportError, RuntimeError) as error:
            raise ModelError.of(f"the shape {model['shape']!r} cannot be built", why=_beginning(error)) from error
    return made.to(device).eval(), tokenizer


def shape_config(model: Mapping[str, Any], tokenizer: Any) -> Any:
    """The transformers config of a ShapeModel, its overrides applied.

    Raises:
        ModelError: an unknown shape, an override that the config does not have or take, a vocabulary that is too small.
    """
    from transformers import AutoConfig

    shape = shape_of(model)
    overrides = dict(model.get("overrides") or {})
    known = set(AutoConfig.for_model(shape.model_type).to_dict()) | set(shape.config)
    for name in overrides:
        if name not in known:
            raise ModelError.of(f"the shape {shape.name!r} has no field {name!r}", hint=did_you_mean(name, known))
    facts = {**shape.config, **overrides}
    if facts["vocab_size"] < len(tokenizer):
        raise ModelError.of(
            f"vocab_size {facts['vocab_size']} is too small", why=f"the built-in tokenizer has {len(tokenizer)} entries"
        )
    heads, groups = facts["num_attention_heads"], facts["num_key_value_heads"]
    if all(isinstance(count, int) and count > 0 for count in (heads, groups)) and heads % groups:
        raise ModelError.of(
            f"num_attention_heads {heads} is no multiple of num_key_value_heads {groups}",
            why="each head of keys and values serves as many heads of queries",
        )
    ids = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    try:
        return AutoConfig.for_model(shape.model_type, **facts, **ids)
    except Exception as error:  # strict dataclasses raise their own kinds
        raise ModelError.of(f"the shape {shape.name!r} does not take these overrides", why=_beginning(error)) from error


def _from_hub(model: Mapping[str, Any], device: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name, revision = str(model["hub"]), model.get("revision")
    dtype = _dtype(model.get("dtype", "float32"))
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
        loaded = AutoModelForCausalLM.from_pretrained(
            name, revision=revision, dtype=dtype, **_kernel(model.get("attn_implementation"))
        )
    except (OSError, ValueError, ImportError) as error:
        problem = hub_problem(error, kind="model", name=name, revision=revision)
        raise ModelError(problems=(problem,)) from error
    return loaded.to(device), tokenizer


def _from_folder(folder: Path, device: str, dtype: str, kernel: str | None) -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    local = {"local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), **local)
        loaded = AutoModelForCausalLM.from_pretrained(str(folder), dtype=_dtype(dtype), **_kernel(kernel), **local)
    except (OSError, ValueError, ImportError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError.of(
            f"the model in {folder} cannot be loaded",
            why=_beginning(error),
            hint="check that the folder is complete, as save_pretrained wrote it",
        ) from error
    return loaded.to(device), tokenizer


def _untie(adapted: Any) -> None:
    """Gives an adapted layer that shares its weights with another one weights of its own.

    An adapter on the output layer changes that alone; merged into weights that are the input embeddings too, it would
    change these as well (46 in a logit of the `tiny` shape). PEFT warns of it; once they differ, it says so in the
    config.
    """
    from torch.nn import Parameter

    for layer in (adapted.get_input_embeddings(), adapted.get_output_embeddings()):
        shared = getattr(layer, "base_layer", None)
        if shared is not None:
            shared.weight = Parameter(shared.weight.detach().clone())


def _own_tokenizer(folder: Path) -> Any:
    return _tokenizer_in(folder) if (folder / "tokenizer_config.json").is_file() else None


def _kernel(name: Any) -> dict[str, Any]:
    return {"attn_implementation": name} if name else {}


def _dtype(name: Any) -> Any:
    """torch's dtype by name; `auto`, the one that the weights were saved in, is transformers' own word."""
    import torch

    return name if name == "auto" else getattr(torch, str(name))


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ModelError.of(f"{path} cannot be read", why=str(error)) from error


def _beginning(error: BaseException) -> str:
    """The beginning of the message on one line; transformers' go on for paragraphs, some say what matters second."""
    text = " ".join(line.strip() for line in str(error).strip().splitlines()[:3])
    return text[:300] or type(error).__name__
