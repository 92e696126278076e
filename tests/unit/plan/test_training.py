"""`train` against the method: what TRL does not do for it, and values that ask for nothing."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import InputError
from harness.plan import expand
from harness.plan.training import Training
from harness.records.suite import Selector, Setup, SourceData
from tests.unit.plan.made import CATALOG, RECIPE, cells, named, setup, suite, values

START = {"start": Setup(method="sft", train={"max_steps": 400})}


def trained(method: str, **train: Any) -> dict[str, Any]:
    """What `train` comes to for a method."""
    (cell,) = expand(suite(base=setup(method=method, train=train)), CATALOG).cells
    return dict(cell.config["train"])


def test_packing_for_dpo_is_refused_once_with_the_rule_that_drops_those_cells() -> None:
    axes = (RECIPE, values("lora", None, {"r": 8}), values("train.packing", False, True))
    with pytest.raises(InputError) as caught:
        expand(suite(*axes, stages=START), CATALOG)
    first, second = caught.value.problems
    assert first.what.startswith("dpo does not take train.packing: true (2 cells, the first: recipe: dpo")
    assert first.why is not None
    assert "no packing" in first.why
    assert first.hint is not None
    assert first.hint.endswith("- {method: dpo, train.packing: true}")
    assert second.what.startswith("orpo does not take train.packing: true (2 cells")


def test_the_rule_offered_is_one_that_helps() -> None:
    axes = (RECIPE, values("train.packing_strategy", None, "bfd", "wrapped"))
    with pytest.raises(InputError) as caught:
        expand(suite(*axes, stages=START), CATALOG)
    *refused, equal = caught.value.problems
    assert [problem.hint for problem in refused] == [
        f"leave these cells out; add to exclude:  - {{method: {method}, train.packing_strategy: [bfd, wrapped]}}"
        for method in ("dpo", "orpo")
    ]
    assert "come out equal" in equal.what  # sft: bfd is TRL's default
    rule = Selector(fields={"method": ("dpo", "orpo"), "train.packing_strategy": ("bfd", "wrapped")})
    with pytest.raises(InputError) as caught:
        expand(suite(*axes, stages=START, exclude=(rule,)), CATALOG)
    assert list(caught.value.problems) == [equal]


def test_single_values_are_refused_where_others_of_the_field_work() -> None:
    field = "train.train_sampling_strategy"
    axes = (RECIPE, values(field, "random", "sequential", "group_by_length"))
    with pytest.raises(InputError) as caught:
        expand(suite(*axes, stages=START), CATALOG)
    assert [problem.hint for problem in caught.value.problems] == [
        f"leave these cells out; add to exclude:  - {{method: {method}, {field}: group_by_length}}"
        for method in ("dpo", "orpo")
    ]
    rule = Selector(fields={"method": ("dpo", "orpo"), field: ("group_by_length",)})
    cells = expand(suite(*axes, stages=START, exclude=(rule,)), CATALOG).cells
    asked = [(cell.config["method"], cell.config["train"].get("train_sampling_strategy")) for cell in cells]
    assert ("dpo", "sequential") in asked
    assert ("sft", "group_by_length") in asked


def test_a_field_of_another_method_is_refused_with_the_methods_that_have_it() -> None:
    with pytest.raises(InputError, match="no field 'beta'") as caught:
        expand(suite(RECIPE, values("train.beta", 0.1, 0.5), stages=START), CATALOG)
    (problem,) = caught.value.problems
    assert "(2 cells" in problem.what
    assert problem.hint == "leave these cells out; add to exclude:  - {method: sft, train.beta: [0.1, 0.5]}"


def test_a_field_of_the_base_that_some_methods_lack_belongs_into_their_levels() -> None:
    with pytest.raises(InputError) as caught:
        expand(suite(values("method", "sft", "dpo"), base=setup(train={"beta": 0.2})), CATALOG)
    (problem,) = caught.value.problems
    assert problem.hint == "set train.beta only in the levels or stages whose method takes it, not for sft"


def test_a_switch_that_is_off_and_does_not_exist_asks_for_nothing() -> None:
    assert trained("dpo", packing=False, shuffle_dataset=False) == {}


def test_a_switch_that_is_on_elsewhere_cannot_be_turned_off_silently() -> None:
    with pytest.raises(InputError, match="no field 'pad_all'"):
        trained("dpo", pad_all=False)


def test_null_is_a_value_where_trl_takes_it_and_means_something_else_by_default() -> None:
    assert trained("sft", max_length=None) == {"max_length": None}


@pytest.mark.parametrize("name", ["lr_scheduler_kwargs", "learning_rate", "packing", "eos_token"])
def test_null_elsewhere_asks_for_nothing(name: str) -> None:
    assert trained("sft", **{name: None}) == {}


def test_null_for_a_field_of_another_method_asks_for_nothing() -> None:
    assert trained("orpo", eos_token=None, precompute_ref_log_probs=None) == {}


def test_null_does_not_hide_a_misspelled_field() -> None:
    with pytest.raises(InputError, match="no field 'learningrate'"):
        trained("sft", learningrate=None)


def test_the_harness_own_fields_are_refused() -> None:
    with pytest.raises(InputError, match=r"train\.output_dir "):
        trained("sft", output_dir="here")


def test_stages_are_checked_too_and_named() -> None:
    stages = {"start": Setup(method="dpo", train={"packing": True})}
    with pytest.raises(InputError, match=r"dpo does not take train.packing: true \(stage-start\)"):
        expand(suite(base=setup(init={"stage": "start"}), stages=stages), CATALOG)


def test_without_a_catalogue_refusals_still_hold_and_nothing_else_is_checked() -> None:
    with pytest.raises(InputError, match=r"dpo does not take train.packing: true"):
        expand(suite(values("method", "sft", "dpo"), values("train.packing", False, True)))
    plan = expand(suite(named("a", {"x": {"train.whatever": 1}, "y": {"train.max_length": None}})))
    assert [cell.config["train"] for cell in plan.cells] == [{"max_steps": 10, "whatever": 1}, {"max_steps": 10}]


def test_numbers_and_switches_are_checked_apart() -> None:
    with pytest.raises(InputError, match=r"train\.max_steps wants"):
        expand(suite(values("train.max_steps", 1, True)), CATALOG)
    assert len(cells(expand(suite(values("train.learning_rate", 1, 2)), CATALOG))) == 2


def test_what_is_so_anyway_is_left_out() -> None:
    assert trained("sft", neftune_noise_alpha=0, max_steps=3) == {"max_steps": 3}
    assert trained("sft", packing=True, eval_packing=True) == {"packing": True}
    assert trained("sft", packing=True, eval_packing=False) == {"packing": True}  # no row is kept for evaluation
    base = setup(data=SourceData(source="arithmetic", eval_fraction=0.1), train={"eval_packing": True})
    assert expand(suite(base=base), CATALOG).cells[0].config["train"] == {"eval_packing": True}


def test_a_value_that_is_wrong_by_itself_is_not_looked_at_beside_others() -> None:
    """It may be of any type: where a file has other errors, it is not looked at before."""
    config = {"method": "dpo", "train": {"loss_weights": 1.0}, "lora": None, "environment": None}
    assert [path for path, _ in Training(CATALOG).problems(config)] == ["train.loss_weights"]
