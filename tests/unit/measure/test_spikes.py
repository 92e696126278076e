"""Spikes of a loss: those that were planted are found, and noise has none, of whatever batches."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.noise import Point
from harness.measure.spikes import spikes


def test_noise_has_no_spikes_however_long_it_lasts_and_hides_none() -> None:
    """The deviation of 20 values alone is now and then so small that plain noise stands 6 of them above."""
    noisy, found = 0, 0
    for seed in range(30):
        losses = _falling(1000, seed, noise=0.1)
        noisy += bool(spikes(_points(losses)))
        losses[700] *= 2.5
        found += 700 in [spike.step for spike in spikes(_points(losses))]
    assert noisy <= 1
    assert found == 30


@pytest.mark.parametrize("scatter", [0.3, 0.5])
def test_losses_of_few_rows_have_no_spikes_though_some_are_many_times_others(scatter: float) -> None:
    """Noise of a factor stands far further above the median than below: one log in 400 by six deviations at 0.5."""
    noisy, found = 0, 0
    for seed in range(25):
        chance = random.Random(seed)
        losses = [(0.6 + 1.7 * step**-0.3) * math.exp(chance.gauss(0, scatter)) for step in range(1, 601)]
        noisy += bool(spikes(_points(losses)))
        losses[400] = 25.0
        found += 400 in [spike.step for spike in spikes(_points(losses))]
    assert noisy <= 1
    assert found == 25


def test_noise_that_sets_in_is_no_spike() -> None:
    """DPO's loss begins at ln 2, with the policy at its reference; the further it goes, the more its pairs differ."""
    noisy, found = 0, 0
    for seed in range(25):
        chance = random.Random(seed)
        losses = []
        for step in range(250):
            margins = [chance.gauss(0, 1 - math.exp(-step / 75)) for _ in range(2)]
            losses.append(sum(math.log1p(math.exp(-margin)) for margin in margins) / 2)
        noisy += bool(spikes(_points(losses)))
        losses[20] = 8.0
        found += 20 in [spike.step for spike in spikes(_points(losses))]
    assert noisy <= 2
    assert found == 25


def test_a_level_that_lasts_is_one_spike_and_then_the_level() -> None:
    losses = [1.0] * 50 + [3.0] * 100
    losses[120] = 9.0
    assert [spike.step for spike in spikes(_points(losses))] == [50, 120]


@pytest.mark.parametrize("after", [[0.0] * 12, [-1.0] * 12])
def test_a_spike_before_losses_that_have_no_logarithm_is_one(after: list[float]) -> None:
    assert [spike.step for spike in spikes(_points([*[1.0] * 10, 5.0, *after]))] == [10]


def test_a_constant_curve_with_a_hair_of_noise_has_no_spike() -> None:
    losses = [1.0] * 40
    losses[30] = 1.05  # no deviation at all before it: the floor of a tenth keeps quiet
    assert spikes(_points(losses)) == []


@given(st.lists(st.floats(min_value=0.1, max_value=3), min_size=11, max_size=80), st.integers(-20, 20))
def test_spikes_do_not_depend_on_the_unit(losses: list[float], power: int) -> None:
    scaled = [value * 2.0**power for value in losses]  # which changes no rounding
    assert [spike.step for spike in spikes(_points(losses))] == [spike.step for spike in spikes(_points(scaled))]


def _points(losses: Sequence[float]) -> list[Point]:
    return [Point(step, value) for step, value in enumerate(losses)]


def _falling(count: int, seed: int, noise: float) -> list[float]:
    chance = random.Random(seed)
    return [(0.3 + 2 * math.exp(-4 * step / count)) * chance.gauss(1, noise) for step in range(count)]
