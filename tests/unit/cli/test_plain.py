from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.cli.plain import PlainLines
from harness.records.outcome import Outcome
from harness.records.plan import Trial
from harness.records.progress import Live

Capture = pytest.CaptureFixture[str]
MakeTrial = Callable[..., Trial]
MakeOutcome = Callable[..., Outcome]


def test_one_line_for_each_start_and_end(trial_of: MakeTrial, outcome_of: MakeOutcome, capsys: Capture) -> None:
    lines = PlainLines()
    trials = [trial_of("sft", seed=seed) for seed in range(3)]
    lines.planned(trials, {})
    lines.started(trials[0], 1)
    lines.live(Live(trial=trials[0], attempt=1, phase="train", step=1))
    lines.finished(trials[0], outcome_of("crashed", cause="killed by signal 9"), will_retry=True)
    lines.started(trials[0], 2)
    lines.finished(trials[0], outcome_of(seconds=30, summary={"final_loss": 0.5}), will_retry=False)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "3 trials to run",
        "[1/3] sft-s0: started",
        "[1/3] sft-s0: crashed in 10.0 s, during train: killed by signal 9; trying again",
        "[1/3] sft-s0: started (attempt 2)",
        "[1/3] sft-s0: ok in 30.0 s, loss 0.500 (1m left)",
    ]


def test_resuming_says_what_is_finished(trial_of: MakeTrial, outcome_of: MakeOutcome, capsys: Capture) -> None:
    lines = PlainLines()
    trials = [trial_of("sft", seed=seed) for seed in range(12)]
    lines.planned(trials, {trial.id: outcome_of() for trial in trials[:9]})
    lines.started(trials[9], 1)
    assert capsys.readouterr().err.splitlines() == [
        "9 of 12 trials are finished already; 3 to run",
        "[10/12] sft-s9: started",
    ]


def test_a_skipped_trial_says_why(trial_of: MakeTrial, outcome_of: MakeOutcome, capsys: Capture) -> None:
    lines = PlainLines()
    trial = trial_of("dpo")
    lines.planned([trial], {})
    lines.finished(trial, outcome_of("skipped", cause="its stage base-s0 crashed"), will_retry=False)
    assert capsys.readouterr().err.splitlines()[1] == "[1/1] dpo-s0: skipped: its stage base-s0 crashed"


def test_an_interrupted_trial_keeps_its_number(trial_of: MakeTrial, outcome_of: MakeOutcome, capsys: Capture) -> None:
    lines = PlainLines()
    trials = [trial_of("sft", seed=seed) for seed in range(2)]
    lines.planned(trials, {})
    lines.started(trials[0], 1)
    lines.finished(trials[0], outcome_of("interrupted"), will_retry=False)
    assert [line.split(" in ")[0] for line in capsys.readouterr().err.splitlines()[1:]] == [
        "[1/2] sft-s0: started",
        "[1/2] sft-s0: interrupted",
    ]
