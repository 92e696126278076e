"""Where a series changes: calibrated by simulation, seeded."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from harness.compare.changes import LEAST, changes

SERIES = 300
NOISE = 0.01
FLOOR = 0.001


def nights(seed: int, count: int, *levels: tuple[int, float]) -> list[float]:
    """Logs of figures with a coefficient of variation of 1%; each level adds its part from its night on."""
    chance = random.Random(seed)
    return [chance.gauss(0, NOISE) + sum(by for at, by in levels if night >= at) for night in range(count)]


def share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)


@pytest.mark.parametrize("count", [LEAST, 8, 10, 20, 60, 365])
def test_pure_noise_shows_no_change_in_95_of_100(count: int) -> None:
    assert share([not changes(nights(seed, count), floor=FLOOR)[0] for seed in range(SERIES)]) >= 0.95


@pytest.mark.parametrize(("count", "at"), [(20, 10), (20, 18), (60, 30), (60, 58)])
def test_five_percent_at_a_variation_of_one_is_found_at_its_night(count: int, at: int) -> None:
    shifted = [changes(nights(seed, count, (at, math.log(0.95))), floor=FLOOR)[0] for seed in range(SERIES)]

    assert share([at in found for found in shifted]) >= 0.95
    assert share([found == [at] for found in shifted]) >= 0.90


def test_a_large_change_does_not_hide_a_smaller_one() -> None:
    found = [changes(nights(seed, 60, (20, 0.3), (40, -0.03)), floor=FLOOR)[0] for seed in range(SERIES)]

    assert share([any(abs(at - 40) <= 1 for at in one) for one in found]) >= 0.9


def test_one_odd_night_is_no_change() -> None:
    values = nights(1, 30)
    values[15] += 0.2

    assert changes(values, floor=FLOOR)[0] == []


def test_figures_that_never_vary_show_their_change_and_no_other() -> None:
    values = [3.0] * 10 + [3.05] * 2

    assert changes(values, floor=FLOOR) == ([10], 0.0)
    assert changes([3.0] * 12, floor=FLOOR) == ([], 0.0)


def test_less_than_the_floor_is_no_change() -> None:
    assert changes([3.0] * 10 + [3.0005] * 10, floor=FLOOR)[0] == []


def test_too_few_nights_are_not_searched() -> None:
    assert changes([1.0, 1.0, 1.0, 9.0, 9.0], floor=FLOOR)[0] == []
    assert changes([], floor=FLOOR) == ([], 0.0)
