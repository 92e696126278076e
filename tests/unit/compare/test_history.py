"""A metric over the nights: series, what is told at a change, and what does not count."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.compare import history
from harness.records.history import History, Measured, Past
from harness.records.metrics import metric

BEGIN = datetime(2026, 11, 1, 2, tzinfo=UTC)
SPEED = metric("tokens_per_second")
ENVIRONMENTS = {
    "old": {"hash": "old", "cpu": {"model": "Some CPU"}, "packages": {"trl": "1.15.0", "torch": "2.13.0"}},
    "new": {"hash": "new", "cpu": {"model": "Some CPU"}, "packages": {"trl": "1.16.0", "torch": "2.13.0"}},
    "gpu": {"hash": "gpu", "device": {"name": "NVIDIA H100", "count": 1}, "packages": {"trl": "1.15.0"}},
}


def night(number: int, value: float | None, **changes: Any) -> Measured:
    fields: dict[str, Any] = {
        "suite": "nightly",
        "cell_id": "sft-id",
        "cell_name": "sft",
        "kind": "cell",
        "trial_id": "sft-0",
        "name": "sft-s0",
        "seed": 0,
        "attempt": number + 1,
        "run": f"run{number}",
        "started_at": (BEGIN + timedelta(days=number)).isoformat(),
        "outcome": "ok" if value is not None else "crashed",
        "environment": "old" if number < 10 else "new",
        "value": value,
    }
    return Measured(**(fields | changes))


def speeds(count: int = 20, *, at: int = 10, by: float = 0.95) -> list[Measured]:
    chance = random.Random(4)
    return [night(one, 1000 * chance.gauss(1, 0.005) * (by if one >= at else 1)) for one in range(count)]


def told(attempts: Sequence[Measured], name: str = "tokens_per_second") -> History:
    known = metric(name)
    assert known is not None
    return history(known, Past(attempts=attempts, environments=ENVIRONMENTS))


def test_a_change_is_told_with_its_ratio_and_what_differs_in_the_environment() -> None:
    (series,) = told(speeds()).series

    (change,) = series.changes
    assert (change.night, change.after, change.ruling) == (10, 9, "regressed")
    assert change.effect is not None
    assert change.effect.low < 0.95 < change.effect.high
    assert change.effect.high - change.effect.low < 0.02
    assert change.environment == ("packages.trl 1.15.0 → 1.16.0",)
    assert series.noise == pytest.approx(0.005, rel=0.5)


def test_more_speed_is_better_and_more_time_is_not() -> None:
    assert told(speeds(by=1.05)).series[0].changes[0].ruling == "improved"
    assert told(speeds(by=1.05), "step_seconds_p50").series[0].changes[0].ruling == "regressed"
    assert told(speeds(by=1.05), "real_tokens").series[0].changes[0].ruling is None


def test_nights_that_do_not_count_are_shown_and_left_out_of_the_search() -> None:
    nights = speeds()
    nights[5] = replace(nights[5], value=500.0, disturbed=("throttled",))
    nights[6] = replace(nights[6], value=510.0, disturbed=("throttled",))
    nights[10] = night(10, None)

    (series,) = told(nights).series

    assert [one.state for one in series.nights] == [
        *["counted"] * 5, "disturbed", "disturbed", *["counted"] * 3, "gap", *["counted"] * 9
    ]  # fmt: skip
    (change,) = series.changes
    assert (change.night, change.after) == (11, 9)
    assert "1 night between the two levels does not count" in change.notes[0]


def test_another_device_is_another_series() -> None:
    moved = [replace(one, environment="gpu") if number >= 10 else one for number, one in enumerate(speeds())]

    found = told(moved)

    assert [(series.device, len(series.nights)) for series in found.series] == [("NVIDIA H100", 10), ("Some CPU", 10)]
    assert not any(series.changes for series in found.series)
    assert "1 cell ran on several devices" in found.findings[0]


def test_a_night_that_knew_no_environment_is_a_gap_in_its_series() -> None:
    nights = speeds()
    nights[8] = night(8, None, environment=None)

    (series,) = told(nights).series

    assert series.nights[8].state == "gap"
    assert series.nights[8].environment == "old"


def test_an_edited_cell_is_another_series_of_the_same_name() -> None:
    edited = [replace(one, cell_id="other-id") if number >= 10 else one for number, one in enumerate(speeds())]

    assert [series.cell for series in told(edited).series] == ["sft [other-id]", "sft [sft-id]"]


def test_other_seeds_are_told_at_a_change() -> None:
    nights = [replace(one, seed=1, trial_id="sft-1") if number >= 10 else one for number, one in enumerate(speeds())]

    assert told(nights).series[0].changes[0].notes == ("other seeds: 0 before, 1 after",)


def test_memory_that_never_varies_and_jumps() -> None:
    memory = [night(one, 2.0**30 * (1.05 if one >= 10 else 1)) for one in range(12)]

    (change,) = told(memory, "peak_device_memory").series[0].changes

    assert (change.night, change.ruling) == (10, "regressed")
    assert change.effect is not None
    assert change.effect.value == pytest.approx(1.05)


def test_a_loss_goes_by_differences_even_below_zero() -> None:
    chance = random.Random(2)
    margins = [night(one, chance.gauss(-0.1 if one < 10 else 0.4, 0.02)) for one in range(20)]

    (change,) = told(margins, "final_reward_margin").series[0].changes

    assert change.night == 10
    assert change.effect is not None
    assert change.effect.kind == "difference"
    assert change.effect.value == pytest.approx(0.5, abs=0.05)


def test_few_nights_say_why_nothing_was_looked_for() -> None:
    (series,) = told(speeds(4)).series

    assert series.changes == ()
    assert series.not_searched == "4 nights count; it takes 6 to look for changes"


def test_cells_without_any_figure_are_told_not_drawn() -> None:
    floor = night(0, None, outcome="ok", cell_id="floor-id", cell_name="floor", trial_id="floor-0")

    found = told([*speeds(), floor])

    assert len(found.series) == 1
    assert found.findings == ("no attempt has a figure of nightly/floor",)
