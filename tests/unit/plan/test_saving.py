"""When weights are saved on the way: what the suite asks for, and what it forgot to say."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import InputError
from harness.methods.catalog import Catalog
from harness.plan import expand, spec_of
from harness.plan.saving import save_every
from harness.records.plan import Plan
from harness.records.suite import Axis, Score, Setup, Suite
from tests.unit.plan.made import CATALOG, named, setup, suite, values

CHECKPOINTS = Score(tasks=["a"], every="checkpoint")


def _suite(train: dict[str, Any], *axes: Axis, score: Score | None = CHECKPOINTS, **fields: Any) -> Suite:
    return suite(*axes, base=setup(train={"max_steps": 10, **train}), score=score, **fields)


def _saved(plan: Plan, catalog: Catalog | None = CATALOG) -> dict[str, float | str | None]:
    return {trial.name: spec_of(trial, plan, catalog).save_every for trial in plan.trials}


def _problem(made: Suite) -> Any:
    with pytest.raises(InputError) as caught:
        expand(made, CATALOG)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("train", "every", "expected"),
    [
        ({"save_steps": 4}, "checkpoint", 4),
        ({"save_steps": 0.25}, "checkpoint", 0.25),
        ({"save_strategy": "steps", "save_steps": 4}, "checkpoint", 4),
        ({"save_strategy": "steps"}, "checkpoint", 500),  # TRL's own
        ({"save_strategy": "epoch"}, "checkpoint", "epoch"),
        ({"save_strategy": "epoch", "save_steps": 4}, "checkpoint", "epoch"),
        ({}, 3, 3),
        ({"save_strategy": "no"}, 3, 3),
        ({"save_strategy": "no"}, "end", None),
        ({}, "end", None),
    ],
)
def test_a_spec_says_when_weights_are_saved(train: dict[str, Any], every: Any, expected: Any) -> None:
    plan = expand(_suite(train, score=Score(tasks=["a"], every=every)), CATALOG)
    assert _saved(plan) == {"floor": None, "sft-s0": expected}
    if "save_steps" in train:
        assert _saved(plan, None)["sft-s0"] == expected


def test_defaults_of_trl_about_saving_are_not_what_happens() -> None:
    plan = expand(_suite({}, score=None), CATALOG)
    assert not {"save_steps", "save_strategy"} & set(spec_of(plan.trials[0], plan, CATALOG).defaults)


def test_what_is_saved_is_no_part_of_a_cell() -> None:
    plain = expand(_suite({}, score=None), CATALOG)
    saving = expand(_suite({"save_steps": 4}), CATALOG)
    often = expand(_suite({}, score=Score(tasks=["a"], every=1)), CATALOG)
    ids = [{trial.id for trial in plan.trials if trial.cell.kind == "cell"} for plan in (plain, saving, often)]
    assert ids[0] == ids[1] == ids[2]
    assert "two cells come out equal" in _problem(_suite({}, values("train.save_steps", 2, 4))).what


@pytest.mark.parametrize(
    ("train", "why"),
    [
        ({}, "it has neither train.save_steps nor train.save_strategy"),
        ({"save_strategy": "no"}, "its train.save_strategy is no"),
        ({"save_strategy": "no", "save_steps": 4}, "its train.save_strategy is no"),
    ],
)
def test_checkpoints_to_be_scored_must_be_saved(train: dict[str, Any], why: str) -> None:
    problem = _problem(_suite(train, values("train.learning_rate", 1e-3, 1e-4)))
    assert problem.what.startswith("score.every: checkpoint, but this training saves none on the way (2 cells")
    assert problem.why == why
    assert "train.save_steps: 50" in problem.hint


def test_of_several_cells_those_that_save_none_are_named() -> None:
    slow = {"train.save_strategy": "no", "train.learning_rate": 1e-6}
    problem = _problem(_suite({"save_steps": 4}, named("speed", {"slow": slow, "fast": {"train.learning_rate": 1e-3}})))
    assert "(speed: slow)" in problem.what


def test_the_best_is_no_step() -> None:
    problem = _problem(_suite({"save_strategy": "best"}))
    assert (problem.what, "epoch" in problem.hint) == (
        "train.save_strategy: best saves nothing here (the base itself)",
        True,
    )


@pytest.mark.parametrize("score", [None, Score(tasks=["a"])])
def test_saving_that_nothing_asks_for_is_told(score: Score | None) -> None:
    problem = _problem(_suite({"save_steps": 4}, score=score))
    assert problem.what.startswith("train.save_steps saves nothing in this suite")
    assert "every: checkpoint" in problem.hint


def test_two_words_on_when_to_save_are_one_too_many() -> None:
    problem = _problem(_suite({"save_steps": 4}, score=Score(tasks=["a"], every=5)))
    assert "score.every: 5 says when" in problem.why


def test_a_training_that_ends_first_is_told_and_runs() -> None:
    short = _suite({"save_steps": 10}, values("train.max_steps", 8, 10, 20, -1))
    plan = expand(short, CATALOG)
    assert [problem.what for problem in plan.warnings] == [
        "sft-max_steps8 trains 8 steps, and would save every 10: only the weights of the end are scored",
        "sft-max_steps10 trains 10 steps, and would save every 10: only the weights of the end are scored",
    ]
    assert expand(_suite({"save_steps": 0.5}), CATALOG).warnings == ()


def test_stages_save_where_they_say_so_and_need_not() -> None:
    quiet = Setup(method="sft", train={"save_strategy": "no", "learning_rate": 1e-6})
    stages = {"quiet": quiet, "loud": Setup(method="sft")}
    made = _suite({"save_steps": 4}, values("init", {"stage": "quiet"}, {"stage": "loud"}), stages=stages)
    saved = _saved(expand(made, CATALOG))
    assert (saved["stage-quiet"], saved["stage-loud"]) == (None, 4)
    everywhere = made.model_copy(
        update={"base": setup(train={"max_steps": 10}), "score": Score(tasks=["a"], every=3)},
    )
    assert set(_saved(expand(everywhere, CATALOG)).values()) == {None, 3}  # None: the floor


def test_the_floor_saves_nothing() -> None:
    assert save_every({"method": None, "train": {}}, Score(tasks=["a"], every=3), CATALOG) is None
