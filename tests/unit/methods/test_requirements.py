"""What needs packages that the base install does not bring."""

from __future__ import annotations

from typing import Any

import pytest

from harness.methods.requirements import is_installed, unmet


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"train": {"use_liger_kernel": True}}, "train.use_liger_kernel needs liger-kernel"),
        ({"train": {"optim": "paged_adamw_8bit"}}, "train.optim: paged_adamw_8bit needs bitsandbytes"),
        ({"train": {"optim": "galore_adamw"}}, "train.optim: galore_adamw needs galore-torch"),
        ({"train": {"optim": "schedule_free_sgd"}}, "train.optim: schedule_free_sgd needs schedulefree"),
        ({"train": {"optim": "adamw_torch_8bit"}}, "train.optim: adamw_torch_8bit needs torchao"),
        ({"train": {}, "model": {"attn_implementation": "flash_attention_2"}}, "needs flash-attn"),
    ],
)
def test_a_missing_package_is_named_with_what_asks_for_it(config: dict[str, Any], says: str) -> None:
    (said,) = unmet(config, lambda distribution: False)
    assert says in said
    assert unmet(config, lambda distribution: True) == []


def test_what_the_base_install_does_needs_nothing() -> None:
    config = {"train": {"use_liger_kernel": False, "optim": "adamw_torch_fused"}, "model": {"shape": "tiny"}}
    assert unmet(config, lambda distribution: False) == []
    assert unmet({"train": None, "model": None}, lambda distribution: False) == []


def test_two_needs_of_one_package_are_told_apart() -> None:
    config = {"train": {"use_liger_kernel": True, "optim": "lion_8bit"}}
    assert len(unmet(config, lambda distribution: False)) == 2


@pytest.mark.slow
def test_every_optimizer_of_transformers_is_either_its_own_or_known_to_need_a_package() -> None:
    """A name that transformers drops would make a need that nobody can meet, and a new one that needs a package a crash
    of every trial.
    """
    from transformers.training_args import OptimizerNames

    from harness.methods.requirements import _OPTIMIZERS

    of_torch = {"adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop", "adafactor"}  # or of transformers
    assert set(_OPTIMIZERS) | of_torch == {name.value for name in OptimizerNames}


def test_installed_packages_are_seen() -> None:
    assert is_installed("trl")
    assert not is_installed("no-such-distribution-at-all")
