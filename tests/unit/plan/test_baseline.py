"""Which cells a suite's `baseline` chooses."""

from __future__ import annotations

from harness.plan import expand
from harness.records.plan import Plan
from harness.records.suite import Selector
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
