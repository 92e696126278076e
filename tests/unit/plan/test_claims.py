"""Which cells tell of a claim, and what is said where none can."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import InputError, Problem
from harness.plan import expand
from harness.records.plan import Plan, PlannedClaim
from harness.records.suite import Claim, Selector, Suite
from tests.unit.plan.made import CATALOG, cells, named, suite, values

RECIPE = named("recipe", {"sft": {"method": "sft"}, "orpo": {"method": "orpo"}})
LENGTHS = values("train.max_length", 64, 128)
PACKING = values("train.packing", False, True)
ROWS = named("rows", {"padded": {}, "packed": {"train.packing": True}, "long": {"train.max_length": 512}})


def claim(path: str, one: Any, other: Any, **changes: Any) -> Claim:
    sides = [Selector(fields={path: (value,)}) for value in (one, other)]
    fields: dict[str, Any] = {"says": "?", "source": "?", "metric": "tokens_per_second", "kind": "ratio", "low": 2.0}
    return Claim(**(fields | {"axis": path, "reference": sides[0], "candidate": sides[1]} | changes))


def planned(declared: Suite) -> tuple[Plan, PlannedClaim]:
    plan = expand(declared, CATALOG)
    return plan, plan.claims[0]


def names_of(plan: Plan, one: PlannedClaim) -> set[tuple[str, str]]:
    known = {cell.id: name for name, cell in cells(plan).items()}
    return {(known[before], known[after]) for before, after in one.pairs}


def test_cells_are_paired_where_all_else_is_alike() -> None:
    plan, one = planned(suite(PACKING, LENGTHS, claims=(claim("train.packing", False, True),)))

    assert len(one.pairs) == 2
    for before, after in names_of(plan, one):
        assert cells(plan)[before].levels["train.max_length"] == cells(plan)[after].levels["train.max_length"]
    assert (one.alone, one.lacking) == ((), "")


def test_where_holds_other_axes_still() -> None:
    where = Selector(fields={"train.max_length": (64,)})
    _, one = planned(suite(PACKING, LENGTHS, claims=(claim("train.packing", False, True, where=where),)))

    assert len(one.pairs) == 1


def test_a_field_that_a_named_axis_sets_is_compared_through_it() -> None:
    where = Selector(levels={"rows": ("padded", "packed")})
    steps = values("train.max_steps", 5, 10)
    _, one = planned(suite(ROWS, steps, claims=(claim("train.packing", False, True, where=where),)))

    assert len(one.pairs) == 2


def test_cells_without_a_counterpart_are_named() -> None:
    gone = Selector(fields={"train.packing": (True,), "train.max_length": (64,)})
    _, one = planned(suite(PACKING, LENGTHS, exclude=(gone,), claims=(claim("train.packing", False, True),)))

    assert len(one.pairs) == 1
    assert len(one.alone) == 1
    assert "64" in one.alone[0]


def test_cells_that_lack_a_package_leave_the_claim_with_a_reason() -> None:
    attention = values("model.attn_implementation", "sdpa", "flash_attention_3")
    _, one = planned(suite(attention, claims=(claim("model.attn_implementation", "sdpa", "flash_attention_3"),)))

    assert one.pairs == ()
    assert "flash-attn-3, which is not installed here" in one.lacking


def test_a_claim_about_a_figure_has_each_cell_beside_itself() -> None:
    only = Selector(fields={"train.packing": (True,)})
    figure = claim("", 1, 2, axis=None, kind="value", reference=None, candidate=only)
    plan, one = planned(suite(PACKING, claims=(figure,)))

    ((before, after),) = names_of(plan, one)
    assert before == after
    assert cells(plan)[before].levels == {"train.packing": "true"}


def refused(declared: Suite) -> Problem:
    with pytest.raises(InputError) as caught:
        expand(declared, CATALOG)
    (problem,) = caught.value.problems
    return problem


def test_a_level_that_no_cell_has_gets_those_there_are() -> None:
    problem = refused(suite(LENGTHS, claims=(claim("train.max_length", 64, 256),)))

    assert problem.what == "claim 1 matches no cell: train.max_length is 256"
    assert problem.hint == "train.max_length is 64 or 128"


def test_several_cells_against_one_ask_for_where() -> None:
    problem = refused(suite(ROWS, claims=(claim("train.packing", False, True),)))

    assert problem.what == "claim 1 compares several cells with one: rows: padded and rows: long"
    assert problem.hint == "say in where which of them it means"


def test_cells_that_never_differ_in_that_alone_are_told() -> None:
    gone = (
        Selector(fields={"train.packing": (True,), "train.max_length": (64,)}),
        Selector(fields={"train.packing": (False,), "train.max_length": (128,)}),
    )
    problem = refused(suite(PACKING, LENGTHS, exclude=gone, claims=(claim("train.packing", False, True),)))

    assert problem.what == "claim 1: no two cells differ in train.packing alone"
    assert "train.max_length: 64" in str(problem.why)
    assert "train.max_length: 128" in str(problem.why)


def test_where_that_leaves_nothing_of_a_side_is_told() -> None:
    where = Selector(fields={"train.packing": (False,)})
    problem = refused(suite(PACKING, claims=(claim("train.packing", False, True, where=where),)))

    assert problem.what == "claim 1: no cell of its where is one with train.packing is true"
