"""Which attempts make one night."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.compare.nights import nights
from harness.records.history import Measured

BEGIN = datetime(2026, 11, 1, 2, tzinfo=UTC)


def measured(hours: float, value: float | None = 100.0, *, seed: int = 0, attempt: int = 1, **changes: Any) -> Measured:
    fields: dict[str, Any] = {
        "suite": "nightly",
        "cell_id": "sft-id",
        "cell_name": "sft",
        "kind": "cell",
        "trial_id": f"sft-{seed}",
        "name": f"sft-s{seed}",
        "seed": seed,
        "attempt": attempt,
        "run": "r1",
        "started_at": (BEGIN + timedelta(hours=hours)).isoformat(),
        "outcome": "ok" if value is not None else "crashed",
        "environment": "e1",
        "value": value,
    }
    return Measured(**(fields | changes))


def test_a_night_is_one_run_over_its_seeds() -> None:
    made = nights(
        [measured(0, 100), measured(0.1, 121, seed=1), measured(24, 90, attempt=2, run="r2")],
        "ratio",
    )

    assert [night.value for night in made] == pytest.approx([110, 90])
    assert made[0].values == {0: 100, 1: 121}
    assert (made[0].low, made[0].high, made[0].runs) == (100, 121, ("r1",))


@pytest.mark.parametrize(("judged", "value"), [("ratio", 110), ("difference", 110.5), ("most", 121)])
def test_its_figure_is_taken_as_verdicts_judge_the_metric(judged: Any, value: float) -> None:
    assert nights([measured(0, 100), measured(0, 121, seed=1)], judged)[0].value == pytest.approx(value)


def test_two_runs_that_repeat_the_trial_are_two_points_however_close() -> None:
    made = nights([measured(0, 100), measured(0.5, 90, attempt=2, run="r2")], "ratio")

    assert [night.value for night in made] == [100, 90]


def test_a_run_that_goes_on_with_another_is_of_the_same_night() -> None:
    stopped = [measured(0, 100), measured(0.1, None, seed=1, outcome="interrupted")]
    made = nights([*stopped, measured(1, 110, seed=1, attempt=2, run="r2")], "ratio")

    assert [night.values for night in made] == [{0: 100, 1: 110}]
    assert made[0].outcomes == {"interrupted": 1, "ok": 2}
    assert made[0].runs == ("r1", "r2")


def test_a_run_that_measures_disturbed_trials_again_is_of_the_same_night() -> None:
    disturbed = measured(0, 50, disturbed=("throttled",))
    made = nights([disturbed, measured(1, 100, attempt=2, run="r2")], "ratio")

    assert [(night.state, night.value) for night in made] == [("counted", 100)]


def test_the_next_night_is_another_even_where_this_one_failed() -> None:
    made = nights([measured(0, None), measured(24, 100, attempt=2, run="r2")], "ratio")

    assert [(night.state, night.value) for night in made] == [("gap", None), ("counted", 100)]
    assert made[0].outcomes == {"crashed": 1}


def test_another_environment_is_another_point() -> None:
    made = nights([measured(0, 100), measured(0.1, 90, seed=1, environment="e2")], "ratio")

    assert [(night.environment, night.value) for night in made] == [("e1", 100), ("e2", 90)]


def test_disturbed_figures_stand_only_where_there_is_no_other() -> None:
    loud = measured(0, 50, disturbed=("throttled",))
    quiet = measured(0.1, 100, seed=1)

    (alone,) = nights([loud], "ratio")
    (both,) = nights([loud, quiet], "ratio")

    assert (alone.state, alone.value, alone.disturbed) == ("disturbed", 50, ("throttled",))
    assert (both.state, both.values, both.disturbed) == ("counted", {1: 100}, ("throttled",))


def test_attempts_without_a_run_are_told_apart_by_what_they_repeat() -> None:
    alone = [measured(hours, 100 + hours, attempt=n, run=None) for n, hours in enumerate((0, 0.2, 24), start=1)]
    beside = measured(0.1, 121, seed=1, run=None)

    assert [night.values for night in nights([*alone, beside], "ratio")] == [{0: 100, 1: 121}, {0: 100.2}, {0: 124}]
