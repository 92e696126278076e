"""Where a field shows in what was active, and beside what it does nothing that TRL would say a word about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from harness.compare.showing import followed, ignored, known, shows


@dataclass(frozen=True)
class _Field:
    name: str


@pytest.mark.parametrize(
    ("field", "off", "on"),
    [
        ("average_tokens_across_devices", {"world_size": 1}, {"world_size": 2}),
        ("ddp_static_graph", {"world_size": 1}, {"world_size": 2}),
        ("discopop_tau", {"loss_type": ["sigmoid"]}, {"loss_type": ["sft", "discopop"]}),
        ("f_alpha_divergence_coef", {"config": {"f_divergence_type": "reverse_kl"}}, None),
        ("label_smoothing", {"loss_type": ["sigmoid", "sft"]}, {"loss_type": ["robust"]}),
        ("label_smoothing", {"loss_type": "sigmoid"}, {"loss_type": "exo_pair"}),
        ("label_smoothing_factor", {"loss_type": ["sft"]}, {"loss_type": "nll"}),
        ("label_smoothing_factor", {"loss_type": "dft"}, {"loss_type": "chunked_nll"}),
        ("optim_target_modules", {"config": {"optim": "adamw_torch"}}, {"config": {"optim": "galore_adamw"}}),
        ("precompute_ref_batch_size", {"config": {"precompute_ref_log_probs": False}}, None),
        ("ref_model_sync_steps", {"config": {"sync_ref_model": False}}, {"config": {"sync_ref_model": True}}),
        ("warmup_steps", {"scheduler": "constant"}, {"scheduler": "constant_with_warmup"}),
    ],
)
def test_a_field_is_ignored_beside_what_it_does_not_act_with(
    field: str, off: dict[str, Any], on: dict[str, Any] | None
) -> None:
    asked = _Field(f"train.{field}")
    assert ignored(asked, off, off)
    assert not ignored(asked, off, {})  # a trial that does not tell may be another
    if on is not None:
        assert not ignored(asked, off, on)
        assert not ignored(asked, on, on)


@pytest.mark.parametrize(
    ("asked", "fact", "same"),
    [
        ("lora.rank_pattern", "adapter.default.r", True),
        ("lora.rank_pattern.q_proj", "adapter.default.scaling", True),
        ("lora.alpha_pattern", "adapter.default.lora_alpha", True),
        ("lora.alpha_pattern", "adapter.default.r", False),
        ("lora.use_rslora", "adapter.default.scaling", True),
        ("lora.lora_dropout", "adapter.default.scaling", False),
        ("train.adam_beta2", "optimizer_options.betas", True),
        ("train.weight_decay", "optimizer_options.weight_decay", True),
        ("train.optim", "optimizer_options.betas", True),
        ("train.optim_args", "optimizer_kernel", True),
        ("train.learning_rate", "optimizer_options.betas", False),
    ],
)
def test_where_a_field_shows(asked: str, fact: str, same: bool) -> None:
    assert shows(asked, fact) is same


def test_a_pattern_is_known_by_what_it_sets() -> None:
    active = {"adapter": {"default": {"r": 8}}}
    assert known("lora.rank_pattern", active)
    assert not known("lora.alpha_pattern", active)


def test_options_that_an_optimizer_keeps_to_itself_are_not_known() -> None:
    assert known("train.optim_args", {"optimizer_options": {}})
    assert not known("train.optim_args", {"optimizer_state": {"state1": ["uint8"]}, "optimizer_kernel": None})


def test_the_compilers_backend_follows_from_compiling() -> None:
    assert list(followed("train.torch_compile")) == ["config.torch_compile", "config.torch_compile_backend"]
    assert list(followed("train.lr_scheduler_kwargs.num_cycles")) == ["config.lr_scheduler_kwargs"]
    assert list(followed("lora.r")) == []
