"""Combinations: what runs, what is excluded and why, what is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest

from harness.errors import InputError
from harness.plan import expand
from harness.records.suite import Axis, Include, Limits, Replicates, Selector, Setup
from tests.unit.plan.made import CATALOG, RECIPE, cells, named, setup, suite, values

PACKING = values("train.packing", False, True)
LORA = values("lora", None, {"r": 8})
START = {"start": Setup(method="sft", train={"max_steps": 400})}
NO_PACKING = Selector(fields={"method": ("dpo", "orpo"), "train.packing": (True,)})


def refused(*axes: Axis, **fields: Any) -> str:
    """What expanding this suite is refused with."""
    with pytest.raises(InputError) as caught:
        expand(suite(*axes, **fields), CATALOG)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_every_level_meets_every_other() -> None:
    plan = expand(suite(RECIPE, LORA, PACKING, stages=START, exclude=(NO_PACKING,)), CATALOG)
    assert list(cells(plan)) == [
        "sft",
        "sft-packing",
        "sft-lora8",
        "sft-lora8-packing",
        "dpo",
        "dpo-lora8",
        "orpo",
        "orpo-lora8",
    ]


def test_excluded_cells_carry_the_rule_in_words() -> None:
    other = Selector(levels={"recipe": ("orpo",)}, fields={"lora": ({"r": 8}, None)})
    plan = expand(suite(RECIPE, LORA, PACKING, stages=START, exclude=(other, NO_PACKING)), CATALOG)
    reasons = {left.name: left.reason for left in plan.excluded}
    assert reasons["dpo-lora8-packing"] == "exclude rule 2: method is dpo or orpo, and train.packing is true"
    assert reasons["orpo-packing"] == 'exclude rule 1: recipe is orpo, and lora is {"r":8} or null'
    assert len(reasons) == 6
    assert plan.warnings == ()


def test_an_exclude_rule_that_matches_nothing_is_a_warning() -> None:
    rules = (Selector(fields={"method": ("orpo",)}), Selector(fields={"train.packing": (True,)}))
    plan = expand(suite(PACKING, exclude=rules), CATALOG)
    assert [warning.what for warning in plan.warnings] == ["exclude rule 1 matches no cell: method is orpo"]
    assert list(cells(plan)) == ["sft"]


def test_a_rule_behind_another_that_takes_its_cells_is_no_warning() -> None:
    rule = Selector(fields={"train.packing": (True,)})
    assert expand(suite(PACKING, exclude=(rule, rule)), CATALOG).warnings == ()


def test_selectors_see_defaults_of_trl_and_of_the_harness() -> None:
    learning = values("train.learning_rate", 1e-5, 1e-4)
    by_trl = Selector(fields={"train.gradient_checkpointing": (True,), "train.learning_rate": (1e-5,)})
    by_harness = Selector(fields={"model.seed": (0,), "model": ({"shape": "tiny"},), "train.learning_rate": (0.0001,)})
    assert list(cells(expand(suite(learning, exclude=(by_trl,)), CATALOG))) == ["sft-learning_rate0.0001"]
    assert list(cells(expand(suite(learning, exclude=(by_harness,)), CATALOG))) == ["sft-learning_rate1e-5"]


def test_null_in_a_selector_finds_what_is_left_to_its_default() -> None:
    for axis in (
        values("measure.warmup_steps", None, 1),
        values("model.seed", None, 1),
        values("train.weight_decay", None, 0.1),
        values("train.max_length", None, 5),
        values("lora", None, {"r": 4}),
        values("limits.host_memory", None, "1GiB"),
    ):
        (left,) = expand(
            suite(axis, exclude=(Selector(fields={axis.name: (None,)}),), include=(Include(sets={"method": "orpo"}),)),
            CATALOG,
        ).excluded
        assert left.levels == {axis.name: "none"}


def test_true_is_not_one_in_a_selector() -> None:
    sizes = values("train.per_device_train_batch_size", 1, 2)
    rule = Selector(fields={"train.per_device_train_batch_size": (True,)})
    plan = expand(suite(sizes, exclude=(rule,)), CATALOG)
    assert len(cells(plan)) == 2
    assert len(plan.warnings) == 1


def test_excluding_everything_is_refused() -> None:
    assert "every cell is excluded" in refused(PACKING, exclude=(Selector(fields={"method": ("sft",)}),))


def test_an_excluded_cell_need_not_make_sense() -> None:
    steps = values("train.max_steps", 5, "many")
    plan = expand(suite(steps, exclude=(Selector(fields={"train.max_steps": ("many",)}),)), CATALOG)
    assert list(cells(plan)) == ["sft-max_steps5"]


def test_no_axis_is_one_cell_named_by_its_method() -> None:
    assert list(cells(expand(suite(base=setup(method="orpo")), CATALOG))) == ["orpo"]


def test_included_cells_choose_levels_and_override() -> None:
    extra = Include(levels={"recipe": "sft"}, sets={"train.learning_rate": 1e-4, "lora.r": 4})
    slow = Include(name="slow one", levels={"recipe": "orpo", "lora": "r8"}, sets={"train.learning_rate": 1e-6})
    plan = expand(suite(RECIPE, LORA, stages=START, include=(extra, slow)), CATALOG)
    made = cells(plan)
    assert made["sft-learning_rate0.0001-r4"].config["lora"] == {"r": 4}
    assert made["slow-one"].config["train"]["learning_rate"] == 1e-6
    assert made["slow-one"].config["lora"] == {"r": 8}
    assert made["slow-one"].levels == {"recipe": "orpo", "lora": "r8", "train.learning_rate": "1e-06"}


def test_included_cells_are_not_excluded() -> None:
    include = Include(levels={"train.packing": "true"})
    plan = expand(suite(PACKING, include=(include,), exclude=(Selector(fields={"train.packing": (True,)}),)), CATALOG)
    assert list(cells(plan)) == ["sft", "sft-packing"]


def test_an_include_of_what_is_not_there_names_what_is() -> None:
    said = refused(PACKING, include=(Include(levels={"packing": "true", "train.packing": "yes"}),))
    assert "unknown axis 'packing'" in said
    assert "unknown level 'yes' of axis 'train.packing'" in said


def test_an_include_equal_to_a_cell_is_refused() -> None:
    said = refused(PACKING, include=(Include(name="again", sets={"train.packing": True}),))
    assert "two cells come out equal: sft-packing (train.packing: true) and again (train.packing: true)" in said


def test_cells_equal_by_trl_defaults_are_refused_with_both_names() -> None:
    said = refused(values("train.packing", None, False, True))
    assert "two cells come out equal: sft-packing-null (train.packing: none) and sft-no-packing" in said
    assert "train.packing differs, but not in what is trained" in said


def test_cells_equal_by_peft_defaults_are_refused() -> None:
    assert "come out equal" in refused(values("lora", {}, {"r": 8}))


def test_a_lora_of_defaults_is_not_no_lora() -> None:
    assert len(cells(expand(suite(values("lora", None, {})), CATALOG))) == 2


def test_many_equal_cells_are_counted() -> None:
    said = refused(
        values("train.packing", None, False), values("train.learning_rate", *(i * 1e-5 for i in range(1, 8)))
    )
    assert said.count("come out equal") == 3
    assert "(and 4 more)" in said


def test_levels_that_differ_as_text_only_are_equal() -> None:
    assert "come out equal" in refused(values("train.learning_rate", 1, 1.0))


def test_ten_million_cells_are_refused_at_once_with_the_count() -> None:
    axes = [values(f"train.{name}", *range(1, 11)) for name in ("a", "b", "c", "d", "e", "f", "g")]
    before = time.perf_counter()
    said = refused(*axes)
    assert time.perf_counter() - before < 2
    assert "10,000,000 cells; at most 100,000" in said
    assert "10 train.a × 10 train.b" in said


def test_the_limit_itself_is_allowed() -> None:
    learning = values("train.learning_rate", 1e-5, 1e-4)
    assert len(expand(suite(learning), CATALOG, limit=2).trials) == 2
    with pytest.raises(InputError, match="2 cells; at most 1"):
        expand(suite(learning), CATALOG, limit=1)


def test_two_axes_that_set_one_field_are_refused() -> None:
    said = refused(values("train.learning_rate", 1e-5), named("speed", {"slow": {"train.learning_rate": 1e-6}}))
    assert "axes 'train.learning_rate' and 'speed' both set train.learning_rate" in said


def test_unknown_fields_of_axes_and_includes_are_named() -> None:
    said = refused(named("a", {"x": {"trian.lr": 1}}), include=(Include(sets={"seed": 3, "method.x": 1}),))
    assert "axis 'a' sets an unknown field 'trian.lr'" in said
    assert "did you mean 'train'?" in said
    assert "include 1 sets an unknown field 'seed'" in said
    assert "include 1 sets an unknown field 'method.x'" in said


def test_a_seed_named_twice_is_refused() -> None:
    assert "names a seed twice" in refused(replicates=Replicates(seeds=[1, 2, 1]))


def test_what_is_missing_is_said_once_for_all_cells() -> None:
    said = refused(values("train.learning_rate", 1e-5, 1e-4, 1e-3), base=Setup(train={"max_steps": 1}))
    for name in ("method", "model", "data"):
        assert said.count(f"no {name} is given (3 cells") == 1


def test_a_method_unknown_to_the_harness_gets_the_nearest() -> None:
    said = refused(values("method", "sft", "dop"))
    assert "unknown method 'dop'" in said
    assert "did you mean 'dpo'?" in said


def test_whole_fields_go_before_their_entries_whatever_the_order_of_the_axes() -> None:
    model = values("model", {"shape": "tiny"}, {"shape": "smollm2-135m"})
    seed = values("model.seed", 1, 2)
    one = {cell.id for cell in expand(suite(model, seed), CATALOG).cells}
    other = {cell.id for cell in expand(suite(seed, model), CATALOG).cells}
    assert one == other
    assert len(one) == 4


def test_an_entry_of_nothing_makes_a_mapping_and_null_takes_it_out() -> None:
    plan = expand(suite(values("lora.r", None, 4)), CATALOG)
    assert [cell.config["lora"] for cell in plan.cells] == [None, {"r": 4}]
    with_base = expand(suite(values("lora.r", None, 4), base=setup(lora={"r": 16, "lora_alpha": 2})), CATALOG)
    assert [cell.config["lora"] for cell in with_base.cells] == [{"lora_alpha": 2}, {"lora_alpha": 2, "r": 4}]


def test_a_mapping_for_train_sets_its_entries_alone() -> None:
    plan = expand(
        suite(named("size", {"small": {"train": {"learning_rate": 1e-3}, "limits": {"retries": 0}}})), CATALOG
    )
    assert plan.cells[0].config["train"] == {"max_steps": 10, "learning_rate": 1e-3}
    assert plan.cells[0].config["limits"] == Limits(retries=0).model_dump()


def test_the_base_is_not_changed_by_its_cells() -> None:
    declared = suite(values("train.learning_rate", 1e-5, 1e-4), values("model.seed", 1, 2))
    before = declared.model_dump_json()
    expand(declared, CATALOG)
    assert declared.model_dump_json() == before


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("model", {"shape": "tiny", "hub": "a/b"}, "exactly one of shape, hub, path; it has shape and hub"),
        ("model", {"dtype": "float32"}, "exactly one of shape, hub, path; it has none of them"),
        ("model", "tiny", 'model must be a mapping, not "tiny"'),
        ("model.dtype", "int3", "model.dtype: input should be 'float32', 'bfloat16' or 'float16'"),
        ("model.shape", "tinny", "unknown shape 'tinny'"),
        ("data", {"source": "arithmetik"}, "unknown data source 'arithmetik'"),
        ("data", {"path": "nowhere.jsonl"}, "does not exist"),
        ("data.rows", 0, "data.rows: input should be greater than or equal to 1"),
        ("measure.warmup_steps", -1, "measure.warmup_steps: input should be greater"),
        ("measure.warmup", 1, "measure.warmup: extra inputs are not permitted"),
        ("limits.timeout", "soon", "limits.timeout: 'soon' is not a duration"),
        ("limits.host_memory", "8", "limits.host_memory: '8' is not a size"),
        ("limits.host_memory", "0.1 B", "limits.host_memory: a limit must be more than nothing"),
        ("checkpoint", "burn", "checkpoint must be keep or drop"),
        ("init", {"stage": "nowhere"}, "no stage 'nowhere' (stages of this suite: none)"),
        ("train", None, "train must be a mapping"),
        ("train.max_steps", "ten", "train.max_steps wants"),
        ("train.max_step", 1, "SFTConfig has no field 'max_step'"),
        ("lora", {"rank": 3}, "LoraConfig has no field 'rank'"),
    ],
)
def test_levels_that_cannot_be_are_refused(field: str, value: Any, said: str) -> None:
    assert said in refused(named("axis", {"good": {}, "bad": {field: value}}))


def test_all_problems_come_at_once() -> None:
    said = refused(values("train.max_step", 1), values("limits.timeout", "soon", "10m"), values("method", "sft", "ppo"))
    assert "'soon'" in said
    assert "'ppo'" in said
    assert "max_step" in said


def test_problems_name_the_file() -> None:
    assert refused(values("method", "ppo")).startswith("made/suite.yaml: error: ")
