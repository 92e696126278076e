"""What commands print, from made-up answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.cli import data, history, run, status
from harness.errors import InputError
from harness.execute.status import Running, SuiteStatus


def _token(text: str, carries: bool) -> dict[str, Any]:
    return {"id": 1, "text": text, "carries_loss": carries}


def test_tokens_of_one_sort_are_joined() -> None:
    tokens = [_token("7+", False), _token("5=", False), _token("1", True), _token("2", True), _token("\n", False)]
    assert data.runs(tokens) == [("7+5=", False), ("12", True), ("\n", False)]
    assert data.runs([]) == []


def _status(**fields: Any) -> SuiteStatus:
    given: dict[str, Any] = {
        "suite": "tiny",
        "suite_file": "tiny.yaml",
        "started_at": "2026-01-01T00:00:00+00:00",
        "holder": None,
        "total": 14,
        "outcomes": {"ok": 3, "oom": 1},
        "running": None,
    }
    return SuiteStatus(**{**given, **fields})


def test_status_of_a_suite_that_stopped_says_how_to_go_on() -> None:
    assert status.lines([_status()]) == [
        "tiny  4/14 trials done (1 oom)",
        "  not running; harness run tiny.yaml goes on with it",
    ]


def test_status_does_not_count_what_was_interrupted_as_done() -> None:
    assert status.lines([_status(total=2, outcomes={"ok": 1, "interrupted": 1})]) == [
        "tiny  1/2 trials done (1 interrupted)",
        "  not running; harness run tiny.yaml goes on with it",
    ]


def test_status_of_a_search_names_its_command_and_no_total() -> None:
    found = _status(suite="tiny.fit", outcomes={"ok": 9, "oom": 5}, disturbed=1, search="harness fit")
    assert status.lines([found]) == [
        "tiny.fit  14 trials done (5 oom)",
        "  1 disturbed",
        "  not running; harness fit tells what came of it, or goes on with it",
    ]


def test_status_of_a_search_that_has_one_trial_says_so() -> None:
    (first, *_) = status.lines([_status(suite="tiny.fit", outcomes={"ok": 1}, search="harness fit")])
    assert first == "tiny.fit  1 trial done"


def test_status_of_a_running_suite_says_who_and_what() -> None:
    running = Running(
        name="dpo-s1",
        attempt=2,
        phase="train",
        step=12,
        max_steps=200,
        tokens_per_second=9412.3,
        loss=0.4567,
        host_memory=2**30,
        elapsed_s=75,
    )
    holder = {"pid": 42, "host": "box", "started_at": "2026-01-01T00:00:00+00:00"}
    said = status.lines([_status(holder=holder, running=running)])
    assert said == [
        "tiny  4/14 trials done (1 oom)",
        "  run by process 42 on box since 2026-01-01T00:00:00+00:00",
        "  dpo-s1 (attempt 2): train, step 12/200, 9,412 tokens/s, loss 0.457, 1 GiB, 1m 15s",
    ]


def test_status_of_a_suite_that_is_being_scored_says_so() -> None:
    said = status.lines([_status(holder={"pid": 42, "host": "box"}, doing="scoring 3/15 dpo-s1 arithmetic_mc")])
    assert said[-1] == "  scoring 3/15 dpo-s1 arithmetic_mc"


def test_status_of_nothing_says_how_to_begin() -> None:
    assert status.lines([]) == ["no results here yet: harness run SUITE"]


def test_made_up_ends_are_read_by_trial_and_attempt() -> None:
    assert run.pretended("dpo-*=oom") == ("dpo-*", ["oom"])
    assert run.pretended("a=b*=crash, ok") == ("a=b*", ["crash", "ok"])


@pytest.mark.parametrize("given", ["oom", "=oom", "dpo-*=", "dpo-*=crash,", "dpo-*=explode"])
def test_made_up_ends_that_make_no_sense_are_refused(given: str) -> None:
    with pytest.raises(InputError, match="is not GLOB=END"):
        run.pretended(given)


def test_since_is_a_date_or_so_long_ago() -> None:
    now = datetime(2026, 11, 28, 12, tzinfo=UTC)
    assert history.since_when("2026-11-01", now) == datetime(2026, 11, 1, tzinfo=UTC)
    assert history.since_when("30d", now) == now - timedelta(days=30)
    with pytest.raises(InputError, match="30d"):
        history.since_when("yesterday", now)
    with pytest.raises(InputError, match="30d"):
        history.since_when("30", now)  # seconds, where durations are read; nobody means them here
