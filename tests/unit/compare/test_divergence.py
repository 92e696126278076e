"""Where losses of one seed part."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from harness.compare.divergence import divergences, first_divergence
from harness.records.metrics import Margin
from harness.records.results import Curve
from harness.records.verdict import Divergence
from tests.unit.compare.made import cell, plan, result

PERCENT = Margin(relative=0.01)


def curve(values: Sequence[float], *, seed: int = 0, steps: Sequence[int] = (), trial: str = "t") -> Curve:
    return Curve(
        trial_id=trial,
        cell_name="c",
        seed=seed,
        metric="loss",
        steps=tuple(steps or range(1, len(values) + 1)),
        values=tuple(values),
    )


@pytest.mark.parametrize(
    ("other", "exact", "beyond"),
    [
        ([2.0, 1.5, 1.0], None, None),
        ([2.0, 1.5000001, 1.0], 2, None),
        ([2.0, 1.51, 1.2], 2, 3),
        ([2.1, 1.5, 1.0], 1, 1),
        ([2.0, math.nan, 1.0], 2, 2),
        ([2.0, 1.5, math.inf], 3, 3),
    ],
)
def test_the_first_step_that_differs_and_the_first_beyond_the_margin(
    other: list[float], exact: int | None, beyond: int | None
) -> None:
    found = first_divergence(curve([2.0, 1.5, 1.0]), curve(other), PERCENT)

    assert found == Divergence(seed=0, steps=3, last=3, exact=exact, beyond=beyond)


def test_two_that_are_no_numbers_are_the_same() -> None:
    found = first_divergence(curve([2.0, math.nan, math.inf]), curve([2.0, math.nan, math.inf]), PERCENT)

    assert found is not None
    assert (found.exact, found.beyond) == (None, None)


def test_only_steps_of_both_count_and_of_one_logged_twice_the_last() -> None:
    one = curve([3.0, 2.0, 1.5, 1.0], steps=[5, 10, 10, 15])
    other = curve([9.0, 1.5, 1.0, 0.5], steps=[1, 10, 15, 20])

    assert first_divergence(one, other, PERCENT) == Divergence(seed=0, steps=2, last=15, exact=None, beyond=None)
    assert first_divergence(one, curve([1.0], steps=[7]), PERCENT) is None


def test_seeds_of_both_sides_are_compared_and_failed_trials_are_not() -> None:
    trials = plan([cell("sft")], seeds=4).trials
    before = [result(trial, {}) for trial in trials]
    after = [result(trial, {}, outcome="oom" if trial.seed == 1 else "ok") for trial in trials if trial.seed != 3]
    same = {trial.id: curve([1.0, 2.0], seed=trial.seed, trial=trial.id) for trial in trials}
    moved = {**same, trials[2].id: curve([1.0, 2.5], seed=2, trial=trials[2].id)}

    found = divergences(before, after, (same, moved), PERCENT)

    assert [(one.seed, one.exact) for one in found] == [(0, None), (2, 2)]
