"""Supervised fine-tuning: TRL's SFTTrainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.methods.build import build_sft
from harness.methods.method import Method


def loss_tokens(batch: Mapping[str, Any], trainer: Any) -> Any:
    """Positions whose label carries loss: not -100 once labels are shifted by one, as the causal loss does."""
    return (batch["labels"][:, 1:] != -100).sum()


def samples(batch: Mapping[str, Any]) -> int:
    """Documents: rows of the tensor; where packing or padding-free lays several in a row, boundaries less one."""
    boundaries = batch.get("cu_seq_lens_q")
    return int(batch["input_ids"].shape[0] if boundaries is None else boundaries.shape[0] - 1)


SFT = Method(
    name="sft",
    title="Supervised fine-tuning",
    config_class="trl:SFTConfig",
    trainer_class="trl:SFTTrainer",
    formats=("prompt_completion", "language_modeling"),
    build=build_sft,
    loss_tokens=loss_tokens,
    samples=samples,
    template_columns=("tools", "chat_template_kwargs"),
)
