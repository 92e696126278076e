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
    """TRL's experimental ORPOTrainer; there is no reference model.

    It renders messages in its second map, when datasets has written them anew after the first, some numbers in tool
    calls with other digits (see `harness.data.dataset`): so it is given texts, rendered by the function it uses itself.
    """
    import os

    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    args = ORPOConfig(**config)
    given = _common(model, tokenizer, prepared, lora)
    for name in ("train_dataset", "eval_dataset"):
        if given[name] is not None:
            given[name] = _rendered(given[name], tokenizer, args.dataset_num_proc)
    return ORPOTrainer(args=args, **given)


def _rendered(rows: Any, tokenizer: Any, processes: int | None) -> Any:
    """Preference rows as texts; those that are texts already as they are."""
    if isinstance(rows[0]["prompt"], str):
        return rows
    from datasets import Features, Value
    from trl.data_utils import maybe_apply_chat_template

    return rows.map(
        maybe_apply_chat_template,
        fn_kwargs={"processing_class": tokenizer},
        remove_columns=rows.column_names,
        features=Features({name: Value("string") for name in ("prompt", "chosen", "rejected")}),
        num_proc=processes,
    )


def _common(model: Any, tokenizer: Any, prepared: Any, lora: Any) -> dict[str, Any]:
    """What every TRL trainer takes. Evaluation rows only where there are some."""
    return {
        "model": model,
        "processing_class": tokenizer,
        "train_dataset": prepared.train,
        "eval_dataset": prepared.eval or None,  # an empty dataset is none
        "peft_config": lora,
    }
