from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.compare.summary import measured as measured_of
from harness.compare.summary import spread, summarise
from tests.unit.compare.made import ACC, cell, figures_of, plan, result, results

FINITE = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)


@given(st.lists(FINITE, min_size=1, max_size=20))
def test_a_spread_is_mean_and_sample_deviation(values: list[float]) -> None:
    found = spread(values)

    assert found.n == len(values)
    assert found.low <= found.mean <= found.high or math.isclose(found.low, found.high, rel_tol=1e-9)
    assert (found.low, found.high) == (min(values), max(values))
    if len(values) == 1:
        assert found.sd is None
    else:
        # Bessel's correction, written out.
        squares = sum((value - found.mean) ** 2 for value in values)
        assert found.sd == pytest.approx(math.sqrt(squares / (len(values) - 1)), rel=1e-6, abs=1e-6)


def test_a_value_that_is_not_finite_shows() -> None:
    assert math.isnan(spread([1.0, math.nan]).mean)
    assert spread([1.0, math.inf]).mean == math.inf
    assert math.isnan(spread([math.inf, -math.inf]).mean)


def test_only_trials_that_ended_well_count() -> None:
    made = plan([cell("dpo")], seeds=4)
    first, second, third, _ = made.trials
    found = results(
        [
            result(first, {ACC: 0.8}),
            result(second, {ACC: 0.9}),
            result(third, {ACC: 0.1}, outcome="diverged"),
        ]
    )

    (summary,) = summarise(measured_of(found, made), made)

    assert summary.metrics[ACC].mean == pytest.approx(0.85)
    assert summary.metrics[ACC].sd == pytest.approx(statistics.stdev([0.8, 0.9]))
    assert summary.outcomes == {"ok": 2, "diverged": 1, "missing": 1}
    assert summary.seeds == (0, 1, 2, 3)


def test_floors_and_stages_come_first() -> None:
    made = plan([cell("dpo"), cell("base", kind="stage"), cell("orpo"), cell("floor", kind="floor")])

    found = summarise(measured_of(results([]), made), made)

    assert [row.name for row in found] == ["floor", "base", "dpo", "orpo"]


def test_a_stage_and_a_cell_of_one_configuration_keep_apart() -> None:
    stage, same = cell("sft", kind="stage"), cell("sft")
    made = plan([stage, same], seeds=1)
    found = results([result(made.trials[0], {ACC: 0.7})])

    rows = summarise(measured_of(found, made), made)

    assert [(row.kind, row.metrics[ACC].mean) for row in rows] == [("stage", 0.7), ("cell", 0.7)]


def test_names_are_the_plans() -> None:
    made, found = figures_of({"dpo": [0.5]})
    renamed = plan([cell("dpo-new")], seeds=1)
    stored = results([result(made.trials[0], {ACC: 0.5}, trial_id=renamed.trials[0].id)])

    (trial,) = measured_of(stored, renamed)

    assert (trial.name, trial.cell_name, trial.metrics) == ("dpo-new-s0", "dpo-new", {ACC: 0.5})
    assert found.trials[0].name == "dpo-s0"
