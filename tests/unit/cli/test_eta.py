from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.cli.eta import Durations
from harness.records.plan import Trial
from harness.records.progress import Live

MakeTrial = Callable[..., Trial]


def test_nothing_is_foretold_before_the_first_trial_ended(trial_of: MakeTrial) -> None:
    assert Durations().remaining([trial_of("sft")], []) is None


def test_a_trial_is_expected_to_take_as_long_as_others_of_its_method(trial_of: MakeTrial) -> None:
    durations = Durations()
    durations.add(trial_of("a", "sft"), 10)
    durations.add(trial_of("b", "sft"), 20)
    durations.add(trial_of("c", "dpo"), 60)
    assert durations.expected(trial_of("d", "sft")) == 15
    assert durations.expected(trial_of("d", "dpo")) == 60
    assert durations.expected(trial_of("d", "orpo")) == 30  # unknown method: the mean of everything


def test_the_running_trial_counts_for_what_is_left_of_it(trial_of: MakeTrial) -> None:
    durations = Durations()
    durations.add(trial_of("a"), 10)
    running = Live(trial=trial_of("b"), attempt=1, phase="train", elapsed_s=4)
    assert durations.remaining([trial_of("c"), trial_of("d")], [running]) == pytest.approx(26)


def test_a_trial_that_takes_longer_than_expected_never_counts_negative(trial_of: MakeTrial) -> None:
    durations = Durations()
    durations.add(trial_of("a"), 10)
    running = Live(trial=trial_of("b"), attempt=1, phase="train", elapsed_s=400)
    assert durations.remaining([], [running]) == 0


def test_the_first_trial_of_all_is_foretold_from_its_steps(trial_of: MakeTrial) -> None:
    running = Live(trial=trial_of("a"), attempt=1, phase="train", step=50, max_steps=200, elapsed_s=10)
    assert Durations().remaining([], [running]) == pytest.approx(30)


def test_the_first_training_foretells_those_after_it(trial_of: MakeTrial) -> None:
    running = Live(trial=trial_of("a"), attempt=1, phase="train", step=50, max_steps=200, elapsed_s=10)
    assert Durations().remaining([trial_of("b", "dpo")], [running]) == pytest.approx(30 + 40)


def test_an_untrained_floor_foretells_no_training(trial_of: MakeTrial) -> None:
    durations = Durations()
    durations.add(trial_of("floor", None), 1)
    assert durations.remaining([trial_of("a")], []) is None
    assert durations.expected(trial_of("floor", None)) == 1
