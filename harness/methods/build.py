"""Builds TRL's own config and trainer for a method. Imports the training stack inside functions: runs in the child."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping
from typing import Any

from harness.records.suite import Reference


def load_class(name: str) -> Any:
    """The class behind `module:Name`."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def build_sft(
    *,
    model: Any,
    tokenizer: Any,
    prepared: Any,
    config: Mapping[str, Any],
    lora: Any,
    reference: None = None,
) -> Any:
    """TRL's SFTTrainer over `prepared` rows; `lora` is a PEFT config or None."""
    from trl import SFTConfig, SFTTrainer

    return SFTTrainer(args=SFTConfig(**config), **_common(model, tokenizer, prepared, lora))


def build_dpo(
    *,
    model: Any,
    tokenizer: Any,
    prepared: Any,
    config: Mapping[str, Any],
    lora: Any,
    reference: Reference | None = None,
) -> Any:
    """TRL's DPOTrainer. The reference is the policy as it starts.

    With LoRA TRL turns the adapter off for the reference (`shared`), unless `explicit` asks for a copy. Without it TRL
    1.16 would load the reference anew by the model's name, which random weights and merged checkpoints do not have, so
    a copy of the policy is handed over; with `precompute_ref_log_probs` TRL forwards the policy itself once before
    training and keeps no reference.
    """
    from trl import DPOConfig, DPOTrainer

    args = DPOConfig(**config)
    separate = (lora is None or reference == "explicit") and not args.precompute_ref_log_probs
    copied = copy.deepcopy(model) if separate else None
    return DPOTrainer(ref_model=copied, args=args, **_common(model, tokenizer, prepared, lora))


def build_orpo(
    *,
    model: Any,
    tokenizer: Any,
    prepared: Any,
    config: Mapping[str, Any],
    lora: Any,
    reference: None = None,
) -> Any:
    """TRL's experimental ORPOTrainer; there is no reference model."""
    import os

    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    return ORPOTrainer(args=ORPOConfig(**config), **_common(model, tokenizer, prepared, lora))


def _common(model: Any, tokenizer: Any, prepared: Any, lora: Any) -> dict[str, Any]:
    """What every TRL trainer takes. Evaluation rows only where there are some."""
    return {
        "model": model,
        "processing_class": tokenizer,
        "train_dataset": prepared.train,
        "eval_dataset": prepared.eval or None,  # an empty dataset is none
        "peft_config": lora,
    }
