"""Stages: what they are, how they are shared, and what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import InputError
from harness.plan import expand
from harness.records.plan import Plan, Trial
from harness.records.suite import Axis, Init, Limits, Replicates, Score, Setup, ShapeModel, SourceData
from tests.unit.plan.made import CATALOG, RECIPE, TINY, cells, named, setup, suite, values

FROM = {"init": {"stage": "start"}}
TWO = Replicates(seeds=[0, 1])
MODELS = values("model", {"shape": "tiny"}, {"shape": "smollm2-135m"})


def started(*axes: Axis, stage: Setup, **fields: Any) -> Plan:
    """A DPO suite whose cells start from one stage."""
    base = fields.pop("base", setup(method="dpo", **FROM))
    return expand(suite(*axes, **{"base": base, "stages": {"start": stage}, **fields}), CATALOG)


def stages(plan: Plan) -> list[Trial]:
    return [trial for trial in plan.trials if trial.cell.kind == "stage"]


def test_a_stage_is_trained_once_for_all_cells_and_seeds() -> None:
    plan = started(values("train.beta", 0.1, 0.5), stage=Setup(method="sft"), replicates=TWO)
    (stage,) = stages(plan)
    assert stage.name == "stage-start"
    assert [trial.needs for trial in plan.trials] == [None, *[stage.id] * 4]
    assert {cell.needs for cell in cells(plan).values()} == {stage.cell.id}


def test_a_stage_is_the_base_with_its_own_fields_over_it() -> None:
    base = setup(
        method="dpo",
        train={"max_steps": 10, "max_length": 64},
        lora={"r": 8},
        limits=Limits(timeout="5m"),
        checkpoint="drop",
        **FROM,
    )
    stage = Setup(method="sft", train={"max_steps": 99}, limits=Limits(retries=0), lora=None)
    config = stages(started(stage=stage, base=base))[0].cell.config
    assert config["method"] == "sft"
    assert config["train"] == {"max_steps": 99, "max_length": 64}
    assert config["limits"] == Limits(timeout="5m", retries=0).model_dump()
    assert config["lora"] is None
    assert config["data"]["source"] == "arithmetic"
    assert config["init"] is None
    assert config["checkpoint"] == "keep"


def test_a_stage_takes_out_of_the_base_what_it_sets_to_null() -> None:
    base = setup(method="dpo", train={"beta": 0.3, "max_steps": 5}, **FROM)
    stage = stages(started(stage=Setup(method="sft", train={"beta": None}), base=base))[0]
    assert stage.cell.config["train"] == {"max_steps": 5}


def test_levels_of_cells_do_not_reach_their_stage() -> None:
    axes = (values("train.max_steps", 1, 2), values("lora", None, {"r": 4}))
    plan = started(*axes, stage=Setup(method="sft", train={"max_steps": 50}))
    (stage,) = stages(plan)
    assert stage.cell.config["train"] == {"max_steps": 50}
    assert stage.cell.config["lora"] is None


def test_a_matrix_over_models_trains_the_stage_once_for_each() -> None:
    plan = started(MODELS, values("train.beta", 0.1, 0.5), stage=Setup(method="sft"), replicates=TWO)
    assert [trial.name for trial in stages(plan)] == ["stage-start-tiny", "stage-start-smollm2-135m"]
    by_id = {trial.id: trial for trial in plan.trials}
    for trial in plan.trials:
        if trial.needs:
            assert by_id[trial.needs].cell.config["model"] == trial.cell.config["model"]


def test_data_comes_from_the_base_and_not_from_the_cell() -> None:
    data = values("data", {"source": "arithmetic"}, {"source": "pydoc"})
    plan = started(data, stage=Setup(method="sft"))
    (stage,) = stages(plan)
    assert stage.cell.config["data"]["source"] == "arithmetic"
    own = started(data, stage=Setup(method="sft", data=SourceData(source="pydoc")))
    assert stages(own)[0].cell.config["data"]["source"] == "pydoc"


def test_only_stages_that_some_cell_needs_are_planned() -> None:
    plan = expand(suite(stages={"start": Setup(method="sft", train={"max_steps": 3})}), CATALOG)
    assert [trial.name for trial in plan.trials] == ["sft-s0"]


def test_a_stage_of_a_stage_comes_first_and_passes_the_model_on() -> None:
    chain = {
        "second": Setup(method="sft", train={"max_steps": 20}, init=Init(stage="first")),
        "first": Setup(method="sft", train={"max_steps": 30}),
    }
    base = setup(method="dpo", init={"stage": "second"})
    plan = expand(suite(MODELS, base=base, stages=chain), CATALOG)
    assert [trial.name for trial in plan.trials] == [
        "stage-first-tiny",
        "stage-second-tiny",
        "stage-first-smollm2-135m",
        "stage-second-smollm2-135m",
        "dpo-tiny-s0",
        "dpo-smollm2-135m-s0",
    ]
    first, second = plan.trials[:2]
    assert (first.needs, second.needs) == (None, first.id)
    assert second.cell.needs == first.cell.id


def test_stages_in_a_circle_are_shown_once() -> None:
    circle = {
        "a": Setup(method="sft", init=Init(stage="b")),
        "b": Setup(method="sft", init=Init(stage="c")),
        "c": Setup(method="sft", init=Init(stage="a")),
        "d": Setup(method="sft", init=Init(stage="a")),
        "e": Setup(method="sft", init=Init(stage="e")),
    }
    with pytest.raises(InputError) as caught:
        expand(suite(stages=circle), CATALOG)
    assert [problem.what for problem in caught.value.problems] == [
        "stages form a circle: a → b → c → a",
        "stages form a circle: e → e",
    ]


def test_a_stage_that_starts_from_nowhere_is_named() -> None:
    chain = {"start": Setup(method="sft", init=Init(stage="nowhere"))}
    with pytest.raises(InputError, match="no stage 'nowhere'"):
        expand(suite(base=setup(method="dpo", **FROM), stages=chain), CATALOG)


def test_a_stage_that_trains_another_model_is_refused() -> None:
    other = Setup(method="sft", model=ShapeModel(shape="smollm2-135m"))
    with pytest.raises(InputError, match="stage 'start' trains another model than what starts from it"):
        started(stage=other)


def test_a_stage_may_train_the_same_model_in_another_dtype() -> None:
    plan = started(stage=Setup(method="sft", model=ShapeModel(shape="tiny", dtype="bfloat16")))
    assert stages(plan)[0].cell.config["model"]["dtype"] == "bfloat16"


def test_stages_with_one_content_are_one_training() -> None:
    pair = {name: Setup(method="sft", train={"max_steps": 40}) for name in ("one", "two")}
    start = named("start", {"a": {"init": {"stage": "one"}}, "b": {"init": {"stage": "two"}, "train.beta": 0.5}})
    plan = expand(suite(start, base=setup(method="dpo"), stages=pair), CATALOG)
    assert len(stages(plan)) == 1
    assert len({trial.needs for trial in plan.trials[1:]}) == 1


def test_stages_that_differ_by_seed_are_two_trainings() -> None:
    pair = {name: Setup(method="sft", seed=seed) for name, seed in (("one", 0), ("two", 5))}
    start = values("init", {"stage": "one"}, {"stage": "two"})
    plan = expand(suite(start, base=setup(method="dpo"), stages=pair), CATALOG)
    assert [(trial.name, trial.seed) for trial in stages(plan)] == [("stage-one", 0), ("stage-two", 5)]
    assert len({trial.cell.id for trial in stages(plan)}) == 1
    assert [trial.name for trial in plan.trials[2:]] == ["dpo-from-one-s0", "dpo-from-two-s0"]


def test_a_stage_that_is_a_cell_as_well_is_trained_once() -> None:
    recipe = named("recipe", {"sft": {"method": "sft"}, "dpo": {"method": "dpo", **FROM}})
    plan = started(recipe, stage=Setup(method="sft"), base=setup(checkpoint="drop"), replicates=TWO)
    assert [trial.name for trial in plan.trials] == ["sft-s0", "dpo-s0", "sft-s1", "dpo-s1"]
    assert [trial.needs for trial in plan.trials] == [None, plan.trials[0].id, None, plan.trials[0].id]
    assert cells(plan)["sft"].config["checkpoint"] == "keep"
    assert cells(plan)["dpo"].config["checkpoint"] == "drop"
    (warning,) = plan.warnings
    assert warning.what.startswith("the checkpoint of sft is kept although the suite says drop")


def test_a_stage_is_kept_even_where_it_says_drop_and_that_is_said() -> None:
    plan = started(stage=Setup(method="sft", checkpoint="drop"))
    assert stages(plan)[0].cell.config["checkpoint"] == "keep"
    assert "stage 'start' is kept although" in plan.warnings[0].what


def test_floors_are_the_models_untrained() -> None:
    score = Score(tasks=["arithmetic_mc"])
    plan = expand(suite(RECIPE, stages={"start": Setup(method="sft")}, score=score, replicates=TWO), CATALOG)
    (floor,) = [trial for trial in plan.trials if trial.cell.kind == "floor"]
    assert (floor.name, floor.seed, floor.needs) == ("floor", 0, None)
    assert floor.cell.config["method"] is None
    assert floor.cell.config["data"] is None
    assert floor.cell.config["train"] == {}
    assert floor.cell.config["model"]["shape"] == TINY.shape


def test_one_floor_for_each_model_named_by_it() -> None:
    dtype = values("model.dtype", "float32", "bfloat16")
    plan = expand(suite(MODELS, dtype, score=Score(tasks=["arithmetic_mc"])), CATALOG)
    assert [trial.name for trial in plan.trials if trial.cell.kind == "floor"] == [
        "floor-tiny-float32",
        "floor-tiny-bfloat16",
        "floor-smollm2-135m-float32",
        "floor-smollm2-135m-bfloat16",
    ]


@pytest.mark.parametrize("score", [None, Score(tasks=["arithmetic_mc"], floor=False)])
def test_no_floor_where_none_is_wanted(score: Score | None) -> None:
    assert {cell.kind for cell in expand(suite(score=score), CATALOG).cells} == {"cell"}
