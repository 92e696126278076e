"""Where a field that a suite sets shows in what was active, and with what it has to be on to act at all.

Seen in TRL 1.16, transformers 5.19 and PEFT 0.21. A field that is named nowhere here shows under its own name, or
nobody knows where: then nothing is said of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol


class Asked(Protocol):
    """A field that two specs set differently."""

    @property
    def name(self) -> str:
        """`train.packing`, `lora.r`, …"""


_SHOWS_IN: Mapping[str, tuple[str, ...]] = {
    "method": ("trainer", "loss_type", "reference"),
    "model.attn_implementation": ("attention", "attention_backends", "attention_kernels"),
    "model.dtype": ("dtype", "dtypes", "trained_dtypes"),
    "reference": ("reference",),
    **dict.fromkeys(("train.adam_beta1", "train.adam_beta2", "train.adam_epsilon"), ("optimizer_options",)),
    "train.bf16": ("mixed_precision",),
    "train.fp16": ("mixed_precision",),
    "train.dataloader_num_workers": ("data_loader",),
    "train.gradient_accumulation_steps": ("batch",),
    "train.gradient_checkpointing": ("gradient_checkpointing", "checkpointing"),
    "train.gradient_checkpointing_kwargs": ("checkpointing",),
    "train.lr_scheduler_type": ("scheduler",),
    "train.num_train_epochs": ("max_steps",),
    "train.optim": (
        "optimizer",
        "optimizer_package",
        "optimizer_options",
        "optimizer_state",
        "optimizer_kernel",
        "optimizer_paged",
    ),
    "train.optim_args": ("optimizer_options",),
    "train.per_device_train_batch_size": ("batch",),
    "train.precompute_ref_log_probs": ("reference",),
    "train.torch_compile": ("compiled",),
    "train.use_liger_kernel": ("liger", "patched"),
    "train.weight_decay": ("optimizer_options",),
}
"""Where the trainer shows what a field of the suite asked for, when it is not under the field's own name."""
_OF_PATTERNS: Mapping[str, str] = {"alpha_pattern": "lora_alpha", "rank_pattern": "r"}
"""Fields of `lora` that set another one for some layers, and show there."""
_SCALES = ("r", "lora_alpha", "use_rslora", *_OF_PATTERNS)
"""Fields of `lora` from which the adapter's scaling follows."""
_MAY_SHOW_IN: Mapping[str, tuple[str, ...]] = {
    "model.hub": ("tokenizer",),
    "model.path": ("tokenizer",),
    "model.shape": ("tokenizer",),
    "train.chat_template_path": ("tokenizer",),
    "train.eos_token": ("tokenizer",),
    "train.pad_token": ("tokenizer",),
    "train.eval_packing": ("eval_rows",),
    "train.eval_strategy": ("config.do_eval",),
    "train.dataloader_persistent_workers": ("data_loader",),
    "train.dataloader_pin_memory": ("data_loader",),
    "train.dataloader_prefetch_factor": ("data_loader",),
    "train.full_determinism": ("numerics",),
    "train.optim_args": ("optimizer_kernel", "optimizer_state"),
    "train.tf32": ("numerics",),
    "train.torch_compile_backend": ("compiled",),
    "train.torch_compile_mode": ("compiled",),
    "train.use_cpu": ("device",),
}
"""Where a field's effect may show, while a fact that stays the same says nothing: the effect may lie elsewhere too."""


_WHAT_ASKED: Mapping[str, Mapping[str, str]] = {"reference": {"explicit": "copy", "shared": "adapter_off"}}
"""Values of a field, and the value of the fact of its name that is what was asked for."""


def _one_of(*values: str) -> Callable[[Any], bool]:
    """Whether a fact, or one of several values of it, is among these."""
    return lambda told: any(value in values for value in (told if isinstance(told, list | tuple) else [told]))


def _several(told: Any) -> bool:
    return bool(told > 1)


_SYNCED: tuple[str, Callable[[Any], bool]] = ("config.sync_ref_model", bool)
_PARALLEL: tuple[str, Callable[[Any], bool]] = ("world_size", _several)
_ACTS_WITH: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "train.average_tokens_across_devices": _PARALLEL,
    "train.ddp_broadcast_buffers": _PARALLEL,
    "train.ddp_bucket_cap_mb": _PARALLEL,
    "train.ddp_find_unused_parameters": _PARALLEL,
    "train.ddp_static_graph": _PARALLEL,
    "train.discopop_tau": ("loss_type", _one_of("discopop")),
    "train.f_alpha_divergence_coef": ("config.f_divergence_type", _one_of("alpha_divergence")),
    "train.gradient_checkpointing_kwargs": ("gradient_checkpointing", bool),
    "train.label_smoothing": ("loss_type", _one_of("aot", "aot_unpaired", "exo_pair", "robust")),
    "train.label_smoothing_factor": (
        "loss_type",
        lambda told: told in ("nll", "chunked_nll", "sft"),
    ),  # DPO's are lists
    "train.liger_kernel_config": ("liger", bool),
    "train.optim_target_modules": ("config.optim", lambda told: str(told).startswith(("galore_", "apollo_"))),
    "train.packing_strategy": ("packing", bool),
    "train.precompute_ref_batch_size": ("config.precompute_ref_log_probs", bool),
    "train.ref_model_mixup_alpha": _SYNCED,
    "train.ref_model_sync_steps": _SYNCED,
    "train.warmup_steps": ("scheduler", lambda told: told not in ("constant", "greedy", "reduce_lr_on_plateau")),
}
"""A fact beside which a field does something, and for which of its values; beside others TRL takes it in silence."""


def followed(asked: str) -> Iterator[str]:
    """Where the resolved configuration repeats what a field of `train` asks for."""
    root, _, rest = asked.partition(".")
    if root == "train":
        yield f"config.{rest.partition('.')[0]}"
    if asked == "train.torch_compile":
        yield "config.torch_compile_backend"  # none where nothing is compiled


def shows(asked: str, fact: str) -> bool:
    """Whether a fact of what was active is where an asked field shows: `train.packing` in packing, `lora.r` in the
    adapter's r.
    """
    root, _, name = asked.partition(".")
    if root == "lora":
        # On how many modules it sits follows from many fields.
        places = (_in_adapter(name), "modules", *(["scaling"] if name.partition(".")[0] in _SCALES else []))
        named = not name or fact.endswith(tuple(f".{place}" for place in places))
        return fact == "adapter" or (fact.startswith("adapter.") and named)
    if root == "data":
        return fact in ("train_rows", "eval_rows")
    may = _MAY_SHOW_IN.get(".".join(asked.split(".")[:2]), ())
    return is_under(fact, (*_places_of(asked), *may))


def _in_adapter(name: str) -> str:
    """What of an adapter a field of `lora` decides: `rank_pattern.q_proj` is about r."""
    return _OF_PATTERNS.get(name.partition(".")[0], name)


def _places_of(asked: str) -> tuple[str, ...]:
    """Names of the facts in which an asked field shows; a field of `train` shows under its own name unless told."""
    root, _, rest = asked.partition(".")
    name = rest.partition(".")[0]
    return _SHOWS_IN.get(f"{root}.{name}" if name else root, (name,) if root == "train" else ())


def kept(name: str, value: Any, active: Mapping[str, Any]) -> bool:
    """Whether a trial that asked for this value of a field shows it, though another that did not may show it too: with
    LoRA a copy as the reference is asked for, without it is there anyway.
    """
    told = _WHAT_ASKED.get(name, {}).get(value) if isinstance(value, str) else None
    return told is not None and active.get(name) == told


def known(asked: str, active: Mapping[str, Any]) -> bool:
    """Whether what was active tells of a field, otherwise than by repeating the configuration."""
    root, _, name = asked.partition(".")
    if root == "lora":
        return any(_in_adapter(name) in adapter for adapter in mapping(active.get("adapter")).values())
    return any(place in active for place in _places_of(asked))


def ignored(asked: Asked, *active: Mapping[str, Any]) -> bool:
    """Whether a field of `train` cannot have acted: in all what it acts with is off, or its resolved value is one."""
    root, _, rest = asked.name.partition(".")
    name = rest.partition(".")[0]
    gate = _ACTS_WITH.get(f"{root}.{name}")
    if gate and all(_is_off(side, *gate) for side in active):
        return True
    configs = [mapping(side.get("config")) for side in active]
    if root != "train" or name.endswith("_token") or not all(name in config for config in configs):
        return False  # Hugging Face writes <EOS_TOKEN> in place of a token
    return same(*(config[name] for config in configs))


def _is_off(active: Mapping[str, Any], place: str, acts: Callable[[Any], bool]) -> bool:
    """Whether a fact, or a field of the resolved configuration, is told and is none beside which another acts."""
    root, _, name = place.partition(".")
    told = mapping(active.get(root)).get(name) if name else active.get(root)
    return told is not None and not acts(told)


def is_under(name: str, roots: Iterable[str]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values; nothing is as good as an empty mapping or list."""
    return _equal(one, other) or (_is_empty(one) and _is_empty(other))


def _equal(one: Any, other: Any) -> bool:
    """1 is 1.0 and true is not 1, at any depth; Python's own equality takes true for 1."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, Mapping | list | tuple) and not value)


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
