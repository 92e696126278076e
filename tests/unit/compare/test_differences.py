"""What differs between two trials: the axis apart from the rest, and levers that did not act."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.compare.differences import (
    Difference,
    Side,
    differences,
    listed,
    what_else,
    worded,
)
from harness.compare.showing import shows
from tests.unit.compare.made_sides import ACTIVE, ENVIRONMENT, PACKED, PLAIN, made_side, made_spec, names


def test_what_packing_brings_along_is_told_apart_from_packing() -> None:
    found = what_else(PLAIN, PACKED)
    assert found.axis == (Difference(name="train.packing", one="false", other="true"),)
    assert names(found.asked) == ["train.packing"]
    assert names(found.acted) == ["packing"]
    assert found.inert == ()
    assert names(found.besides_the_axis) == ["padding_free", "train_rows"]


def test_the_other_way_round_is_the_mirror_image() -> None:
    there, back = what_else(PLAIN, PACKED), what_else(PACKED, PLAIN)
    assert [(e.name, e.other, e.one) for e in there.active] == [(e.name, e.one, e.other) for e in back.active]


def test_seeds_names_places_and_idle_links_must_differ_or_may() -> None:
    one = made_side(seed=0, trial_id="a", name="x-s0", suite_file="/a")
    environment = {
        **ENVIRONMENT,
        "hash": "e2",
        "device": {"name": "H200", "pcie": {"generation": 1, "max_generation": 5}},
    }
    other = Side(
        spec=made_spec(seed=1, trial_id="b", name="x-s1", suite_file="/b"),
        active={**ACTIVE, "config": {**ACTIVE["config"], "seed": 1, "output_dir": "/b"}},
        environment=environment,
    )
    assert what_else(one, other) == what_else(one, one)
    assert not what_else(one, other).besides_the_axis


def test_a_lever_that_was_set_and_does_not_show_did_not_act() -> None:
    """DPO's padding_free: TRL takes it, warns, and goes on with padding."""
    config = {**ACTIVE["config"], "padding_free": True}
    on = made_side(
        {"train.padding_free": "true"}, train={"max_steps": 10, "padding_free": True}, active={"config": config}
    )
    off = made_side({"train.padding_free": "false"}, train={"max_steps": 10})
    found = what_else(off, on)
    assert found.inert == (Difference(name="train.padding_free", one=False, other=True),)
    assert found.acted == ()
    assert found.active == ()  # that the resolved configuration repeats it is no difference of its own


def test_what_the_trainer_does_not_show_is_neither_acted_nor_inert() -> None:
    one = made_side(
        {"train.learning_rate": "a"}, train={"learning_rate": 1e-3}, active={"config": {"learning_rate": 1e-3}}
    )
    other = made_side(
        {"train.learning_rate": "b"}, train={"learning_rate": 1e-4}, active={"config": {"learning_rate": 1e-4}}
    )
    found = what_else(one, other)
    assert (names(found.asked), found.acted, found.inert, found.active) == (["train.learning_rate"], (), (), ())


def test_an_axis_of_named_sets_asked_for_all_that_its_levels_set() -> None:
    one = made_side({"recipe": "full"}, train={"max_steps": 10})
    other = made_side(
        {"recipe": "lora"},
        train={"max_steps": 20},
        lora={"r": 8},
        active={"adapter": {"default": {"r": 8}}, "max_steps": 20},
    )
    found = what_else(one, other)
    assert sorted(names(found.asked)) == ["lora", "train.max_steps"]
    assert sorted(names(found.acted)) == ["adapter", "max_steps"]
    assert found.beside == ()


def test_a_field_that_no_axis_varies_is_told_beside_it() -> None:
    changed = Side(spec={**PACKED.spec, "timeout_s": 5.0, "model": {"shape": "small"}}, active=PACKED.active)
    found = what_else(PLAIN, changed)
    assert sorted(names(found.beside)) == ["model.shape", "timeout_s"]
    assert names(found.asked) == ["train.packing"]


def test_a_copy_that_lora_asks_for_acted_though_all_weights_have_one_anyway() -> None:
    one = made_side({"lora": "null"}, active={"reference": "copy"}, reference=None)
    other = made_side({"lora": "r8", "reference": "explicit"}, active={"reference": "copy"}, reference="explicit")
    assert what_else(one, other).inert == ()
    ignored = made_side({"reference": "explicit"}, active={"reference": "adapter_off"}, reference="explicit")
    unasked = made_side({}, active={"reference": "adapter_off"}, reference=None)
    assert names(what_else(unasked, ignored).inert) == ["reference"]


def test_another_reference_shows_in_training_and_asks_for_nothing_else() -> None:
    one = made_side({}, active={"reference": "adapter_off"}, reference=None, warmup_steps=1)
    other = made_side({"reference": "explicit"}, active={"reference": "copy"}, reference="explicit", warmup_steps=2)
    found = what_else(one, other)
    assert (names(found.asked), names(found.acted)) == (["reference"], ["reference"])
    assert (names(found.beside), found.active) == (["measure.warmup_steps"], ())


def test_what_is_measured_has_the_name_of_its_axis() -> None:
    found = what_else(*(made_side({"measure.warmup_steps": str(steps)}, warmup_steps=steps) for steps in (1, 2)))
    assert (names(found.axis), names(found.asked)) == (["measure.warmup_steps"], ["measure.warmup_steps"])
    assert found.besides_the_axis == ()


def test_a_field_left_out_is_its_default() -> None:
    found = what_else(made_side(train={"packing": False}), made_side(train={}))
    assert found.beside == ()
    newer = made_side(train={}, defaults={"packing": True})
    assert names(what_else(made_side(train={"packing": False}), newer).beside) == ["train.packing"]


@pytest.mark.parametrize(
    ("asked", "fact", "same"),
    [
        ("train.packing", "packing", True),
        ("train.packing", "packing_strategy", False),
        ("train.optim", "optimizer_package", True),
        ("model.attn_implementation", "attention", True),
        ("lora.r", "adapter.default.r", True),
        ("lora.r", "adapter.default.lora_alpha", False),
        ("lora", "adapter", True),
        ("data.rows", "train_rows", True),
        ("train.max_steps", "train_rows", False),
        ("train.num_train_epochs", "max_steps", True),
        ("train.dataloader_pin_memory", "data_loader.pin_memory", True),
        ("train.full_determinism", "numerics.deterministic", True),
        ("train.use_cpu", "device", True),
        ("train.eval_strategy", "config.do_eval", True),
        ("lora.layers_to_transform", "adapter.default.modules", True),
        ("train.gradient_checkpointing_kwargs.use_reentrant", "checkpointing.use_reentrant", True),
    ],
)
def test_where_an_asked_field_shows(asked: str, fact: str, same: bool) -> None:
    assert shows(asked, fact) is same


def test_an_adapter_that_took_another_rank_than_asked_did_not_act() -> None:
    adapter = {"adapter": {"default": {"r": 8, "lora_alpha": 16}}}
    one = made_side({"lora.r": "8"}, lora={"r": 8}, active=adapter)
    other = made_side({"lora.r": "16"}, lora={"r": 16}, active=adapter)
    assert names(what_else(one, other).inert) == ["lora.r"]
    unknown = what_else(
        made_side({"lora.x": "1"}, lora={"x": 1}, active=adapter), made_side({"lora.x": "2"}, lora={"x": 2})
    )
    assert unknown.inert == ()


def _asked_by(field: str, one: Any, other: Any, active: Any = None, after: Any = None) -> tuple[Side, Side]:
    """Two trials whose axis is a field of `train`; what both had active, and what the other one had otherwise."""
    sides = ((one, active), (other, {**(active or {}), **(after or {})}))
    return tuple(made_side({f"train.{field}": str(value)}, train={field: value}, active=told) for value, told in sides)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("field", "gate"),
    [
        ("packing_strategy", "packing"),
        ("gradient_checkpointing_kwargs", "gradient_checkpointing"),
        ("liger_kernel_config", "liger"),
    ],
)
def test_a_field_does_not_act_while_what_it_acts_with_is_off(field: str, gate: str) -> None:
    assert names(what_else(*_asked_by(field, "bfd", "wrapped", {gate: False})).inert) == [f"train.{field}"]
    assert what_else(*_asked_by(field, "bfd", "wrapped", {gate: True})).inert == ()
    assert what_else(*_asked_by(field, "bfd", "wrapped", {gate: False}, {gate: True})).inert == ()


def test_a_field_that_was_resolved_to_one_value_did_not_act() -> None:
    """On a CPU no memory is pinned, and nothing is evaluated without rows for it, whatever was asked for."""
    resolved = {"config": {"eval_strategy": "no"}}
    assert names(what_else(*_asked_by("eval_strategy", "no", "steps", resolved)).inert) == ["train.eval_strategy"]
    other = {"config": {"eval_strategy": "steps"}}
    assert what_else(*_asked_by("eval_strategy", "no", "steps", resolved, other)).inert == ()
    masked = {"config": {"eos_token": "<EOS_TOKEN>"}}
    assert what_else(*_asked_by("eos_token", "a", "b", masked)).inert == ()


def test_where_an_effect_may_show_it_need_not() -> None:
    found = what_else(*_asked_by("torch_compile_mode", "default", "max-autotune", {"compiled": True}))
    assert (found.acted, found.inert) == ((), ())
    found = what_else(
        *_asked_by(
            "full_determinism",
            False,
            True,
            {"numerics": {"deterministic": False}},
            {"numerics": {"deterministic": True}},
        )
    )
    assert (names(found.acted), found.active) == (["numerics.deterministic"], ())


def test_what_a_training_could_not_tell_is_no_difference() -> None:
    stepped = {"compiled": False, "attention_kernels": ["flash"], "max_steps": 4, "optimizer_kernel": "fused"}
    assert what_else(made_side(active=stepped), made_side()).active == ()  # it ended in its first step
    compiled = {**stepped, "compiled": True, "attention_kernels": None, "optimizer_kernel": None}
    found = what_else(made_side(active=stepped), made_side(active=compiled))
    assert sorted(names(found.active)) == ["compiled", "optimizer_kernel"]


def test_what_another_optimizer_or_an_older_record_does_not_tell_is_no_difference() -> None:
    one = {"compiled": False, "optimizer_options": {"eps": 1e-8}, "adapter": {"default": {"r": 8, "scaling": 2.0}}}
    other = {"compiled": False, "adapter": {"default": {"r": 8}}}
    assert what_else(made_side(active=one), made_side(active=other)).active == ()
    other = {"compiled": False, "optimizer_options": {"eps": 1e-6}, "adapter": {"default": {"r": 8, "scaling": 1.0}}}
    found = what_else(made_side(active=one), made_side(active=other))
    assert sorted(names(found.active)) == ["adapter.default.scaling", "optimizer_options.eps"]


def test_the_options_of_two_optimizers_are_one_difference() -> None:
    one = {"optimizer": "AdamW", "optimizer_options": {"betas": [0.9, 0.999], "weight_decay": 0.0}}
    other = {"optimizer": "SGD", "optimizer_options": {"momentum": 0.0, "weight_decay": 0.0}}
    assert names(what_else(made_side(active=one), made_side(active=other)).active) == ["optimizer", "optimizer_options"]
    found = what_else(made_side(active=one), made_side(active={**other, "optimizer": "AdamW"}))
    assert names(found.active) == ["optimizer_options.betas", "optimizer_options.momentum"]


def test_packages_are_told_one_by_one() -> None:
    packages = {"torch": "2.14.0", "trl": "1.16.0", "bitsandbytes": "0.50.2"}
    other = Side(spec=PLAIN.spec, active=PLAIN.active, environment={**ENVIRONMENT, "packages": packages})
    assert [str(entry) for entry in what_else(PLAIN, other).environment] == [
        "packages.torch 2.13.0 → 2.14.0",
        "packages.bitsandbytes none → 0.50.2",
    ]


def test_what_one_trial_never_told_is_no_difference() -> None:
    untold = Side(spec=PACKED.spec)
    found = what_else(PLAIN, untold)
    assert (names(found.asked), found.active, found.environment, found.inert) == (["train.packing"], (), (), ())


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "b", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)


@given(_values, _values)
def test_differences_are_there_exactly_where_values_differ(one: Any, other: Any) -> None:
    assert not list(differences(one, one))
    forth = list(differences(one, other))
    back = list(differences(other, one))
    assert {(entry.name, str(entry.one)) for entry in forth} == {(entry.name, str(entry.other)) for entry in back}
    if not forth:
        assert _without_nothing(one) == _without_nothing(other)


def _without_nothing(value: Any) -> Any:
    """The value with empty mappings, lists and None as one, and true apart from 1."""
    if isinstance(value, dict):
        return {key: inner for key, said in value.items() if (inner := _without_nothing(said)) is not None} or None
    return None if value in (None, []) else str(value)


def test_values_are_worded_for_a_reader() -> None:
    assert worded(None) == "none"
    assert worded(True) == "true"
    assert worded({"a": 1, "b": None}) == "a=1"
    assert worded(["x", 2000]) == "x+2,000"
    assert len(worded("y" * 100)) == 48
    entries = [Difference(name=name, one=0, other=1) for name in "abcdefgh"]
    assert listed(entries, most=2) == "a 0 → 1, b 0 → 1 and 6 more"
