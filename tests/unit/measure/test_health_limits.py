"""Every limit that `docs/measuring.md` names for a finding of health, from either side, on curves worked out by hand.

The deviation of a robust rule is 1.4826 times a median distance: of the window's own median, or of neighbours, ÷ √2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from harness.measure.health import findings
from harness.measure.noise import Point
from harness.measure.spikes import spikes
from harness.measure.summarise import summarise
from harness.records.events import Event
from harness.records.results import Finding

ZIGZAG = (0.9, 1.1)  # neighbours lie 0.2 apart, and 0.1 from the median
PAIRS = (0.9, 0.9, 1.1, 1.1)  # most neighbours are equal: the distance from the median tells


def _logs(**curves: Sequence[float]) -> list[Event]:
    names = {name: name.replace("__", "/") for name in curves}
    return [
        {"kind": "log", "step": step + 1, "values": {names[name]: value}}
        for name, values in curves.items()
        for step, value in enumerate(values)
    ]


def _found(events: Sequence[Event]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings(events)}


def _spikes(losses: Sequence[float]) -> list[tuple[int, float]]:
    """Place and the median before, of each."""
    return [(spike.step, spike.before) for spike in spikes([Point(at, value) for at, value in enumerate(losses)])]


@pytest.mark.parametrize(
    ("curve", "values", "name"),
    [
        ("loss", [1 + step / 10 for step in range(10)], "loss_rose"),
        ("loss", [0.7] * 10, "loss_constant"),
        ("rewards__margins", [1.0 - step / 10 for step in range(10)], "reward_margin"),
        ("rewards__accuracies", [0.5] * 10, "reward_accuracy"),
        ("loss", [*[1.0] * 10, 9.0], "loss_spike"),
    ],
)
def test_of_a_trend_nothing_is_said_below_ten_values(curve: str, values: list[float], name: str) -> None:
    assert name in _found(_logs(**{curve: values}))
    assert name not in _found(_logs(**{curve: values[1:]}))


@pytest.mark.parametrize(
    ("rise", "name"), [(0.011, "loss_rose"), (0.009, "loss_not_falling"), (-0.009, "loss_not_falling"), (-0.011, None)]
)
def test_a_loss_rises_by_one_per_cent_and_falls_by_one(rise: float, name: str | None) -> None:
    assert list(_found(_logs(loss=[1.0] * 10 + [1.0 + rise] * 10))) == ([name] if name else [])


@pytest.mark.parametrize(
    ("noise", "errors"),
    [
        # medians of four values, each of deviation σ: 2 · √(π/2 ÷ 4) · √2σ
        (ZIGZAG, 2 * math.sqrt(math.pi / 8) * math.sqrt(2) * 1.4826 * 0.2 / math.sqrt(2)),
        (PAIRS, 2 * math.sqrt(math.pi / 8) * math.sqrt(2) * 1.4826 * 0.1),
    ],
)
def test_a_loss_rises_by_two_standard_errors_too(noise: Sequence[float], errors: float) -> None:
    flat = list(noise) * (20 // len(noise))
    for share, name in ((0.97, "loss_not_falling"), (1.03, "loss_rose")):
        found = _found(_logs(loss=[*flat[:12], *(value + share * errors for value in flat[12:])]))
        assert [one for one in found if one in ("loss_not_falling", "loss_rose")] == [name]


@pytest.mark.parametrize(("noise", "told"), [(0.0267, True), (0.0271, False)])
def test_that_a_loss_did_not_fall_is_told_where_a_fall_by_a_tenth_would_show(noise: float, told: bool) -> None:
    flat = [1 - noise, 1 + noise] * 10  # medians of four: two errors of what lies between them are 3.717 · noise
    assert ("loss_not_falling" in _found(_logs(loss=flat))) is told


@pytest.mark.parametrize(("count", "step"), [(10, 8), (14, 12), (20, 17), (60, 49)])
def test_the_last_fifth_is_three_logs_at_least(count: int, step: int) -> None:
    assert _found(_logs(loss=[1 + step / 10 for step in range(count)]))["loss_rose"].step == step


def test_a_loss_that_blew_up_ends_at_twice_its_first_and_beyond_three_deviations() -> None:
    assert "loss_rose" in _found(_logs(loss=[1.0] + [2.02] * 19))
    assert "loss_rose" not in _found(_logs(loss=[1.0] + [1.98] * 19))
    least = math.exp(3 * 1.4826 * 0.5) / math.cosh(0.5)  # the logarithms lie 0.5 on either side of it
    for share, rose in ((0.98, False), (1.02, True)):
        blown = [share * least * math.exp(0.5 if step % 2 else -0.5) for step in range(1, 20)]
        assert ("loss_rose" in _found(_logs(loss=[1.0, *blown]))) is rose
    steep = [1000 * 0.7**step for step in range(15)]  # the deviations are those of the last fifth alone
    assert "loss_rose" in _found(_logs(loss=[1.0, *steep, *[2.1] * 4]))


def test_a_loss_below_zero_falls_by_a_share_of_its_size() -> None:
    assert "loss_not_falling" in _found(_logs(loss=[-1.0, -1.001] * 10))
    assert not _found(_logs(loss=[-1.0] * 10 + [-1.02] * 10))


def test_a_loss_of_zero_is_told_by_the_first_ten_logs() -> None:
    assert "loss_zero" in _found(_logs(loss=[0.0] * 10 + [1.0]))
    assert "loss_zero" not in _found(_logs(loss=[0.0] * 9 + [1.0] * 2))


def test_a_learning_rate_of_zero_takes_two_logs() -> None:
    assert "learning_rate_zero" in _found(_logs(learning_rate=[0.0] * 2))
    assert "learning_rate_zero" not in _found(_logs(learning_rate=[0.0]))


@pytest.mark.parametrize(
    ("before", "limit"),
    [
        ([0.95, 1.05] * 15, 1 + 6 * 1.4826 * 0.1 / math.sqrt(2)),
        ([3 - step / 100 for step in range(40)], 2.705 + 6 * 1.4826 * 0.05),  # a window of 2.61 to 2.80
        ([1.0] * 30, 1.1),
        ([10.0] * 10 + [1.0] * 40, 1 + 0.05 * 10),
        (list(ZIGZAG) * 15, math.exp(4 * 1.4826 * math.log(1.1 / 0.9) / math.sqrt(2))),
        ([0.5, 0.5, 2.0, 2.0] * 10, 1.25 * math.exp(4 * 1.4826 * (math.log(2.5) + math.log(1.6)) / 2)),
    ],
    ids=[
        "deviations of neighbours",
        "deviations of the window",
        "a tenth",
        "a twentieth of the first losses",
        "logarithms of neighbours",
        "logarithms of the window",
    ],
)
def test_a_spike_stands_above_all_its_limits(before: list[float], limit: float) -> None:
    assert [place for place, _ in _spikes([*before, limit + 0.005])] == [len(before)]
    assert _spikes([*before, limit - 0.005]) == []


@pytest.mark.parametrize(("after", "told"), [(10, True), (11, False)])
def test_a_spike_stands_above_the_noise_of_more_than_ten_logs_that_follow(after: int, told: bool) -> None:
    wild = [0.5, 2.0] * 6  # neighbours that differ by a factor of four
    assert ((30, 1.0) in _spikes([*[1.0] * 30, 4.0, *wild[:after]])) is told


@pytest.mark.parametrize(("before", "median"), [([2.0] * 12 + [1.0] * 12, 1.0), ([2.0] * 12 + [1.0] * 9, 2.0)])
def test_a_spike_is_told_by_the_median_of_twenty_logs_before(before: list[float], median: float) -> None:
    assert _spikes([*before, 50.0]) == [(len(before), median)]


def test_the_noise_of_a_spike_is_told_by_a_hundred_logs() -> None:
    zigzag = list(ZIGZAG) * 60
    assert _spikes([*zigzag[:60], *[1.0] * 40, 1.5]) == []
    assert _spikes([*zigzag[:110], *[1.0] * 60, 1.5]) == [(170, 1.0)]


@pytest.mark.parametrize(("lasts", "places"), [(19, [30, 50]), (20, [30])])
def test_a_level_is_the_new_one_after_twenty_logs(lasts: int, places: list[int]) -> None:
    losses = [*[1.0] * 30, *[3.0] * lasts, 1.0, 3.0]
    assert [place for place, _ in _spikes(losses)] == places


@pytest.mark.parametrize(("many", "said"), [(5, 5), (6, 6), (7, 6)])
def test_five_spikes_are_told_one_by_one_and_the_rest_in_one_sentence(many: int, said: int) -> None:
    losses = [1.0] * 160
    for number in range(many):
        losses[20 + 20 * number] = 9.0
    found = [finding.text for finding in findings(_logs(loss=losses)) if finding.name == "loss_spike"]
    assert len(found) == said
    assert [f"{many - 5} more" in text for text in found] == [False] * 5 + [True] * (said - 5)


def test_spikes_are_counted_from_eleven_logs_on() -> None:
    assert "loss_spikes" not in summarise(_logs(loss=[1.0] * 10))
    assert summarise(_logs(loss=[1.0] * 11))["loss_spikes"] == 0


@pytest.mark.parametrize(
    ("evaluations", "told"),
    [
        ([1.0, 1.051, 1.051], True),
        ([1.0, 1.049, 1.049], False),
        ([1.0, 1.02, 1.07], False),  # the mean of the last two is below
        ([1.0, 1.2, 1.04], False),  # and here the last
        ([1.0, 1.03, 1.2, 1.04], False),  # which need not have fallen below the first of them
        ([1.0, 1.2, 1.19], False),  # it falls again
        ([1.0, 1.2, 1.2], True),
        ([1.1, 1.0, 1.5], False),  # one evaluation since
        # Second differences of ±0.02 tell a deviation of 1.4826 · 0.08 ÷ √6, four of which are 0.194.
        ([1.02, 0.98, 1.02, 0.98, 1.02, 0.98, 1.16, 1.16], False),
        ([1.02, 0.98, 1.02, 0.98, 1.02, 0.98, 1.19, 1.19], True),
        ([0.98, 1.02, 0.98, 1.02, 0.98, 1.16, 1.16], True),  # seven: their noise is not told
    ],
)
def test_overfitting_is_told_by_the_last_two_evaluations(evaluations: list[float], told: bool) -> None:
    count = len(evaluations)
    evals: list[Event] = [
        {"kind": "log", "step": 10 * place, "values": {"eval_loss": value}}
        for place, value in enumerate(evaluations, 1)
    ]
    falling = [2 - step / 100 for step in range(10 * count)]
    assert ("overfitting" in _found([*_logs(loss=falling), *evals])) is told
    assert "overfitting" not in _found([*_logs(loss=[2.0] * (10 * count)), *evals])


@pytest.mark.parametrize(
    ("accuracies", "step"),
    [([0.9] * 20 + [0.5] * 10, 21), ([0.9] * 19 + [0.5] * 11, 21), ([0.9] * 23 + [0.5] * 7, None)],
)
def test_accuracy_is_that_of_the_last_third(accuracies: list[float], step: int | None) -> None:
    found = _found(_logs(rewards__accuracies=accuracies)).get("reward_accuracy")
    assert (found.step if found else None) == step


@pytest.mark.parametrize(("apart", "told"), [(0.144, True), (0.147, False)])
def test_chance_is_told_of_accuracies_two_standard_errors_below_those_of_a_training_that_learned(
    apart: float, told: bool
) -> None:
    wavering = [0.52 - apart, 0.52 + apart] * 15  # of a mean of ten two errors are 2 · √2 · apart ÷ √10
    assert ("reward_accuracy" in _found(_logs(rewards__accuracies=wavering))) is told


@pytest.mark.parametrize(
    ("margins", "told"),
    [
        ([2.0] * 10 + [2.019] * 10, True),
        ([2.0] * 10 + [2.021] * 10, False),
        # beginning at nothing: two standard errors of the zigzag are 0.37
        ([value - 1 for value in ZIGZAG] * 6 + [value - 0.64 for value in ZIGZAG] * 4, True),
        ([value - 1 for value in ZIGZAG] * 6 + [value - 0.62 for value in ZIGZAG] * 4, False),
    ],
)
def test_margins_grow_by_one_per_cent_or_out_of_their_noise(margins: list[float], told: bool) -> None:
    assert ("reward_margin" in _found(_logs(rewards__margins=margins))) is told
