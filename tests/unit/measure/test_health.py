"""What the curves of a training show: each rule on made-up curves, and silence on healthy ones."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.health import findings
from harness.measure.summarise import summarise
from harness.records.events import Event
from harness.records.results import Finding
from tests.unit.measure.made_logs import made_logs


def _falling(count: int = 60, seed: int = 0, noise: float = 0.05) -> list[float]:
    chance = random.Random(seed)
    return [(0.3 + 2 * math.exp(-4 * step / count)) * chance.gauss(1, noise) for step in range(count)]


def _named(events: Sequence[Event]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings(events)}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("count", [3, 12, 60, 400])
def test_a_healthy_training_says_nothing(seed: int, count: int) -> None:
    chance = random.Random(seed)
    margins = [2 * (1 - math.exp(-4 * step / count)) + chance.gauss(0, 0.1) for step in range(count)]
    events = made_logs(
        loss=_falling(count, seed),
        grad_norm=[chance.uniform(0.2, 5) for _ in range(count)],
        learning_rate=[1e-3 * (1 - step / count) for step in range(count)],
        rewards__margins=margins,
        rewards__accuracies=[0.5 + 0.5 * (1 - math.exp(-4 * step / count)) for step in range(count)],
        eval_loss=[0.5 + math.exp(-step) for step in range(5)],
    )
    assert findings(events) == []


def test_nothing_is_said_of_nothing() -> None:
    assert findings([]) == []
    assert findings([{"kind": "log", "step": 1, "values": {"loss": "odd", "grad_norm": None, "x": True}}]) == []


def test_a_planted_spike_is_found_at_its_step_with_what_came_before() -> None:
    losses = _falling(100)
    losses[40] = 5.0
    (found,) = findings(made_logs(loss=losses))
    assert (found.name, found.step, found.level) == ("loss_spike", 41, "warning")
    assert "jumped to 5," in found.text
    assert summarise(made_logs(loss=losses))["loss_spikes"] == 1


def test_neighbouring_spikes_are_one_and_many_are_cut_short() -> None:
    losses = [1.0] * 300
    losses[50:53] = [9.0, 9.0, 9.0]
    assert summarise(made_logs(loss=losses))["loss_spikes"] == 1
    for place in range(70, 270, 20):
        losses[place] = 9.0
    found = [finding for finding in findings(made_logs(loss=losses)) if finding.name == "loss_spike"]
    assert len(found) == 6
    assert "6 more spikes, up to 9" in found[-1].text


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60))
def test_no_curve_is_too_odd(values: list[float]) -> None:
    for name in ("loss", "grad_norm", "eval_loss", "rewards/margins", "rewards/accuracies", "learning_rate"):
        for finding in findings([{"kind": "log", "step": i, "values": {name: v}} for i, v in enumerate(values)]):
            assert finding.step is not None
            assert 0 <= finding.step < len(values)


def test_a_rising_and_a_flat_loss_are_told_apart() -> None:
    chance = random.Random(1)
    rising = _named(made_logs(loss=[1 + step / 20 + chance.gauss(0, 0.05) for step in range(60)]))
    assert rising["loss_rose"].level == "warning"
    assert rising["loss_rose"].step == 49  # where the last fifth begins
    flat = _named(made_logs(loss=[1 + step / 1e5 for step in range(60)]))
    assert flat["loss_not_falling"].level == "info"
    assert flat["loss_not_falling"].text.startswith("the loss did not fall: ")
    slow = _named(made_logs(loss=[2 - step / 5e3 for step in range(60)]))
    assert slow["loss_not_falling"].text == (
        "the loss fell by less than 1%: median 1.989 in the last fifth of the logs, 1.999 in the first, "
        "give or take 0.00091"
    )


def test_a_loss_that_blew_up_at_once_has_risen_though_it_falls_since() -> None:
    (found,) = findings(made_logs(loss=[6.9, 2000, *(6000 - 80 * step for step in range(58))]))
    assert (found.name, found.level, found.step) == ("loss_rose", "warning", 2)
    assert "6.9 in the first log" in found.text
    assert findings(made_logs(loss=[6.9, 2000, *(6 - step / 20 for step in range(58))])) == []


def test_a_lucky_first_batch_is_no_loss_that_rose() -> None:
    chance = random.Random(0)
    losses = [0.4, *(2 * math.exp(chance.gauss(-step / 200, 0.5)) for step in range(99))]
    assert "loss_rose" not in _named(made_logs(loss=losses))
    for noise in (0.1, 0.3):
        blown = [2.3, *(10 * math.exp(chance.gauss(0, noise)) for _ in range(99))]
        assert "loss_rose" in _named(made_logs(loss=blown))


@pytest.mark.parametrize("count", [12, 20])
def test_few_logs_of_a_flat_loss_seldom_rise_by_chance(count: int) -> None:
    """Two windows of three or four values lie close together by chance: their noise is not told by them alone."""
    chance = random.Random(count)
    rose = sum("loss_rose" in _named(made_logs(loss=[chance.gauss(2, 0.1) for _ in range(count)])) for _ in range(200))
    assert rose <= 8


def test_a_loss_that_never_moves_was_not_trained() -> None:
    found = _named(made_logs(loss=[0.7] * 20, learning_rate=[1e-3] * 20))
    assert list(found) == ["loss_constant"]
    assert "0.7 in all 20 logs" in found["loss_constant"].text


def test_a_loss_of_zero_at_once_means_masked_labels_but_one_learned_does_not() -> None:
    assert list(_named(made_logs(loss=[0.0] * 5))) == ["loss_zero"]
    assert "loss_zero" not in _named(made_logs(loss=[2.0, 1.0, 0.5, *[0.0] * 20]))


def test_a_learning_rate_of_zero_throughout_is_told_alone() -> None:
    found = _named(made_logs(loss=[1.0 + (step % 3) / 100 for step in range(30)], learning_rate=[0.0] * 30))
    assert list(found) == ["learning_rate_zero"]
    ties: dict[str, Any] = {"rewards/margins": [0.0] * 30, "rewards/accuracies": [0.0] * 30}  # DPO's at its reference
    assert list(_named(made_logs(learning_rate=[0.0] * 30, **ties))) == ["learning_rate_zero"]
    assert "learning_rate_zero" not in _named(made_logs(learning_rate=[0.0, 1e-4, 1e-3]))  # warm-up begins at 0
    assert findings(made_logs(learning_rate=[0.0])) == []


@pytest.mark.parametrize(
    ("norm", "level"), [(0.1, None), (0.05, "info"), (10.0, None), (10.5, "info"), (100.0, "info"), (101.0, "warning")]
)
def test_gradient_norms_have_a_range_and_an_alarm(norm: float, level: str | None) -> None:
    norms = [1.0] * 20
    norms[12] = norm
    found = findings(made_logs(grad_norm=norms, warmup=5))
    assert [(one.name, one.step, one.level) for one in found] == ([("gradient_norm", 13, level)] if level else [])


def test_gradient_norms_of_warm_up_do_not_count() -> None:
    norms = [500.0] * 5 + [1.0] * 10
    assert findings(made_logs(grad_norm=norms, warmup=5)) == []
    assert findings(made_logs(grad_norm=norms, warmup=4))[0].step == 5
    assert summarise(made_logs(grad_norm=norms, warmup=5))["max_grad_norm"] == 1.0
    assert "max_grad_norm" not in summarise(made_logs(grad_norm=norms[:5], warmup=5))


def test_what_is_not_finite_is_told_once_with_its_first_step() -> None:
    events = made_logs(loss=[1.0, 2.0, math.nan, math.nan], rewards__margins=[0.0, math.inf])
    events[-1]["values"]["loss"] = "NaN"  # as it is in the file
    found = _named(events)
    assert found["not_finite"].level == "warning"
    assert [(one.step, one.text) for one in findings(events)] == [
        (2, "rewards/margins became inf"),
        (3, "loss became nan"),
    ]


def test_infinite_gradients_of_loss_scaling_are_in_order() -> None:
    events = made_logs(grad_norm=[math.inf, 1.0, 1.0])
    assert findings([{"kind": "active", "values": {"mixed_precision": "fp16"}}, *events]) == []
    assert len(findings([{"kind": "active", "values": {"mixed_precision": "bf16"}}, *events])) == 1


def test_evaluation_that_rises_while_training_falls_is_overfitting_from_its_best_step() -> None:
    events = made_logs(loss=[2 - step / 30 for step in range(50)])
    evals = {10: 1.5, 20: 1.2, 30: 1.4, 40: 1.6, 50: 1.9}
    events += [{"kind": "log", "step": step, "values": {"eval_loss": value}} for step, value in evals.items()]
    found = _named(events)
    assert found["overfitting"].step == 20
    assert "rose from 1.2 to 1.9" in found["overfitting"].text


def test_evaluation_that_is_lowest_before_the_first_step_is_overfitting_from_the_start() -> None:
    """As with `eval_on_start`, of a model that knew more before it was trained."""
    evals = [{"kind": "log", "step": 10 * place, "values": {"eval_loss": 1.0 + 0.1 * place}} for place in range(6)]
    assert _named([*made_logs(loss=[2 - step / 30 for step in range(50)]), *evals])["overfitting"].step == 0
    assert "overfitting" not in _named([*made_logs(loss=[2 + step / 30 for step in range(50)]), *evals])


@pytest.mark.parametrize(
    "evals", [[1.5, 1.2, 1.0], [1.5, 1.2, 1.23, 1.21], [1.2, 1.9], [1.2, 1.9, 1.1], [1.0, 1.9, 1.01]]
)
def test_evaluation_that_falls_wavers_or_is_rare_is_no_overfitting(evals: list[float]) -> None:
    events = made_logs(loss=[2 - step / 30 for step in range(50)])
    events += [{"kind": "log", "step": 10 * place, "values": {"eval_loss": v}} for place, v in enumerate(evals, 1)]
    assert "overfitting" not in _named(events)


@pytest.mark.parametrize(("count", "noise"), [(5, 0.02), (8, 0.02), (10, 0.03), (20, 0.1)])
def test_an_evaluation_that_wavers_about_a_level_is_seldom_overfitting(count: int, noise: float) -> None:
    """The lowest of ten that waver by 3% lies 5% below the last in three of ten trainings."""
    luck = random.Random(7)
    found = 0
    for _ in range(300):
        evals = [{"eval_loss": luck.gauss(1, noise)} for _ in range(count)]
        events = made_logs(loss=[2 - step / 100 for step in range(50)])
        events += [{"kind": "log", "step": (place + 1) * 50 // count, "values": v} for place, v in enumerate(evals)]
        found += "overfitting" in _named(events)
    assert found / 300 <= 0.05


@pytest.mark.parametrize("count", [5, 10, 20])
def test_overfitting_shows_through_noise(count: int) -> None:
    luck = random.Random(7)
    found = 0
    for _ in range(100):
        events = made_logs(loss=[2 - step / 100 for step in range(50)])
        for place in range(count):
            there = place / (count - 1)
            bend = 0.4 * (0.4 - there) ** 2 / 0.16 if there < 0.4 else 0.2 * (there - 0.4) ** 2 / 0.36
            values = {"eval_loss": (1 + bend) * luck.gauss(1, 0.01)}
            events.append({"kind": "log", "step": (place + 1) * 50 // count, "values": values})
        found += "overfitting" in _named(events)
    assert found >= 95


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_training_that_went_wrong_on_its_own_rows_too_is_no_overfitting(noise: float) -> None:
    """Late: it fell until the best evaluation, and rises since. At once: it fell since, from where it blew up to."""
    chance = random.Random(4)
    late = [2 - step / 25 if step < 25 else 1 + (step - 25) / 25 for step in range(50)]
    at_once = [1.0, *(6 - step / 25 for step in range(49))]
    for losses, evals in (
        (late, {10: 1.8, 20: 1.4, 30: 1.5, 40: 1.9, 50: 2.3}),
        (at_once, {0: 1.1, 10: 6.2, 20: 6.3, 30: 6.5, 40: 6.8, 50: 7.0}),
    ):
        events = made_logs(loss=[loss * math.exp(chance.gauss(0, noise)) for loss in losses])
        told = [{"kind": "log", "step": step, "values": {"eval_loss": value}} for step, value in evals.items()]
        assert "overfitting" not in _named([*events, *told])
    assert "loss_rose" in _named(events)  # at once


def test_a_training_loss_that_falls_by_less_than_one_per_cent_is_no_overfitting() -> None:
    evals = [{"kind": "log", "step": 10 * place, "values": {"eval_loss": 1 + 0.1 * place}} for place in range(1, 6)]
    for fall, told in ((0.009, False), (0.02, True)):
        losses = [1.0] * 20 + [1.0 - fall] * 30
        assert ("overfitting" in _named([*made_logs(loss=losses), *evals])) is told


@pytest.mark.parametrize(("rows", "logs"), [(1, 20), (4, 12), (2, 50)])
def test_small_batches_that_learn_are_not_warned_of(rows: int, logs: int) -> None:
    """Seven of ten pairs come out right in the end; a batch of few says little of them."""
    warned = 0
    for seed in range(200):
        chance = random.Random(seed)
        pairs = []
        for step in range(logs):
            grown = 1 - math.exp(-4 * step / logs)
            pairs.append([chance.gauss(0.52, 1) * grown for _ in range(rows)])
        events = made_logs(
            loss=[sum(math.log1p(math.exp(-margin)) for margin in batch) / rows for batch in pairs],
            rewards__margins=[sum(batch) / rows for batch in pairs],
            rewards__accuracies=[sum(margin > 0 for margin in batch) / rows for batch in pairs],
        )
        warned += any(finding.level == "warning" for finding in findings(events))
    assert warned <= 14


@pytest.mark.parametrize(("fall", "noise", "logs"), [(0.2, 0.3, 20), (0.2, 0.5, 50), (0.15, 0.1, 50)])
def test_a_loss_that_falls_within_its_noise_is_not_told_to_stand_still(fall: float, noise: float, logs: int) -> None:
    told = 0
    for seed in range(200):
        chance = random.Random(seed)
        losses = [(1 - fall * step / logs) * math.exp(chance.gauss(0, noise)) for step in range(logs)]
        told += "loss_not_falling" in _named(made_logs(loss=losses))
    assert told <= 10


def test_what_follows_from_a_divergence_is_no_finding_of_its_own() -> None:
    broken = [1 - step / 20 for step in range(10)] + [math.nan] * 30
    logs = made_logs(loss=broken, entropy=broken, rewards__margins=broken, rewards__accuracies=[0.9] * 10 + [0.0] * 30)
    logs[-40]["values"]["other"] = math.inf  # at step 1
    diverged = {"kind": "finding", "name": "diverged", "step": 11, "level": "warning", "text": "loss became nan"}
    assert [(one.name, one.step) for one in findings([diverged, *logs])] == [("not_finite", 1), ("reward_margin", 8)]


@pytest.mark.parametrize("wild", [["Infinity", "-Infinity"], [1e308, 1.5e308], [-1e308, "NaN"]])
def test_figures_of_a_training_that_blew_up_end_nothing(wild: list[Any]) -> None:
    names = ("loss", "eval_loss", "rewards/margins", "rewards/accuracies", "grad_norm")
    events = [{"kind": "log", "step": step, "values": dict.fromkeys(names, wild[step % 2])} for step in range(1, 41)]
    findings(events)
    summary = summarise(events)
    assert all(math.isfinite(value) for value in summary.values())
    assert summary.get("final_loss") == (pytest.approx(1.25e308) if wild[0] == 1e308 else None)


@pytest.mark.parametrize("count", [30, 42, 61, 97])
def test_an_accuracy_of_exactly_the_limit_is_told_whatever_the_number_ofmade_logs(count: int) -> None:
    assert "reward_accuracy" in _named(made_logs(rewards__accuracies=[0.55] * count))
    assert "reward_accuracy" not in _named(made_logs(rewards__accuracies=[0.551] * count))


def test_margins_that_do_not_grow_and_accuracies_of_chance_are_told() -> None:
    chance = random.Random(3)
    noise = [chance.gauss(0, 0.1) for _ in range(60)]
    found = _named(made_logs(rewards__margins=noise, rewards__accuracies=[0.5 + value / 5 for value in noise]))
    assert found["reward_accuracy"].level == "warning"
    assert found["reward_accuracy"].step == 41
    by_chance = [0.0, -0.014, 0.012, 0.046, -0.04, 0.06, 0.105, -0.007, 0.134, 0.021, 0.072, 0.01, 0.097, 0.157]
    grown = _named(made_logs(rewards__margins=by_chance))["reward_margin"]  # 0 → 0.097
    assert grown.text.startswith("the reward margin does not grow by more than chance would have it, 0.1")
    assert grown.level == "info"  # it may well grow
    shrinking = _named(made_logs(rewards__margins=[2 - step / 60 for step in range(60)]))
    assert shrinking["reward_margin"].level == "warning"
    assert shrinking["reward_margin"].text.startswith("the reward margin does not grow: ")
