"""The axes of a plan, and which level the others are set beside."""

from __future__ import annotations

import dataclasses
from typing import Any

from harness.compare import answer, effects
from harness.compare.axes import axes_of
from harness.records.suite import Axis, Level
from tests.unit.compare.made import ACC, cell, plan, result, results, suite

GC = Axis(name="gc", levels=tuple(Level(name=name, sets={}) for name in ("off", "on", "never-run")))


def made(**changes: Any) -> Any:
    cells = [
        cell(f"sft-{one}-{rank}", levels={"gc": one, "rank": rank}) for one in ("on", "off") for rank in ("r8", "r4")
    ]
    cells += [cell("floor", kind="floor", levels={}), cell("base", kind="stage", levels={})]
    whole = plan(cells, of=suite().model_copy(update={"matrix": (GC,)}))
    return dataclasses.replace(whole, **changes)


def test_levels_are_in_the_suites_order_and_then_as_they_come() -> None:
    assert axes_of(made()) == {"gc": ("off", "on", "never-run"), "rank": ("r8", "r4")}


def test_the_baselines_level_comes_first_where_it_has_one() -> None:
    assert axes_of(made(baseline=("sft-on-r4-id",))) == {"gc": ("on", "off", "never-run"), "rank": ("r4", "r8")}
    both = made(baseline=("sft-on-r4-id", "sft-on-r8-id"))
    assert axes_of(both) == {"gc": ("on", "off", "never-run"), "rank": ("r8", "r4")}


def test_included_cells_say_nothing_of_what_the_axes_are() -> None:
    whole = made()
    extra = dataclasses.replace(cell("x", levels={"gc": "on", "rank": "r4", "method": "dpo"}), origin=("include", 0))
    whole = dataclasses.replace(whole, cells=(extra, *whole.cells))

    assert list(axes_of(whole)) == ["gc", "rank"]


def test_a_plan_without_cells_has_no_axes() -> None:
    assert axes_of(plan([])) == {}


def test_floors_and_stages_take_no_part_and_the_answer_shows_its_own_scores() -> None:
    whole = made()
    chosen = {ACC: 0.5, "score.arithmetic_mc.acc_norm": 0.6, "tokens_per_second": 10.0}
    trials = [
        result(trial, {name: value + 0.01 * trial.seed for name, value in chosen.items()}) for trial in whole.trials
    ]

    told = answer(results(trials), whole).effects
    assert told.metrics == (ACC, "tokens_per_second")
    assert {one.verdict.effect.n for one in told.effects if one.verdict.effect} == {(4, 4)}
    assert effects(results(trials), whole).metrics == (ACC, "score.arithmetic_mc.acc_norm", "tokens_per_second")
    assert effects(results(trials), whole, metrics=["train_seconds"]).effects == ()
