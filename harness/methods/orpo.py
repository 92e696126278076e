"""Odds-ratio preference optimization: TRL's experimental ORPOTrainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.methods.build import build_orpo
from harness.methods.method import LENGTH_SAMPLERS, Method


def loss_tokens(batch: Mapping[str, Any], trainer: Any) -> Any:
    """Positions that carry loss, each counted once.

    ORPOTrainer's NLL runs over prompt and response of the chosen sequence, its odds ratio over the completions of
    chosen (within the former) and rejected. So: real chosen positions after the shift, and rejected labels after it.
    """
    chosen = batch["chosen_attention_mask"][:, 1:].sum()
    rejected = (batch["rejected_labels"][:, 1:] != -100).sum()
    return chosen + rejected


def samples(batch: Mapping[str, Any]) -> int:
    """Preference pairs."""
    return int(batch["chosen_input_ids"].shape[0])


def answerless(batch: Mapping[str, Any]) -> Any:
    """Pairs with a prompt that fills `max_length`: ORPOTrainer takes the mean over an answer of no position, 0 ÷ 0."""
    chosen, rejected = ((batch[f"{half}_labels"][:, 1:] != -100).any(-1) for half in ("chosen", "rejected"))
    return (~(chosen & rejected)).sum()


ORPO = Method(
    name="orpo",
    title="Odds-ratio preference optimization",
    config_class="trl.experimental.orpo:ORPOConfig",
    trainer_class="trl.experimental.orpo:ORPOTrainer",
    formats=("preference",),
    build=build_orpo,
    loss_tokens=loss_tokens,
    samples=samples,
    answerless=answerless,
    # TRL 1.16 calls `maybe_apply_chat_template` without tools: of a row it takes the keyword arguments alone.
    template_columns=("chat_template_kwargs",),
    refuses={
        "packing": "TRL's ORPOTrainer has no packing: a pair's sequences are compared whole",
        "packing_strategy": "TRL's ORPOTrainer has no packing",
        "eval_packing": "TRL's ORPOTrainer has no packing",
        "padding_free": "TRL's ORPOTrainer has no padding-free forward",
        "assistant_only_loss": "TRL's ORPOTrainer has no assistant mask",
        "completion_only_loss": "ORPO's NLL covers prompt and response of the chosen answer; TRL offers no other",
        "generate_during_eval": "it logs to services that the harness does not report to",
    },
    refuses_values=LENGTH_SAMPLERS,
)
