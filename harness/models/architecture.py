"""What an architecture's config says of its weights: every tensor's shape, without loading any. Light.

Known are the decoders built like Llama (RMSNorm, rotary positions, grouped-query attention, gated MLP), read in the
installed transformers' `modeling_llama.py`, `modeling_qwen2.py`, `modeling_qwen3.py` and `modeling_mistral.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import ModelError
from harness.models.identity import shape_of

# The defaults of the config classes of transformers 5.19: config.json leaves out what equals them.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "llama": {"vocab_size": 32000, "intermediate_size": 11008, "max_position_embeddings": 2048},
    "mistral": {
        "vocab_size": 32000,
        "intermediate_size": 14336,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
    },
    "qwen2": {
        "vocab_size": 151936,
        "intermediate_size": 22016,
        "num_key_value_heads": 32,
        "max_position_embeddings": 32768,
    },
    "qwen3": {
        "vocab_size": 151936,
        "intermediate_size": 22016,
        "num_key_value_heads": 32,
        "head_dim": 128,
        "max_position_embeddings": 32768,
    },
}
_COMMON: Mapping[str, Any] = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "hidden_act": "silu",
    "attention_dropout": 0.0,
    "max_window_layers": 28,
}
_WINDOW = 4096


class Unknown(Exception):
    """Why nothing can be said of a model before it is loaded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Weight:
    """Equal tensors of a model: `count` of `shape`. `module` is the module's name within its layer, or in the model."""

    module: str
    shape: tuple[int, ...]
    count: int = 1

    @property
    def numel(self) -> int:
        """Elements of one of them."""
        size = 1
        for side in self.shape:
            size *= side
        return size


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """A decoder's dimensions. `queries` and `keys` are heads × head dimension; `tied`: the head is the embedding."""

    model_type: str
    vocab: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    queries: int
    keys: int
    tied: bool
    qkv_bias: bool
    o_bias: bool
    mlp_bias: bool
    qk_norm: int  # size of the norms over queries and keys; 0 without
    positions: int  # the longest sequence it was made for
    activation: str  # the MLP's, by transformers' name
    dropout: bool  # in attention
    window: int | None  # positions that a layer attends to at most
    windowed: int  # the layers that keep to the window

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """The linear modules of a layer by name: (inputs, outputs)."""
        hidden, inner = self.hidden, self.intermediate
        return {
            "self_attn.q_proj": (hidden, self.queries),
            "self_attn.k_proj": (hidden, self.keys),
            "self_attn.v_proj": (hidden, self.keys),
            "self_attn.o_proj": (self.queries, hidden),
            "mlp.gate_proj": (hidden, inner),
            "mlp.up_proj": (hidden, inner),
            "mlp.down_proj": (inner, hidden),
        }

    @property
    def layer(self) -> tuple[Weight, ...]:
        """The tensors of one layer."""
        found = [Weight(module=name, shape=(outs, ins)) for name, (ins, outs) in self.linears.items()]
        for name, (_, outs) in self.linears.items():
            if self._biased(name):
                found.append(Weight(module=name, shape=(outs,)))
        found.append(Weight(module="norms", shape=(self.hidden,), count=2))
        if self.qk_norm:
            found.append(Weight(module="qk_norms", shape=(self.qk_norm,), count=2))
        return tuple(found)

    @property
    def ends(self) -> tuple[Weight, ...]:
        """The tensors outside the layers: embedding, last norm, and the head where it is not the embedding."""
        embedding = Weight(module="model.embed_tokens", shape=(self.vocab, self.hidden))
        norm = Weight(module="model.norm", shape=(self.hidden,))
        head = Weight(module="lm_head", shape=(self.vocab, self.hidden))
        return (embedding, norm) if self.tied else (embedding, norm, head)

    @property
    def parameters(self) -> int:
        """All parameters, tied ones once."""
        layer = sum(weight.numel * weight.count for weight in self.layer)
        return self.layers * layer + sum(weight.numel for weight in self.ends)

    def _biased(self, name: str) -> bool:
        if name.startswith("mlp."):
            return self.mlp_bias
        return self.o_bias if name.endswith("o_proj") else self.qkv_bias


def architecture(model: Mapping[str, Any], root: Path) -> Architecture:
    """The architecture of a ShapeModel, PathModel or HubModel given as a mapping; paths are relative to `root`.

    Of a model on the hub only what lies in the local cache is looked at.

    Raises:
        Unknown: it is not one of the known ones, or its config cannot be had here.
    """
    if "shape" in model:
        try:
            shape = shape_of(model)
        except ModelError as error:
            raise Unknown(error.problems[0].what) from error
        return of_config({"model_type": shape.model_type, **shape.config, **(model.get("overrides") or {})})
    if "path" in model:
        folder = root / Path(str(model["path"])).expanduser()
        file = folder / "config.json"
        if (folder / "adapter_config.json").is_file() and not file.is_file():
            raise Unknown("it starts from an adapter, whose base is not looked into")
        return of_config(_read(file))
    return of_config(_read(_cached(str(model["hub"]), model.get("revision"))))


def of_config(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a config.json (or a shape's facts) describes.

    Raises:
        Unknown: a model type that is not known here, or dimensions that make no sense.
    """
    kind = str(config.get("model_type"))
    if kind not in _DEFAULTS:
        raise Unknown(f"the architecture {kind!r} is not one whose memory is known here ({', '.join(_DEFAULTS)})")
    if config.get("quantization_config"):
        raise Unknown("its weights are quantized")
    said = {name: value for name, value in config.items() if value is not None}
    full = {**_COMMON, **_DEFAULTS[kind], **said}
    try:
        heads = int(full["num_attention_heads"])
        head = int(full.get("head_dim") or int(full["hidden_size"]) // heads)
        return Architecture(
            model_type=kind,
            vocab=int(full["vocab_size"]),
            hidden=int(full["hidden_size"]),
            intermediate=int(full["intermediate_size"]),
            layers=int(full["num_hidden_layers"]),
            heads=heads,
            queries=heads * head,
            keys=_groups(config, kind, heads) * head,
            tied=bool(full["tie_word_embeddings"]),
            qkv_bias=kind == "qwen2" or (kind in ("llama", "qwen3") and bool(full["attention_bias"])),
            o_bias=kind in ("llama", "qwen3") and bool(full["attention_bias"]),
            mlp_bias=kind == "llama" and bool(full["mlp_bias"]),
            qk_norm=head if kind == "qwen3" else 0,
            positions=int(full["max_position_embeddings"]),
            activation=str(full["hidden_act"]),
            dropout=float(full["attention_dropout"]) > 0,
            window=_window(config, kind),
            windowed=_windowed(full, kind),
        )
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise Unknown(f"its config makes no sense: {error}") from error


def _groups(config: Mapping[str, Any], kind: str, heads: int) -> int:
    """Heads of keys and values. A null means one for each head of queries, where the class's default may not."""
    return int(config.get("num_key_value_heads", _DEFAULTS[kind].get("num_key_value_heads")) or heads)


def _window(config: Mapping[str, Any], kind: str) -> int | None:
    """The sliding window; a null means none, where the class's default is one. Llama has none, whatever it names."""
    read = kind == "mistral" or (kind in ("qwen2", "qwen3") and bool(config.get("use_sliding_window")))
    window = config.get("sliding_window", _WINDOW) if read else None
    return None if window is None else int(window)


def _windowed(full: Mapping[str, Any], kind: str) -> int:
    """The layers that keep to a window, where there is one: all of Mistral's, those that Qwen names."""
    layers = int(full["num_hidden_layers"])
    if kind == "mistral":
        return layers
    if full.get("layer_types"):
        return list(full["layer_types"]).count("sliding_attention")
    return max(0, layers - int(full["max_window_layers"]))


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise Unknown(f"{file.name} cannot be read") from error
    if not isinstance(found, dict):
        raise Unknown(f"{file.name} holds no mapping")
    return found


def _cached(name: str, revision: str | None) -> Path:
    """config.json of a hub model in the local cache, in the layout of huggingface_hub: snapshots by commit."""
    home = Path(
        os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    )
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    folder = hub / f"models--{name.replace('/', '--')}"
    named = folder / "refs" / (revision or "main")
    try:
        commit = named.read_text("utf-8").strip()
    except OSError:
        commit = revision or ""
    file = folder / "snapshots" / commit / "config.json"
    if not commit or not file.is_file():
        raise Unknown("it lies on the hub and not in the local cache, where nothing is downloaded for a prediction")
    return file
