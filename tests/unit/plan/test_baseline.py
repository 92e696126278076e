"""Which cells a suite's `baseline` chooses."""

from __future__ import annotations

import pytest

from harness.errors import InputError, Problem
from harness.plan import expand
from harness.records.plan import Plan
from harness.records.suite import Selector, Suite
from tests.unit.plan.made import CATALOG, cells, named, suite, values

RECIPE = named("recipe", {"sft": {"method": "sft"}, "orpo": {"method": "orpo"}})
LENGTHS = values("train.max_length", 64, 128)
PACKING = values("train.packing", False, True)


def chosen(plan: Plan) -> set[str]:
    names = {cell.id: name for name, cell in cells(plan).items()}
    return {names[one] for one in plan.baseline}


def test_no_baseline_chooses_no_cell() -> None:
    assert expand(suite(RECIPE), CATALOG).baseline == ()


def test_the_baseline_is_told_by_cell_ids() -> None:
    plan = expand(suite(RECIPE, LENGTHS, baseline=Selector(levels={"recipe": ("sft",)})), CATALOG)

    assert chosen(plan) == {name for name, cell in cells(plan).items() if cell.config["method"] == "sft"}
    assert len(plan.baseline) == 2


def test_the_baseline_sees_trl_defaults() -> None:
    baseline = Selector(fields={"train.weight_decay": (0.0,), "train.packing": (False,)})

    plan = expand(suite(PACKING, baseline=baseline), CATALOG)

    (one,) = plan.baseline
    assert next(cell for cell in plan.cells if cell.id == one).config["train"].get("packing") in (None, False)


def refused(declared: Suite) -> Problem:
    with pytest.raises(InputError) as caught:
        expand(declared, CATALOG)
    (problem,) = caught.value.problems
    return problem


def test_a_baseline_that_no_cell_is_gets_what_there_is() -> None:
    problem = refused(suite(RECIPE, LENGTHS, baseline=Selector(fields={"train.max_length": (256,)})))

    assert problem.what == "baseline matches no cell: train.max_length is 256"
    assert problem.hint == "train.max_length is 64 or 128"


def test_a_baseline_of_trl_defaults_gets_them_told() -> None:
    problem = refused(suite(RECIPE, baseline=Selector(fields={"train.weight_decay": (0.1,)})))

    assert problem.hint == "train.weight_decay is 0"


def test_a_baseline_whose_parts_never_meet_gets_the_nearest_cell() -> None:
    baseline = Selector(levels={"recipe": ("sft",)}, fields={"train.max_length": (128,), "method": ("sft", "orpo")})
    excluded = Selector(levels={"recipe": ("sft",)}, fields={"train.max_length": (128,)})

    problem = refused(suite(RECIPE, LENGTHS, baseline=baseline, exclude=(excluded,)))

    assert "never all of them" in str(problem.why)
    assert problem.hint == "the nearest cell is recipe: sft, train.max_length: 64"
