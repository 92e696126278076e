"""Values that do not go together, each refused by TRL, transformers or PEFT or passed over by them."""

from __future__ import annotations

from typing import Any

import pytest

from harness.methods.together import contradictions


def test_a_training_has_one_precision() -> None:
    ((path, problem),) = contradictions("sft", {"bf16": True, "fp16": True})
    assert path == "train.fp16"
    assert "both true" in problem.what
    assert contradictions("sft", {"bf16": True, "fp16": False}) == []
    assert contradictions("sft", {"fp16": True}) == []


@pytest.mark.parametrize("train", [{"padding_free": True}, {"padding_free": True, "max_length": 64, "packing": False}])
def test_padding_free_without_packing_cuts_no_row(train: dict[str, Any]) -> None:
    ((path, problem),) = contradictions("sft", train)
    assert path == "train.padding_free"
    assert "max_length: null" in str(problem.hint)
    assert contradictions("sft", {**train, "packing": True}) == []
    assert contradictions("sft", {**train, "max_length": None}) == []
    assert contradictions("sft", {**train, "padding_free": False}) == []
    assert len(contradictions("sft", {**train, "bf16": True, "fp16": True})) == 2


DEFAULTS = {
    "gradient_checkpointing": True,
    "eval_strategy": "no",
    "dataloader_num_workers": 0,
    "loss_type": ["sigmoid"],
    "label_smoothing": 0.0,
    "f_divergence_type": "reverse_kl",
}
"""Of TRL's, as the catalogue has them."""


def _told(method: str, train: dict[str, Any], lora: dict[str, Any] | None = None, **how: Any) -> list[str]:
    return [path for path, _ in contradictions(method, train, lora, {**DEFAULTS, **train}.get, **how)]


@pytest.mark.parametrize(
    ("method", "wrong", "right", "path"),
    [
        ("sft", {"packing": True, "max_length": None}, {"max_length": 64}, "packing"),
        ("sft", {"lr_scheduler_type": "warmup_stable_decay"}, {"lr_scheduler_kwargs": {"num_decay_steps": 1}}, ""),
        ("sft", {"lr_scheduler_type": "cosine_with_min_lr"}, {"lr_scheduler_kwargs": {"min_lr": 1e-5}}, ""),
        ("orpo", {"lr_scheduler_type": "reduce_lr_on_plateau"}, {"eval_strategy": "steps"}, ""),
        ("sft", {"dataloader_prefetch_factor": 2}, {"dataloader_num_workers": 1}, ""),
        ("sft", {"dataloader_persistent_workers": True}, {"dataloader_num_workers": 1}, ""),
        ("sft", {"gradient_checkpointing_kwargs": {"mode": "offload"}}, {"gradient_checkpointing": False}, ""),
        ("dpo", {"gradient_checkpointing_kwargs": {"every_n_layers": 2}}, {"gradient_checkpointing": False}, ""),
        ("dpo", {"gradient_checkpointing_kwargs": {"offload": True}}, {"gradient_checkpointing": False}, ""),
        ("orpo", {"gradient_checkpointing_kwargs": {"selective": True}}, {"gradient_checkpointing": False}, ""),
        ("sft", {"gradient_checkpointing_kwargs": {"every_n_layers": 0}}, {"gradient_checkpointing": False}, ""),
        ("sft", {"num_train_epochs": 0}, {"max_steps": 1}, ""),
        ("sft", {"num_train_epochs": -1, "max_steps": -1}, {"num_train_epochs": 0.5}, ""),
        ("sft", {"optim_args": "momentum"}, {"optim_args": "momentum=0.9, nesterov=true"}, ""),
        ("dpo", {"loss_type": "exo_pair"}, {"label_smoothing": 1e-3}, ""),
        ("dpo", {"loss_type": "robust", "label_smoothing": 0.5}, {"label_smoothing": 0.1}, ""),
        ("dpo", {"loss_type": ["nca_pair"], "f_divergence_type": "forward_kl"}, {"loss_type": ["hinge"]}, ""),
        ("dpo", {"loss_type": "aot", "use_weighting": True}, {"use_weighting": False}, ""),
        ("dpo", {"loss_type": "kto_pair"}, {"loss_type": "hinge"}, ""),
        ("dpo", {"f_divergence_type": "js"}, {"f_divergence_type": "js_divergence"}, ""),
        ("dpo", {"loss_type": []}, {"loss_type": ["ipo"]}, ""),
        ("dpo", {"loss_weights": [1.0, 0.5]}, {"loss_type": ["sigmoid", "sft"]}, ""),
        ("dpo", {"precompute_ref_log_probs": True, "sync_ref_model": True}, {"sync_ref_model": False}, ""),
    ],
)
def test_what_each_field_needs_beside_it(method: str, wrong: dict[str, Any], right: dict[str, Any], path: str) -> None:
    assert _told(method, wrong) == [f"train.{path or next(iter(wrong))}"]
    assert _told(method, {**wrong, **right}) == []


def test_options_of_layers_are_for_methods_that_take_them() -> None:
    options = {"every_n_layers": 2, "offload": True, "use_reentrant": False}
    assert _told("sft", {"gradient_checkpointing_kwargs": {**options, "selective": True}}) == []
    assert _told("orpo", {"gradient_checkpointing_kwargs": options}) == []


def test_selective_checkpointing_takes_the_newer_kind_and_checkpointing() -> None:
    options = {"gradient_checkpointing_kwargs": {"selective": True, "use_reentrant": True}}
    assert _told("sft", options) == ["train.gradient_checkpointing_kwargs"]
    options = {"gradient_checkpointing_kwargs": {"selective": True}}
    assert _told("sft", {**options, "gradient_checkpointing": False}) == ["train.gradient_checkpointing_kwargs"]


def test_of_libraries_of_other_versions_no_more_is_said_than_is_known() -> None:
    """They have other names, types and limits: TRL before its fused head took an adapter on `lm_head`."""
    assert (
        _told("dpo", {"loss_type": "of_tomorrow", "loss_weights": 1.0}, {"target_modules": ["lm_head"]}, own=False)
        == []
    )
    assert _told("sft", {"gradient_checkpointing_kwargs": {"new": 1}, "padding_free": True}, own=False) == []
    assert _told("sft", {"bf16": True, "fp16": True}, own=False) == ["train.fp16"]


@pytest.mark.parametrize(
    ("method", "train"),
    [
        ("dpo", {"loss_type": "robust", "label_smoothing": 0.6}),
        ("sft", {"num_train_epochs": 0, "max_steps": 2}),
        ("sft", {"optim_args": ""}),
    ],
)
def test_values_that_train_are_left_alone(method: str, train: dict[str, Any]) -> None:
    assert _told(method, train) == []


@pytest.mark.parametrize(
    ("wrong", "right", "field"),
    [
        ({"target_modules": "(("}, {"target_modules": ".*q_proj"}, "target_modules"),
        ({"target_modules": []}, {"target_parameters": ["q_proj.weight"]}, "target_modules"),
        ({"target_modules": ["q_proj", "lm_head"]}, {"target_modules": ["q_proj"]}, "target_modules"),
        ({"target_modules": ["q_proj", "lm_head"]}, {"exclude_modules": ["lm_head"]}, "target_modules"),
        ({"target_modules": ["q_proj", "lm_head"]}, {"modules_to_save": ["lm_head"]}, "target_modules"),
        ({"exclude_modules": "(("}, {"exclude_modules": ["q_proj"]}, "exclude_modules"),
        (
            {"target_modules": "all-linear", "layers_to_transform": [0]},
            {"target_modules": ["q_proj"]},
            "layers_to_transform",
        ),
        ({"layers_pattern": "layers"}, {"layers_to_transform": [0]}, "layers_pattern"),
        ({"init_lora_weights": "eva"}, {"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"init_lora_weights": "loftq"}, {"loftq_config": {"loftq_bits": 4}}, "init_lora_weights"),
        ({"init_lora_weights": "orthogonal", "r": 3}, {"r": 4}, "init_lora_weights"),
        ({"init_lora_weights": "orthogonal", "r": 3}, {"rank_pattern": {"q_proj": 4}}, "init_lora_weights"),
    ],
)
def test_adapters_that_peft_or_trl_would_refuse(wrong: dict[str, Any], right: dict[str, Any], field: str) -> None:
    assert _told("sft", {}, wrong) == [f"lora.{field}"]
    assert _told("sft", {}, {**wrong, **right}) == []


def test_orpo_trains_an_adapter_on_the_head() -> None:
    assert _told("orpo", {}, {"target_modules": ["lm_head"]}) == []
