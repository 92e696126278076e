"""The tensors a training holds from its first step to its last: weights of the model and of an adapter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.models.architecture import Architecture, Unknown

WIDTHS: Mapping[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of one element by dtype."""

# What PEFT targets where a suite names no modules: peft.utils.constants, TRANSFORMERS_MODELS_TO_LORA_….
_DEFAULT_TARGETS = ("q_proj", "v_proj")
_ADAPTER_WIDTH = 4  # PEFT trains adapters in fp32 on a half-precision base (`autocast_adapter_dtype`)
_UNKNOWN_LORA = (
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "layer_replication",
    "megatron_config",
    "arrow_config",
    "use_bdlora",
    "kasa_config",
    "velora_config",
    "ensure_weight_tying",
    "monteclora_config",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """Equal tensors that are held: `count` of `shape`, `width` bytes an element."""

    shape: tuple[int, ...]
    count: int
    width: int
    trained: bool
    embedding: bool = False

    @property
    def numel(self) -> int:
        """Elements of one of them."""
        size = 1
        for side in self.shape:
            size *= side
        return size

    @property
    def bytes(self) -> int:
        """Bytes of all of them."""
        return self.numel * self.count * self.width


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapted:
    """One linear module of a layer that carries an adapter of this rank."""

    inputs: int
    outputs: int
    rank: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapter:
    """An adapter: its tensors, and the modules it sits on, by their names within a layer."""

    tensors: tuple[Held, ...]
    on: Mapping[str, Adapted]
    dropout: bool = False  # on what its modules read
    dora: bool = False
    partial: bool = False  # some layers lack a module of it that others have


def weights(arch: Architecture, width: int, *, trained: bool) -> tuple[Held, ...]:
    """The model's own tensors; all trained, or all frozen under an adapter."""
    found = [
        Held(shape=weight.shape, count=weight.count * arch.layers, width=width, trained=trained)
        for weight in arch.layer
    ]
    found += [
        Held(
            shape=weight.shape,
            count=weight.count,
            width=width,
            trained=trained,
            embedding=weight.module == "model.embed_tokens",
        )
        for weight in arch.ends
    ]
    return tuple(found)


def adapter(arch: Architecture, lora: Mapping[str, Any]) -> Adapter:
    """The adapter that PEFT's LoraConfig with these fields adds, by PEFT's rules for names (peft 0.21).

    Raises:
        Unknown: a field changes what is added in a way that is not known here, or nothing is targeted.
    """
    strange = [name for name in _UNKNOWN_LORA if lora.get(name)]
    if lora.get("bias", "none") != "none":
        strange.append("bias")
    if strange:
        raise Unknown(f"what lora.{strange[0]} adds is not known here")
    tensors: list[Held] = []
    on: dict[str, Adapted] = {}
    partial = False
    for module, (inputs, outputs), ranks in _targeted(arch, lora):
        for rank in sorted(set(ranks)):
            layers = ranks.count(rank)
            tensors += _pair(inputs, outputs, rank, layers, lora)
            if module in arch.linears:
                on[module] = Adapted(inputs=inputs, outputs=outputs, rank=rank)
        partial = partial or (module in arch.linears and len(ranks) < arch.layers)
    if not tensors:
        raise Unknown("lora targets no module of this architecture")
    dropout = float(lora.get("lora_dropout") or 0) > 0
    dora = bool(lora.get("use_dora"))
    return Adapter(tensors=tuple(tensors), on=on, dropout=dropout, dora=dora, partial=partial)


def _pair(inputs: int, outputs: int, rank: int, layers: int, lora: Mapping[str, Any]) -> Iterator[Held]:
    shapes = [(rank, inputs), (outputs, rank)]
    if lora.get("use_dora"):
        shapes.append((outputs, 1))
    for shape in shapes:
        yield Held(shape=shape, count=layers, width=_ADAPTER_WIDTH, trained=True)
    if lora.get("lora_bias"):
        yield Held(shape=(outputs,), count=layers, width=_ADAPTER_WIDTH, trained=True)


def _targeted(arch: Architecture, lora: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, int], list[int]]]:
    """Each kind of module that is targeted: its name in a layer, its sides, and the ranks of its instances."""
    for module, sides in arch.linears.items():
        names = [f"model.layers.{index}.{module}" for index in range(arch.layers)]
        ranks = [_rank(name, lora) for index, name in enumerate(names) if _takes(name, index, lora)]
        if ranks:
            yield module, sides, ranks
    if lora.get("layers_to_transform") not in (None, []):
        return  # PEFT then leaves out what lies in no layer
    for module in ("model.embed_tokens", "lm_head"):
        if _named(module, lora) and not _excluded(module, lora):
            yield (
                module,
                (arch.vocab, arch.hidden) if "embed" in module else (arch.hidden, arch.vocab),
                [_rank(module, lora)],
            )


def _takes(name: str, index: int, lora: Mapping[str, Any]) -> bool:
    chosen = lora.get("layers_to_transform")
    if chosen not in (None, []) and index not in ([chosen] if isinstance(chosen, int) else chosen):
        return False
    targets = lora.get("target_modules")
    everything = isinstance(targets, str) and targets.lower() == "all-linear"
    return (everything or _named(name, lora)) and not _excluded(name, lora)


def _named(name: str, lora: Mapping[str, Any]) -> bool:
    targets = lora.get("target_modules")
    if isinstance(targets, str) and targets.lower() == "all-linear":
        return False  # every linear module but the head; the layers' are added without asking for their names
    return _matches(name, _DEFAULT_TARGETS if targets is None else targets)


def _excluded(name: str, lora: Mapping[str, Any]) -> bool:
    excluded = lora.get("exclude_modules")
    return _matches(name, excluded) if excluded else False


def _matches(name: str, wanted: str | Iterable[str]) -> bool:
    """PEFT's `check_target_module_exists`: a text is a pattern for the whole name, a list holds names or their ends."""
    if isinstance(wanted, str):
        try:
            return re.fullmatch(wanted, name) is not None
        except re.error as error:
            raise Unknown(f"lora.target_modules is no pattern: {error}") from error
    return any(name == one or name.endswith(f".{one}") for one in wanted)


def _rank(name: str, lora: Mapping[str, Any]) -> int:
    """The rank of one module: that of the first pattern of `rank_pattern` that its name ends with, else `r`."""
    for pattern, rank in (lora.get("rank_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return int(rank)
    return int(lora.get("r", 8))
