"""How a checkpoint can be put before a running engine: decided from its files alone, before an engine exists.

vLLM applies a LoRA adapter to each request, which costs nothing between adapters. It does so for plain LoRA on the
linear layers of a decoder only; what it cannot apply it refuses, ignores, or dies of (vLLM 0.32: a rank above its
maximum kills the engine for good, DoRA, bias and `modules_to_save` are refused, ranks and scalings that differ from
layer to layer are taken to be all the same). Those adapters are merged into their base, and the whole is given to the
engine; to one of their own where they change the vocabulary's layers, which an engine cannot exchange. Reads JSON and
the header of safetensors; imports nothing heavy.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness import models
from harness.errors import ModelError
from harness.records.fingerprint import of_value
from harness.records.run_folder import read_json

Way = Literal["full", "adapter", "merged", "alone"]
"""Whole weights; an adapter beside its base; one merged into it; one that is, once merged, built otherwise than it."""

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM allows as `max_lora_rank` (0.32)."""

LINEAR = frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})
"""The layers that an adapter may change and still be applied beside its base: those of Llama's and Qwen's decoders.
`lm_head` is none of them: with log-probabilities of a prompt asked for, it killed the engine."""

_DTYPE = "float32"  # of a model that a suite names without one: see `harness.models.load`
_TENSOR = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.(?:[^.]+\.)?weight$")
_VOCABULARY = re.compile(r"\b(lm_head|embed_tokens|embed_out|wte)\b")
_HEADER_LIMIT = 100 * 2**20  # safetensors' own bound for a header, in bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Preflight:
    """What the files say. `why` is why an adapter is merged; `rank` and `modules` are those of an adapter's tensors.

    `base` is what an adapter stands on: {"path": folder}, or a model as suites name it ({"shape": …}, {"hub": …}).
    `family` names architecture, dtype, vocabulary and tokenizer: checkpoints of one family can be scored by one engine.
    """

    way: Way
    family: str
    why: str | None = None
    base: Mapping[str, Any] | None = None
    rank: int = 0
    modules: tuple[str, ...] = ()


def preflight(checkpoint: Path, spec: Mapping[str, Any] | None = None) -> Preflight:
    """What can be done with a checkpoint. `spec` is that of its trial, where it has one; it is looked for beside it.

    Raises:
        ModelError: an adapter without weights, without a base, or whose files cannot be read.
    """
    spec = spec or _spec_beside(checkpoint)
    if not (checkpoint / "adapter_config.json").is_file():
        family = [_architecture(checkpoint, spec), _vocabulary(checkpoint, spec), models.tokenizer_hash(checkpoint)]
        return Preflight(way="full", family=of_value(family))
    config = read_json(checkpoint / "adapter_config.json")
    if config is None:
        raise ModelError.of(f"the adapter in {checkpoint} cannot be read", why="adapter_config.json is no JSON object")
    base = base_of(checkpoint, config)
    tensors = _tensors(checkpoint)
    if tensors is not None and not tensors:
        raise ModelError.of(
            f"the adapter in {checkpoint} is empty",
            why="its weights file holds no tensor, so scoring it would score its base",
            hint="train it again, or score the base itself",
        )
    found = {match["module"] for name in tensors or {} if (match := _TENSOR.match(name))}
    modules = tuple(sorted({module.rpartition(".")[2] for module in found}))
    ranks = {shape[0] for name, shape in (tensors or {}).items() if ".lora_A." in name and shape}
    rank = max(ranks, default=0)
    _whole(checkpoint, config, tensors, ranks)
    why = _why_merged(config, tensors, modules, rank)
    vocabulary = _vocabulary_on(base, tensors)
    family = [_architecture_of_base(base, checkpoint), vocabulary, _tokenizer(checkpoint, base)]
    alone = why is not None and vocabulary != _vocabulary_on(base, {})
    return Preflight(
        way="adapter" if why is None else "alone" if alone else "merged",
        family=of_value(family),
        why=why,
        base=base,
        rank=rank,
        modules=modules,
    )


def allowed_rank(rank: int) -> int:
    """The smallest maximum that vLLM allows and that holds this rank."""
    return next(allowed for allowed in RANKS if allowed >= rank)


def base_of(checkpoint: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """What an adapter stands on: the checkpoint its training started from, else its model, else what PEFT wrote.

    Raises:
        ModelError: it names none, or one that is gone or is another by now.
    """
    record = read_json(checkpoint / models.BASE_FILE)
    if (checkpoint / models.BASE_FILE).is_file() and not isinstance((record or {}).get("model"), dict):
        raise ModelError.of(
            f"{checkpoint / models.BASE_FILE} is damaged",
            why="it does not say which model the adapter is for",
            hint="train the adapter again",
        )
    if record is None:
        name = config.get("base_model_name_or_path")
        if not name:
            raise ModelError.of(
                f"the adapter in {checkpoint} does not say which model it is for", hint="merge it first"
            )
        local = Path(str(name))
        return (
            {"path": str(local.resolve())} if local.is_dir() else {"hub": str(name), "revision": None, "dtype": "auto"}
        )
    if not record.get("start"):
        model = {key: value for key, value in record["model"].items() if key != "attn_implementation"}
        return model if "shape" in model else {"dtype": _DTYPE, **model}
    start = (checkpoint / record["start"]).resolve()
    if not start.is_dir():
        what = f"the checkpoint that the adapter in {checkpoint} was trained from is gone"
        raise ModelError.of(what, why=f"{start} does not exist", hint="train it again, with `checkpoint: keep`")
    if models.weights_hash(start) != record.get("start_weights"):
        raise ModelError.of(
            f"the checkpoint that the adapter in {checkpoint} was trained from has changed",
            why=f"the weights in {start} are not those it was trained on",
            hint="train the adapter again from the new checkpoint",
        )
    return {"path": str(start)}


def _whole(
    checkpoint: Path, config: Mapping[str, Any], tensors: Mapping[str, list[int]] | None, ranks: set[int]
) -> None:
    """PEFT only warns of matrices that are missing, and vLLM scales by the rank that the config says.

    Raises:
        ModelError: matrices that are not those the config speaks of.
    """
    if tensors is None or config.get("peft_type") != "LORA":
        return
    alone = [
        name
        for name in tensors
        for one, other in ((".lora_A.", ".lora_B."), (".lora_B.", ".lora_A."))
        if one in name and name.replace(one, other) not in tensors
    ]
    if alone:
        what = f"the adapter in {checkpoint} is not whole"
        raise ModelError.of(what, why=f"nothing belongs to its {alone[0]}", hint="train or download the adapter again")
    said = config.get("r")
    if not config.get("rank_pattern") and ranks and ranks != {said}:
        raise ModelError.of(
            f"the adapter in {checkpoint} has other weights than its config says",
            why=f"its matrices are of rank {', '.join(map(str, sorted(ranks)))}, adapter_config.json says {said}",
            hint="train or download the adapter again",
        )


def _why_merged(
    config: Mapping[str, Any], tensors: Mapping[str, list[int]] | None, modules: tuple[str, ...], rank: int
) -> str | None:
    """Why vLLM cannot apply the adapter beside its base; None where it can."""
    if config.get("peft_type") != "LORA":
        return f"it is no LoRA but {config.get('peft_type')}"
    if tensors is None:
        return "its weights are not in the safetensors format"
    for setting, said in _REFUSED.items():
        if config.get(setting):
            return said
    if config.get("init_lora_weights") not in (None, True, False, "gaussian"):
        return f"its initialisation ({config['init_lora_weights']}) changes the base too"
    if config.get("bias") not in (None, "none"):
        return "it trains biases"
    if rank > RANKS[-1]:
        return f"its rank, {rank}, is above the {RANKS[-1]} that vLLM can hold"
    strange = sorted(set(modules) - LINEAR)
    if strange:
        return f"it changes {', '.join(strange)}, which vLLM does not adapt"
    others = [name for name in tensors if not _TENSOR.match(name)]
    return f"it holds more than LoRA matrices: {others[0]}" if others else None


_REFUSED = {
    "use_dora": "it is a DoRA adapter",
    "modules_to_save": "it holds whole layers (modules_to_save)",
    "rank_pattern": "its rank differs from layer to layer",
    "alpha_pattern": "its scaling differs from layer to layer",
    "fan_in_fan_out": "its base stores weights transposed",
    "lora_bias": "its matrices have a bias",
    "trainable_token_indices": "it trains single tokens",
    "target_parameters": "it changes parameters that are no layers",
    "use_qalora": "it is a QALoRA adapter",
    "layer_replication": "it repeats layers of its base",
}


def _tensors(checkpoint: Path) -> dict[str, list[int]] | None:
    """Names and shapes of an adapter's tensors; None where it is not safetensors.

    Raises:
        ModelError: no weights, or a damaged file.
    """
    path = checkpoint / "adapter_model.safetensors"
    if not path.is_file():
        if not models.weight_files(checkpoint):
            raise ModelError.of(
                f"no weights in {checkpoint}", why="it has an adapter_config.json, but no adapter_model"
            )
        return None
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(_HEADER_LIMIT, path.stat().st_size):
                raise ValueError("its header is longer than the file")
            header = json.loads(file.read(length))
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        if path.stat().st_size < 8 + length + end:
            raise ValueError("it is cut off")
        return {name: list(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError) as error:
        raise ModelError.of(f"{path} is damaged", why=str(error), hint="train or download the adapter again") from error


def _architecture(checkpoint: Path, spec: Mapping[str, Any] | None) -> Any:
    """What two checkpoints must share for one engine, besides vocabulary and tokenizer.

    Of a trial on a shape or a hub's model that is its name, since transformers writes a config.json otherwise than
    it read it; else it is what config.json means.
    """
    model = (spec or {}).get("model")
    if isinstance(model, Mapping) and "shape" in model:
        return _shape(model)
    config = read_json(checkpoint / "config.json")
    if config is None:
        raise ModelError.of(f"no model in {checkpoint}", why="it has neither config.json nor adapter_config.json")
    generation = read_json(checkpoint / "generation_config.json")
    return _hub(model, config, generation) if model and "hub" in model else _build(config, generation)


def _architecture_of_base(base: Mapping[str, Any], checkpoint: Path) -> Any:
    record = (read_json(checkpoint / models.BASE_FILE) or {}).get("model")
    model = record or base
    if "shape" in model:
        return _shape(model)
    if "path" in base:
        folder = Path(base["path"])
        config = read_json(folder / "adapter_config.json")  # an adapter on an adapter: the architecture is further down
        if config:
            return _architecture_of_base(base_of(folder, config), folder)
        below = _architecture(folder, _spec_beside(folder) or {"model": model})
        return below if base.get("dtype") in (None, "auto") else {**below, "dtype": base["dtype"]}
    config, generation = _of_hub(base, "config.json"), _of_hub(base, "generation_config.json")
    return _build(config, generation) if config and record is None else _hub(model, config, generation)


def _hub(model: Mapping[str, Any], config: Mapping[str, Any], generation: Mapping[str, Any] | None) -> dict[str, Any]:
    named = {"hub": model["hub"], "revision": model.get("revision"), "dtype": model.get("dtype", _DTYPE)}
    return {**named, "stops": _stops(config, generation)}


def _build(config: Mapping[str, Any], generation: Mapping[str, Any] | None) -> dict[str, Any]:
    said = models.meaning(dict(config))
    said.pop("use_cache", None)  # training turns it off; vLLM has a cache of its own
    own = said.pop("dtype", None) or said.pop("torch_dtype", None)
    return {**said, "dtype": own, "stops": _stops(config, generation)}


def _stops(config: Mapping[str, Any], generation: Mapping[str, Any] | None) -> list[Any]:
    """The tokens that end what is generated: an engine has those of the weights it began with."""
    found = (generation or {}).get("eos_token_id", config.get("eos_token_id"))
    return sorted(found) if isinstance(found, list) else [found]


def _of_hub(base: Mapping[str, Any], file: str) -> dict[str, Any]:
    """A JSON file of a hub's model, from the local cache; empty where it is not there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(str(base["hub"]), file, revision=base.get("revision"))
    return (read_json(Path(found)) or {}) if isinstance(found, str) else {}


def _spec_beside(checkpoint: Path) -> dict[str, Any]:
    """That of the run folder a checkpoint lies in, as its end or a step on its way; empty elsewhere."""
    step = checkpoint.parent.name == "checkpoints"
    if not step and checkpoint.name != "checkpoint":
        return {}
    return read_json(checkpoint.parents[1 if step else 0] / "spec.json") or {}


def _shape(model: Mapping[str, Any]) -> dict[str, Any]:
    return {"shape": model["shape"], "overrides": model.get("overrides") or {}, "dtype": model.get("dtype", _DTYPE)}


def _vocabulary(checkpoint: Path, spec: Mapping[str, Any] | None) -> list[Any]:
    """Rows of the embeddings, and whether the output layer shares them; training can change what a shape says."""
    config = read_json(checkpoint / "config.json") or {}
    model = (spec or {}).get("model")
    if isinstance(model, Mapping) and "shape" in model:
        rows, tied = _shape_vocabulary(model)
        return [config.get("vocab_size", rows), config.get("tie_word_embeddings", tied)]
    return _rows_and_tie(config)


def _rows_and_tie(config: Mapping[str, Any]) -> list[Any]:
    return [config.get("vocab_size"), config.get("tie_word_embeddings", True)]  # transformers' own default


def _vocabulary_on(base: Mapping[str, Any], tensors: Mapping[str, list[int]] | None) -> list[Any]:
    """The same of a base with an adapter merged into it: one that changes embeddings or output layer alone parts them.

    vLLM gives an engine with shared embeddings no output layer of its own, and an engine no other number of rows.
    """
    if "hub" in base:
        rows, tied = _rows_and_tie(_of_hub(base, "config.json"))
    elif "shape" in base:
        rows, tied = _shape_vocabulary(base)
    else:
        folder = Path(base["path"])
        config = read_json(folder / "adapter_config.json")
        below = _vocabulary_on(base_of(folder, config), _tensors(folder)) if config else _vocabulary(folder, None)
        rows, tied = below
    own = {name: shape for name, shape in (tensors or {}).items() if _VOCABULARY.search(name)}
    if not own:
        return [rows, tied]
    whole = [shape[0] for name, shape in own.items() if ".lora_" not in name and len(shape) == 2]
    return [max(whole, default=rows), False]


def _shape_vocabulary(model: Mapping[str, Any]) -> tuple[Any, Any]:
    known = models.SHAPES.get(str(model["shape"]))  # of a shape of another version nothing is known
    facts = {**(known.config if known else {}), **(model.get("overrides") or {})}
    return facts.get("vocab_size"), facts.get("tie_word_embeddings")


def _tokenizer(checkpoint: Path, base: Mapping[str, Any]) -> str:
    """A tokenizer beside an adapter is the one it is scored with; without one, its base's."""
    own = models.tokenizer_hash(checkpoint)
    return models.tokenizer_hash(Path(base["path"])) if "path" in base and own == of_value([]) else own
