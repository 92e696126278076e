"""What differs between two trials: the axis apart from the rest, and levers that did not act."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.compare.differences import (
    Difference,
    Side,
    alongside,
    differences,
    listed,
    side_of,
    what_else,
    worded,
)
from harness.compare.showing import shows
from harness.records.results import TrialResult

ACTIVE: dict[str, Any] = {
    "trainer": "SFTTrainer",
    "attention": "sdpa",
    "packing": False,
    "padding_free": False,
    "optimizer": "AdamW",
    "optimizer_package": "torch",
    "optimizer_state": {"exp_avg": ["float32"]},
    "train_rows": 100,
    "config": {"seed": 0, "output_dir": "/a", "packing": False, "beta1": 0.9},
}
ENVIRONMENT = {
    "hash": "e1",
    "packages": {"torch": "2.13.0", "trl": "1.16.0"},
    "device": {"name": "H200", "pcie": {"generation": 5, "max_generation": 5}},
}


def _spec(levels: Mapping[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    plain = {
        "suite": "s",
        "suite_file": "/a/s.yaml",
        "trial_id": "t",
        "cell_id": "c",
        "name": "n",
        "cell_name": "c",
        "levels": dict(levels or {}),
        "seed": 0,
        "method": "sft",
        "model": {"shape": "tiny"},
        "data": {"source": "arithmetic"},
        "train": {"max_steps": 10},
        "lora": None,
        "start": None,
        "timeout_s": 60.0,
        "defaults": {"packing": False, "padding_free": False, "learning_rate": 2e-5},
    }
    return plain | fields


def _side(levels: Mapping[str, str] | None = None, *, active: Mapping[str, Any] | None = None, **fields: Any) -> Side:
    return Side(spec=_spec(levels, **fields), active={**ACTIVE, **(active or {})}, environment=ENVIRONMENT)


def _names(entries: Any) -> list[str]:
    return [entry.name for entry in entries]


PLAIN = _side({"train.packing": "false"}, train={"max_steps": 10, "packing": False})
PACKED = _side(
    {"train.packing": "true"},
    train={"max_steps": 10, "packing": True},
    active={"packing": True, "padding_free": True, "train_rows": 30, "config": {**ACTIVE["config"], "packing": True}},
)


def test_what_packing_brings_along_is_told_apart_from_packing() -> None:
    found = what_else(PLAIN, PACKED)
    assert found.axis == (Difference(name="train.packing", one="false", other="true"),)
    assert _names(found.asked) == ["train.packing"]
    assert _names(found.acted) == ["packing"]
    assert found.inert == ()
    assert _names(found.besides_the_axis) == ["padding_free", "train_rows"]


def test_the_other_way_round_is_the_mirror_image() -> None:
    there, back = what_else(PLAIN, PACKED), what_else(PACKED, PLAIN)
    assert [(e.name, e.other, e.one) for e in there.active] == [(e.name, e.one, e.other) for e in back.active]


def test_seeds_names_places_and_idle_links_must_differ_or_may() -> None:
    one = _side(seed=0, trial_id="a", name="x-s0", suite_file="/a")
    environment = {
        **ENVIRONMENT,
        "hash": "e2",
        "device": {"name": "H200", "pcie": {"generation": 1, "max_generation": 5}},
    }
    other = Side(
        spec=_spec(seed=1, trial_id="b", name="x-s1", suite_file="/b"),
        active={**ACTIVE, "config": {**ACTIVE["config"], "seed": 1, "output_dir": "/b"}},
        environment=environment,
    )
    assert what_else(one, other) == what_else(one, one)
    assert not what_else(one, other).besides_the_axis


def test_a_lever_that_was_set_and_does_not_show_did_not_act() -> None:
    """DPO's padding_free: TRL takes it, warns, and goes on with padding."""
    config = {**ACTIVE["config"], "padding_free": True}
    on = _side({"train.padding_free": "true"}, train={"max_steps": 10, "padding_free": True}, active={"config": config})
    off = _side({"train.padding_free": "false"}, train={"max_steps": 10})
    found = what_else(off, on)
    assert found.inert == (Difference(name="train.padding_free", one=False, other=True),)
    assert found.acted == ()
    assert found.active == ()  # that the resolved configuration repeats it is no difference of its own


def test_what_the_trainer_does_not_show_is_neither_acted_nor_inert() -> None:
    one = _side({"train.learning_rate": "a"}, train={"learning_rate": 1e-3}, active={"config": {"learning_rate": 1e-3}})
    other = _side(
        {"train.learning_rate": "b"}, train={"learning_rate": 1e-4}, active={"config": {"learning_rate": 1e-4}}
    )
    found = what_else(one, other)
    assert (_names(found.asked), found.acted, found.inert, found.active) == (["train.learning_rate"], (), (), ())


def test_an_axis_of_named_sets_asked_for_all_that_its_levels_set() -> None:
    one = _side({"recipe": "full"}, train={"max_steps": 10})
    other = _side(
        {"recipe": "lora"},
        train={"max_steps": 20},
        lora={"r": 8},
        active={"adapter": {"default": {"r": 8}}, "max_steps": 20},
    )
    found = what_else(one, other)
    assert sorted(_names(found.asked)) == ["lora", "train.max_steps"]
    assert sorted(_names(found.acted)) == ["adapter", "max_steps"]
    assert found.beside == ()


def test_a_field_that_no_axis_varies_is_told_beside_it() -> None:
    changed = Side(spec={**PACKED.spec, "timeout_s": 5.0, "model": {"shape": "small"}}, active=PACKED.active)
    found = what_else(PLAIN, changed)
    assert sorted(_names(found.beside)) == ["model.shape", "timeout_s"]
    assert _names(found.asked) == ["train.packing"]


def test_a_copy_that_lora_asks_for_acted_though_all_weights_have_one_anyway() -> None:
    one = _side({"lora": "null"}, active={"reference": "copy"}, reference=None)
    other = _side({"lora": "r8", "reference": "explicit"}, active={"reference": "copy"}, reference="explicit")
    assert what_else(one, other).inert == ()
    ignored = _side({"reference": "explicit"}, active={"reference": "adapter_off"}, reference="explicit")
    unasked = _side({}, active={"reference": "adapter_off"}, reference=None)
    assert _names(what_else(unasked, ignored).inert) == ["reference"]


def test_another_reference_shows_in_training_and_asks_for_nothing_else() -> None:
    one = _side({}, active={"reference": "adapter_off"}, reference=None, warmup_steps=1)
    other = _side({"reference": "explicit"}, active={"reference": "copy"}, reference="explicit", warmup_steps=2)
    found = what_else(one, other)
    assert (_names(found.asked), _names(found.acted)) == (["reference"], ["reference"])
    assert (_names(found.beside), found.active) == (["measure.warmup_steps"], ())


def test_what_is_measured_has_the_name_of_its_axis() -> None:
    found = what_else(*(_side({"measure.warmup_steps": str(steps)}, warmup_steps=steps) for steps in (1, 2)))
    assert (_names(found.axis), _names(found.asked)) == (["measure.warmup_steps"], ["measure.warmup_steps"])
    assert found.besides_the_axis == ()


def test_a_field_left_out_is_its_default() -> None:
    found = what_else(_side(train={"packing": False}), _side(train={}))
    assert found.beside == ()
    newer = _side(train={}, defaults={"packing": True})
    assert _names(what_else(_side(train={"packing": False}), newer).beside) == ["train.packing"]


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
    one = _side({"lora.r": "8"}, lora={"r": 8}, active=adapter)
    other = _side({"lora.r": "16"}, lora={"r": 16}, active=adapter)
    assert _names(what_else(one, other).inert) == ["lora.r"]
    unknown = what_else(_side({"lora.x": "1"}, lora={"x": 1}, active=adapter), _side({"lora.x": "2"}, lora={"x": 2}))
    assert unknown.inert == ()


def _asked_by(field: str, one: Any, other: Any, active: Any = None, after: Any = None) -> tuple[Side, Side]:
    """Two trials whose axis is a field of `train`; what both had active, and what the other one had otherwise."""
    sides = ((one, active), (other, {**(active or {}), **(after or {})}))
    return tuple(_side({f"train.{field}": str(value)}, train={field: value}, active=told) for value, told in sides)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("field", "gate"),
    [
        ("packing_strategy", "packing"),
        ("gradient_checkpointing_kwargs", "gradient_checkpointing"),
        ("liger_kernel_config", "liger"),
    ],
)
def test_a_field_does_not_act_while_what_it_acts_with_is_off(field: str, gate: str) -> None:
    assert _names(what_else(*_asked_by(field, "bfd", "wrapped", {gate: False})).inert) == [f"train.{field}"]
    assert what_else(*_asked_by(field, "bfd", "wrapped", {gate: True})).inert == ()
    assert what_else(*_asked_by(field, "bfd", "wrapped", {gate: False}, {gate: True})).inert == ()


def test_a_field_that_was_resolved_to_one_value_did_not_act() -> None:
    """On a CPU no memory is pinned, and nothing is evaluated without rows for it, whatever was asked for."""
    resolved = {"config": {"eval_strategy": "no"}}
    assert _names(what_else(*_asked_by("eval_strategy", "no", "steps", resolved)).inert) == ["train.eval_strategy"]
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
    assert (_names(found.acted), found.active) == (["numerics.deterministic"], ())


def test_what_a_training_could_not_tell_is_no_difference() -> None:
    stepped = {"compiled": False, "attention_kernels": ["flash"], "max_steps": 4, "optimizer_kernel": "fused"}
    assert what_else(_side(active=stepped), _side()).active == ()  # it ended in its first step
    compiled = {**stepped, "compiled": True, "attention_kernels": None, "optimizer_kernel": None}
    found = what_else(_side(active=stepped), _side(active=compiled))
    assert sorted(_names(found.active)) == ["compiled", "optimizer_kernel"]


def test_what_another_optimizer_or_an_older_record_does_not_tell_is_no_difference() -> None:
    one = {"compiled": False, "optimizer_options": {"eps": 1e-8}, "adapter": {"default": {"r": 8, "scaling": 2.0}}}
    other = {"compiled": False, "adapter": {"default": {"r": 8}}}
    assert what_else(_side(active=one), _side(active=other)).active == ()
    other = {"compiled": False, "optimizer_options": {"eps": 1e-6}, "adapter": {"default": {"r": 8, "scaling": 1.0}}}
    found = what_else(_side(active=one), _side(active=other))
    assert sorted(_names(found.active)) == ["adapter.default.scaling", "optimizer_options.eps"]


def test_the_options_of_two_optimizers_are_one_difference() -> None:
    one = {"optimizer": "AdamW", "optimizer_options": {"betas": [0.9, 0.999], "weight_decay": 0.0}}
    other = {"optimizer": "SGD", "optimizer_options": {"momentum": 0.0, "weight_decay": 0.0}}
    assert _names(what_else(_side(active=one), _side(active=other)).active) == ["optimizer", "optimizer_options"]
    found = what_else(_side(active=one), _side(active={**other, "optimizer": "AdamW"}))
    assert _names(found.active) == ["optimizer_options.betas", "optimizer_options.momentum"]


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
    assert (_names(found.asked), found.active, found.environment, found.inert) == (["train.packing"], (), (), ())


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


# Of a whole suite


def _trial(name: str, levels: Mapping[str, str], side: Side, seed: int = 0, **changes: Any) -> TrialResult:
    fields: dict[str, Any] = {
        "trial_id": f"{name}-{seed}",
        "cell_id": name,
        "name": f"{name}-s{seed}",
        "cell_name": name,
        "kind": "cell",
        "levels": levels,
        "seed": seed,
        "method": "sft",
        "outcome": "ok",
        "phase": None,
        "cause": None,
        "attempts": 1,
        "environment": "e1",
        "metrics": {},
        "config": {**side.spec, "levels": levels},
        "active": side.active,
    }
    return TrialResult(**(fields | changes))


def _grid() -> list[TrialResult]:
    """Packing × rows: packing changes padding_free in both columns, and the rows differently in each."""
    trials = []
    for rows in ("10", "20"):
        for packing, side in (("false", PLAIN), ("true", PACKED)):
            active = {**side.active, "train_rows": int(rows) * (1 if packing == "false" else 3)}
            made = Side(spec={**side.spec, "data": {"rows": int(rows)}}, active=active, environment=ENVIRONMENT)
            levels = {"train.packing": packing, "data.rows": rows}
            trials += [_trial(f"p{packing}-r{rows}", levels, made, seed) for seed in (0, 1)]
    return trials


def test_what_an_axis_changed_besides_itself_is_one_sentence() -> None:
    said = alongside(_grid(), {"e1": ENVIRONMENT})
    assert said == ("train.packing false → true changed more than itself: padding_free false → true.",)


def test_a_lever_that_did_not_act_is_a_sentence() -> None:
    levels = ({"train.padding_free": "false"}, {"train.padding_free": "true"})
    sides = (_side(levels[0]), _side(levels[1], train={"max_steps": 10, "padding_free": True}))
    trials = [_trial(f"c{n}", one, side) for n, (one, side) in enumerate(zip(levels, sides, strict=True))]
    (said,) = alongside(trials, {})
    assert said.startswith("train.padding_free false → true did not act: train.padding_free false → true was asked for")


def test_a_level_of_which_a_part_did_not_act_is_not_said_to_have_done_nothing() -> None:
    recipes = ({"recipe": "a"}, {"recipe": "b"})
    sides = (_side(recipes[0]), _side(recipes[1], train={"learning_rate": 1e-3, "padding_free": True}))
    (said,) = alongside(
        [_trial(f"c{n}", one, side) for n, (one, side) in enumerate(zip(recipes, sides, strict=True))], {}
    )
    assert said.startswith("recipe a → b did not act in full: train.padding_free false → true was asked for")


def test_threads_and_variables_are_the_trials_own_where_a_hash_is_shared() -> None:
    trial = _trial("a", {}, PLAIN, surroundings={"torch": {"threads": 2}, "variables": {"OMP_NUM_THREADS": "2"}})
    found = what_else(side_of(_trial("b", {}, PLAIN), {"e1": ENVIRONMENT}), side_of(trial, {"e1": ENVIRONMENT}))
    assert _names(found.environment) == ["torch", "variables"]
    assert side_of(trial, {"e1": ENVIRONMENT}).environment["packages"] == ENVIRONMENT["packages"]


def test_methods_failures_and_trials_that_told_nothing_make_no_sentence() -> None:
    grid = _grid()
    assert alongside([_trial("a", {}, PLAIN), _trial("b", {}, PACKED)], {}) == ()
    assert alongside([trial for trial in grid if "true" not in trial.name], {}) == ()
    failed = [
        _trial(trial.cell_id, trial.levels, Side(spec=trial.config), outcome="oom", active=trial.active)
        for trial in grid
    ]
    assert alongside(failed, {}) == ()
    sft, dpo = _side({"method": "sft"}), _side({"method": "dpo"}, method="dpo", active={"trainer": "DPOTrainer"})
    assert alongside([_trial("a", {"method": "sft"}, sft), _trial("b", {"method": "dpo"}, dpo)], {}) == ()
