"""Which cells need more replicates: intervals as scipy computes them, and every kind of awkward input."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from harness.compare.precision import precisions
from harness.records.results import TrialResult
from harness.records.suite import Until

QUIET = (1000.0, 1004.0, 998.0, 1001.0)
NOISY = (1000.0, 1200.0, 900.0)


def trial(cell: str, seed: int, value: float | None, *, name: str, disturbed: bool = False) -> TrialResult:
    return TrialResult(
        trial_id=f"{cell}-{seed}",
        cell_id=cell,
        name=f"{cell}-s{seed}",
        cell_name=cell,
        kind="cell",
        levels={},
        seed=seed,
        method="sft",
        outcome="ok" if value is not None else "oom",
        phase=None,
        cause=None,
        attempts=1,
        environment=None,
        metrics={} if value is None else {name: value},
        disturbed=("throttled",) if disturbed else (),
    )


def cell(
    cell_id: str, values: Sequence[float | None], name: str = "tokens_per_second", disturbed: Sequence[int] = ()
) -> list[TrialResult]:
    return [trial(cell_id, seed, value, name=name, disturbed=seed in disturbed) for seed, value in enumerate(values)]


def undecided(trials: Sequence[TrialResult], until: Until) -> tuple[str, ...]:
    return tuple(found.cell_id for found in precisions(trials, until) if found.needs_more)


def test_the_interval_of_a_rate_is_students_t_on_logs_as_scipy_computes_it() -> None:
    (found,) = precisions(cell("a", QUIET), Until(metric="tokens_per_second", ci="1%"))

    logs = np.log(QUIET)
    low, high = stats.t.interval(0.95, 3, loc=logs.mean(), scale=stats.sem(logs))
    assert found.n == 4
    assert found.mean == pytest.approx(stats.gmean(QUIET))
    assert found.half == pytest.approx(np.exp(high) - np.exp(logs.mean()))
    assert found.wanted == pytest.approx(0.01 * stats.gmean(QUIET))
    assert found.enough
    assert low < high


def test_only_cells_that_are_not_known_well_enough_need_more() -> None:
    trials = [*cell("quiet", QUIET), *cell("noisy", NOISY), *cell("once", QUIET[:1])]

    assert undecided(trials, Until(metric="tokens_per_second", ci="2%")) == ("noisy", "once")
    assert undecided(trials, Until(metric="tokens_per_second", ci="50%")) == ("once",)


def test_an_absolute_width_is_in_the_metrics_unit() -> None:
    name = "score.arithmetic_mc.acc"
    trials = cell("a", (0.90, 0.92, 0.91), name)

    assert undecided(trials, Until(metric=name, ci=0.03)) == ()
    assert undecided(trials, Until(metric=name, ci=0.02)) == ("a",)


@pytest.mark.parametrize(
    ("values", "disturbed", "more"),
    [
        ((1000.0, 1000.0), (), False),  # nothing varies: known as well as can be
        ((1000.0, 1001.0, 500.0), (2,), False),  # what was disturbed does not count
        ((1000.0, 1001.0), (1,), True),
        ((1000.0, math.nan), (), True),
        ((None, None), (), False),  # no run has the figure: more would not give it one
        ((1000.0, None), (), True),
    ],
)
def test_awkward_cells(values: Sequence[float | None], disturbed: Sequence[int], more: bool) -> None:
    found = undecided(cell("a", values, disturbed=disturbed), Until(metric="tokens_per_second", ci="2%"))

    assert bool(found) is more
