"""What observers count."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.cli.tally import Tally
from harness.records.outcome import Outcome, OutcomeName
from harness.records.plan import Trial


@pytest.mark.parametrize(
    ("expect", "outcome", "failed"), [("ok", "ok", 0), ("ok", "oom", 1), ("oom", "oom", 0), ("oom", "ok", 1)]
)
def test_failed_is_what_ended_otherwise_than_it_is_meant_to(
    expect: str,
    outcome: OutcomeName,
    failed: int,
    trial_of: Callable[..., Trial],
    outcome_of: Callable[..., Outcome],
) -> None:
    tally, trial = Tally(), trial_of("sft", expect=expect)
    tally.planned([trial], {})
    tally.ended(trial, outcome_of(outcome), will_retry=False)
    assert (tally.done, tally.failed) == (1, failed)


def test_what_was_interrupted_waits(trial_of: Callable[..., Trial], outcome_of: Callable[..., Outcome]) -> None:
    tally, trial = Tally(), trial_of("sft")
    tally.planned([trial], {})
    tally.ended(trial, outcome_of("interrupted"), will_retry=False)
    assert (tally.done, tally.failed, list(tally.waiting)) == (0, 0, [trial.id])
