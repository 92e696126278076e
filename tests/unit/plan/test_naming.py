"""Names: short, readable, unique, and safe in shells and globs."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.plan import expand
from harness.plan.naming import slug, token
from harness.records.suite import Axis, Include, Level, Score, Setup
from tests.unit.plan.made import CATALOG, RECIPE, cells, named, setup, suite, values

PACKING = values("train.packing", False, True)


def names(*axes: Axis, **fields: Any) -> list[str]:
    return list(cells(expand(suite(*axes, **fields), CATALOG)))


@pytest.mark.parametrize(
    ("path", "value", "short"),
    [
        ("train.packing", True, "packing"),
        ("train.packing", False, ""),
        ("lora", None, ""),
        ("lora", {"r": 8}, "lora8"),
        ("lora", {}, "lora"),
        ("lora", {"r": 16, "lora_alpha": 32, "use_dora": True}, "lora16-lora_alpha32-use_dora"),
        ("lora", {"r": 8, "target_modules": ["q_proj", "v_proj"]}, "lora8-target_modules-q_proj+v_proj"),
        ("train.learning_rate", 5e-06, "learning_rate5e-6"),
        ("train.learning_rate", 2e-10, "learning_rate2e-10"),
        ("train.learning_rate", 0.002, "learning_rate0.002"),
        ("train.weight_decay", 1.0, "weight_decay1"),
        ("train.weight_decay", -1, "weight_decay-1"),
        ("train.adam_beta1", 0.9, "adam_beta1-0.9"),
        ("train.optim", "adamw_bnb_8bit", "optim-adamw_bnb_8bit"),
        ("train.optim_args", "a=1, b/c", "optim_args-a=1-b-c"),
        ("train.lr_scheduler_kwargs", {"num_cycles": 2}, "lr_scheduler_kwargs-num_cycles-2"),
        ("method", "orpo", "orpo"),
        ("model", {"shape": "qwen2.5-0.5b", "seed": 1}, "qwen2.5-0.5b"),
        ("model", {"hub": "Qwen/Qwen2.5-0.5B"}, "Qwen2.5-0.5B"),
        ("model", {"path": "../models/mine/"}, "mine"),
        ("data", {"source": "pydoc"}, "pydoc"),
        ("data", {"hub": "trl-lib/Capybara"}, "Capybara"),
        ("data", {"path": "rows/my rows.jsonl"}, "my-rows"),
        ("init", {"stage": "start"}, "from-start"),
        ("checkpoint", "drop", "drop"),
    ],
)
def test_what_a_value_adds_to_a_name(path: str, value: Any, short: str) -> None:
    assert token(path, value)[0] == short


def test_the_method_leads_where_no_axis_is_about_it() -> None:
    assert names(PACKING) == ["sft", "sft-packing"]
    assert names(values("method", "dpo", "orpo")) == ["dpo", "orpo"]


def test_names_that_the_author_gave_to_levels_stand() -> None:
    lora = Axis(
        name="lora",
        field="lora",
        named=True,
        levels=(Level(name="full", sets={"lora": None}), Level(name="small", sets={"lora": {"r": 8}})),
    )
    assert names(lora, PACKING) == ["sft-full", "sft-full-packing", "sft-small", "sft-small-packing"]
    speed = Axis(
        name="train.learning_rate",
        field="train.learning_rate",
        named=True,
        levels=(
            Level(name="slow", sets={"train.learning_rate": 1e-6}),
            Level(name="fast", sets={"train.learning_rate": 1e-2}),
        ),
    )
    assert names(speed) == ["sft-slow", "sft-fast"]


def test_two_levels_that_would_say_nothing_both_speak_up() -> None:
    steps = values("train.max_length", None, 64)
    assert names(steps) == ["sft", "sft-max_length64"]
    dora = values("lora.use_dora", None, False)
    assert names(dora, base=setup(lora={"r": 4})) == ["sft-use_dora-null", "sft-no-use_dora"]


def test_fields_that_end_alike_are_told_apart() -> None:
    assert names(values("model.seed", 1), values("data.seed", 1, 2)) == [
        "sft-model_seed1-data_seed1",
        "sft-model_seed1-data_seed2",
    ]


def test_cells_that_share_a_short_name_are_spelled_out() -> None:
    one = named("one", {"a": {}, "a-b": {"train.max_steps": 2}})
    other = named("other", {"b-c": {"train.warmup_steps": 1}, "c": {"train.warmup_steps": 2}})
    found = names(one, other)
    assert (found[1], found[2]) == ("sft-a-c", "sft-a-b-b-c")
    assert re.fullmatch("sft-a-b-c-[0-9a-f]{6}", found[0])
    assert re.fullmatch("sft-a-b-c-[0-9a-f]{6}", found[3])
    assert len(set(found)) == 4


def test_an_include_that_takes_a_cells_name_keeps_it() -> None:
    include = Include(name="sft-packing", sets={"train.packing": True, "train.max_steps": 3})
    found = names(PACKING, include=(include,))
    assert len(set(found)) == 3
    assert found[0] == "sft"
    assert all(name.startswith("sft-packing-") for name in found[1:])


def test_a_cell_may_be_called_floor() -> None:
    plan = expand(suite(named("kind", {"floor": {}}), score=Score(tasks=["arithmetic_mc"])), CATALOG)
    assert len({trial.name for trial in plan.trials}) == len(plan.trials)
    include = expand(suite(include=(Include(name="floor", sets={"lora": {}}),), score=Score(tasks=["a"])), CATALOG)
    assert len({cell.name for cell in include.cells}) == 3


def test_very_long_names_are_cut_and_stay_unique() -> None:
    optims = values("train.optim", "x" * 300 + "a", "x" * 300 + "b")
    found = names(optims)
    assert len(set(found)) == 2
    assert max(map(len, found)) < 120


def test_names_of_trials_carry_the_seed() -> None:
    plan = expand(suite(RECIPE, stages={"start": Setup(method="sft", train={"max_steps": 1})}), CATALOG)
    assert [trial.name for trial in plan.trials] == ["stage-start", "sft-s0", "dpo-s0", "orpo-s0"]


@pytest.mark.parametrize("text", ["a b", "-rf", "..", "[x]*?", "$(rm)", "ä/ö", "", "~", "a;b|c", "'\"`", "{a}", "!x"])
def test_slugs_are_safe(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_+][A-Za-z0-9._+=-]*", slug(text))


def test_names_of_one_axis_do_not_depend_on_its_order() -> None:
    base = setup(train={"max_steps": 3})
    forward = names(PACKING, values("lora", None, {"r": 8}), base=base)
    backward = names(values("train.packing", True, False), values("lora", {"r": 8}, None), base=base)
    assert sorted(forward) == sorted(backward)
