"""Direct preference optimization: TRL's DPOTrainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.methods.build import build_dpo
from harness.methods.method import LENGTH_SAMPLERS, Method


def loss_tokens(batch: Mapping[str, Any], trainer: Any) -> Any:
    """Completion positions of chosen and rejected, which DPOTrainer sums log-probabilities over.

    The loss type `sft` alone falls on the chosen half of the batch.
    """
    mask = batch["completion_mask"][:, 1:]
    return mask[: samples(batch)].sum() if trainer.loss_types == ["sft"] else mask.sum()


def samples(batch: Mapping[str, Any]) -> int:
    """Preference pairs: chosen and rejected are stacked along the batch."""
    return int(batch["input_ids"].shape[0]) // 2


DPO = Method(
    name="dpo",
    title="Direct preference optimization",
    config_class="trl:DPOConfig",
    trainer_class="trl:DPOTrainer",
    formats=("preference",),
    build=build_dpo,
    loss_tokens=loss_tokens,
    samples=samples,
    template_columns=("tools", "chat_template_kwargs"),
    reference=True,
    refuses={
        "packing": "TRL's DPOTrainer has no packing: a pair's sequences are compared whole",
        "packing_strategy": "TRL's DPOTrainer has no packing",
        "eval_packing": "TRL's DPOTrainer has no packing",
        "padding_free": "TRL 1.16 warns and falls back to padding for DPO",
        "assistant_only_loss": "DPO's loss falls on the completions; TRL has no assistant mask for it",
        "completion_only_loss": "DPO's loss falls on the completions alone; it cannot be put on the prompt",
    },
    refuses_with_lora={
        "sync_ref_model": "with an adapter the reference is the base model with the adapter off: nothing to sync",
    },
    refuses_values=LENGTH_SAMPLERS,
)
