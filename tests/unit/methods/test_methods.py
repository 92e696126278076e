"""What methods say of themselves, held against the installed TRL; and what a suite may not ask of them."""

from __future__ import annotations

from typing import Any

import pytest

from harness.methods import METHODS, OWNED
from harness.methods.build import load_class

NAMES = sorted(METHODS)


def test_the_three_methods_are_there_under_their_names() -> None:
    assert NAMES == ["dpo", "orpo", "sft"]
    assert all(method.name == name for name, method in METHODS.items())
    assert METHODS["sft"].formats[0] == "prompt_completion"
    assert METHODS["dpo"].formats == METHODS["orpo"].formats == ("preference",)


@pytest.mark.parametrize("name", NAMES)
def test_what_asks_for_nothing_is_dropped_and_no_refusal(name: str) -> None:
    method = METHODS[name]
    nothing = dict.fromkeys(method.refuses, False) | {"completion_only_loss": None}
    assert method.refused(nothing) == {}
    assert set(method.accepted({**nothing, "learning_rate": 1.0})) <= {"learning_rate", "completion_only_loss"}
    assert method.accepted({"max_length": None})["max_length"] is None


@pytest.mark.parametrize("name", ["dpo", "orpo"])
def test_packing_is_refused_for_pairs_with_a_reason(name: str) -> None:
    found = METHODS[name].refused({"packing": True, "max_length": 8, "assistant_only_loss": True})
    assert set(found) == {"packing", "assistant_only_loss"}
    assert "no packing" in found["packing"]
    assert METHODS["sft"].refused({"packing": True, "assistant_only_loss": True}) == {}


def test_loss_on_the_prompt_cannot_be_had_from_dpo() -> None:
    assert "completion_only_loss" in METHODS["dpo"].refused({"completion_only_loss": False})
    assert METHODS["dpo"].refused({"completion_only_loss": True}) == {}
    assert METHODS["dpo"].accepted({"completion_only_loss": True}) == {}


def test_some_refusals_hold_with_an_adapter_only() -> None:
    train = {"sync_ref_model": True}
    assert METHODS["dpo"].refused(train) == {}
    assert set(METHODS["dpo"].refused(train, lora=True)) == {"sync_ref_model"}


@pytest.mark.parametrize("name", ["dpo", "orpo"])
@pytest.mark.parametrize("value", ["group_by_length", "batch_rebalance"])
def test_samplers_that_need_lengths_are_refused_for_pairs(name: str, value: str) -> None:
    train = {"train_sampling_strategy": value}
    assert "input_ids" in METHODS[name].refused(train)["train_sampling_strategy"]
    assert METHODS["sft"].refused(train) == {}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["sequential", "random"])
def test_samplers_that_work_stay_in_the_config(name: str, value: str) -> None:
    train = {"train_sampling_strategy": value}
    assert METHODS[name].refused(train) == {}
    assert METHODS[name].accepted(train) == train


@pytest.mark.parametrize("name", NAMES)
def test_what_the_harness_sets_itself_is_refused_whatever_the_value(name: str) -> None:
    assert set(METHODS[name].refused({"output_dir": None, "seed": 0, "learning_rate": 1.0})) == {"output_dir", "seed"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_classes_exist_and_owned_fields_are_theirs(name: str) -> None:
    method = METHODS[name]
    config: Any = load_class(method.config_class)
    fields = set(config.__dataclass_fields__)
    assert set(OWNED) <= fields
    assert set(method.defaults) <= fields
    assert load_class(method.trainer_class).__name__.lower() == f"{name}trainer"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpo", "orpo"])
def test_refused_fields_are_missing_from_the_config_or_known_not_to_work(name: str) -> None:
    """A field that TRL gains one day shows here, so that its refusal is looked at again."""
    fields = set(load_class(METHODS[name].config_class).__dataclass_fields__)
    known_not_to_work = {"dpo": {"padding_free"}, "orpo": {"generate_during_eval"}}
    assert set(METHODS[name].refuses) & fields == known_not_to_work[name]
