"""What a configuration needs beside the base install: packages, and hardware that only shows itself in the worker.

A cell whose packages are not installed is left out of the plan and says why: a Liger level in a suite must not turn
into a crash on a machine without Liger, nor into a training without it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

Installed = Callable[[str], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """A distribution that something asks for; `extra` is the extra of this package that brings it, if one does."""

    distribution: str
    extra: str | None = None

    def missing(self, asked: str, environment: str | None = None) -> str:
        """Why a cell that asks for it does not run here, or not in its environment."""
        if environment is not None:
            return f"{asked} needs {self.distribution}, which environment {environment!r} does not have"
        how = f"pip install 'trl-harness[{self.extra}]'" if self.extra else f"pip install {self.distribution}"
        return f"{asked} needs {self.distribution}, which is not installed here ({how})"


_LIGER = Need(distribution="liger-kernel", extra="gpu")
_BITSANDBYTES = Need(distribution="bitsandbytes", extra="gpu")
_TORCHAO = Need(distribution="torchao")

# The names of transformers' `OptimizerNames`, by the package whose class its `_get_optimizer…` functions build.
_OPTIMIZERS: Mapping[str, Need] = {
    **dict.fromkeys(
        (
            "adamw_bnb_8bit",
            "adamw_8bit",
            "ademamix",
            "ademamix_8bit",
            "lion_8bit",
            "lion_32bit",
            "paged_adamw_32bit",
            "paged_adamw_8bit",
            "paged_ademamix_32bit",
            "paged_ademamix_8bit",
            "paged_lion_32bit",
            "paged_lion_8bit",
            "rmsprop_bnb",
            "rmsprop_bnb_8bit",
            "rmsprop_bnb_32bit",
        ),
        _BITSANDBYTES,
    ),
    "adamw_torch_4bit": _TORCHAO,
    "adamw_torch_8bit": _TORCHAO,
    **dict.fromkeys(
        (
            "galore_adamw",
            "galore_adamw_8bit",
            "galore_adafactor",
            "galore_adamw_layerwise",
            "galore_adamw_8bit_layerwise",
            "galore_adafactor_layerwise",
        ),
        Need(distribution="galore-torch"),
    ),
    **dict.fromkeys(("apollo_adamw", "apollo_adamw_layerwise"), Need(distribution="apollo-torch")),
    **dict.fromkeys(
        ("schedule_free_adamw", "schedule_free_radam", "schedule_free_sgd"), Need(distribution="schedulefree")
    ),
    **dict.fromkeys(("lomo", "adalomo"), Need(distribution="lomo-optim")),
    "stable_adamw": Need(distribution="torch-optimi"),
    "grokadamw": Need(distribution="grokadamw"),
    "adamw_anyprecision": Need(distribution="torchdistx"),
    "adamw_torch_xla": Need(distribution="torch-xla"),
    "adamw_torch_npu_fused": Need(distribution="torch-npu"),
}
_ATTENTION: Mapping[str, Need] = {
    "flash_attention_2": Need(distribution="flash-attn"),
    "flash_attention_3": Need(distribution="flash-attn-3"),
    "flash_attention_4": Need(distribution="flash-attn-4"),
}

OF_A_GPU: Mapping[str, str] = {
    "activation_offloading": "TRL moves activations off a GPU",
    "tf32": "only a GPU multiplies in TF32 (transformers refuses it without one)",
}
"""Fields of `train` that only a GPU can do, and why. `bf16` a CPU does too, slowly; `fp16` it does not (a note)."""

KERNELS_OF_A_GPU: Mapping[str, str] = {"flex_attention": "torch has no backward of it on a CPU"}
"""Attention kernels that only a GPU can train with, and why."""


def unmet(config: Mapping[str, Any], installed: Installed | None = None) -> list[str]:
    """Why a cell's configuration cannot run here, one sentence for each package that is missing; empty when it can.

    `installed` tells whether a distribution is in the cell's environment; by default it looks among this interpreter's
    packages, which are the workers' too.
    """
    there, where = installed or is_installed, config.get("environment")
    lacking = [need.missing(asked, where) for asked, need in _needs(config) if not there(need.distribution)]
    return list(dict.fromkeys(lacking))


def _needs(config: Mapping[str, Any]) -> Iterator[tuple[str, Need]]:
    train = config.get("train") or {}
    if train.get("use_liger_kernel"):
        yield "train.use_liger_kernel", _LIGER
    optimizer = str(train.get("optim"))
    if optimizer in _OPTIMIZERS:
        yield f"train.optim: {optimizer}", _OPTIMIZERS[optimizer]
    attention = str((config.get("model") or {}).get("attn_implementation"))
    if attention in _ATTENTION:
        yield f"model.attn_implementation: {attention}", _ATTENTION[attention]


@functools.cache
def is_installed(distribution: str) -> bool:
    """Whether a distribution is installed, without importing it."""
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
