"""Odds-ratio preference optimization: TRL's experimental ORPOTrainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.methods.build import build_orpo
from harness.methods.method import Method


def loss_tokens(batch: Mapping[str, Any], trainer: Any) -> Any:
    """Positions that carry loss, each once: the NLL covers prompt and response of chosen, the odds ratio both completions.

    ORPOTrainer's NLL runs over every real token of the chosen sequence; its odds ratio over completion labels of
    chosen (within the former) and of rejected. So: real chosen positions after the shift, and rejected labels after it.
    """
    chosen = batch["chosen_attention_mask"][:, 1:].sum()
    rejected = (batch["rejected_labels"][:, 1:] != -100).sum()
    return chosen + rejected


def samples(batch: Mapping[str, Any]) -> int:
    """Preference pairs."""
    return int(batch["chosen_input_ids"].shape[0])


ORPO = Method(
    name="orpo",
    title="Odds-ratio preference optimization",
    config_class="trl.experimental.orpo:ORPOConfig",
    trainer_class="trl.experimental.orpo:ORPOTrainer",
    formats=("preference",),
    build=build_orpo,
    loss_tokens=loss_tokens,
    samples=samples,
    refuses={
        "packing": "TRL's ORPOTrainer has no packing: a pair's sequences are compared whole",
        "packing_strategy": "TRL's ORPOTrainer has no packing",
        "eval_packing": "TRL's ORPOTrainer has no packing",
        "padding_free": "TRL's ORPOTrainer has no padding-free forward",
        "assistant_only_loss": "TRL's ORPOTrainer has no assistant mask",
        "completion_only_loss": "ORPO's NLL covers prompt and response of the chosen answer; TRL offers no other",
        "generate_during_eval": "it logs to services that the harness does not report to",
    },
)
