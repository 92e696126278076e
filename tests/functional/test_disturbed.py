"""Disturbed trials on the screen: told by run, status and list, and run again with one flag."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Answer = subprocess.CompletedProcess[str]
Harness = Callable[..., Answer]

PRETEND = ("--engine", "debug", "--no-score", "--pretend", "*0.001*=disturbed,ok")


def test_disturbed_trials_are_told_and_run_again(harness: Harness, suite: Path) -> None:
    first = harness("run", suite, *PRETEND)
    assert first.returncode == 0, first.stderr
    assert "note: 1 of 3 trials were disturbed" in first.stderr
    assert "made up: another process was on the device" in first.stderr
    assert f"harness run {suite} --retry disturbed" in first.stderr
    assert "tokens/s, disturbed" in first.stderr
    assert "1 disturbed; harness run --retry disturbed measures them again" in harness("status").stdout
    rows = json.loads(harness("list", "tiny", "--json").stdout)
    assert sorted(row["disturbed"] for row in rows) == [0, 0, 1]
    assert "disturbed" in harness("list", "tiny").stdout

    again = json.loads(harness("run", suite, *PRETEND, "--json").stdout)
    assert len(again["disturbed"]) == 1

    retried = harness("run", suite, *PRETEND, "--retry", "disturbed")
    assert retried.returncode == 0, retried.stderr
    assert retried.stderr.count("started (attempt 2)") == 1
    assert "disturbed" not in retried.stderr
    assert "disturbed" not in harness("list", "tiny").stdout
    assert "disturbed" not in harness("status").stdout


def test_an_unknown_retry_names_the_known_ones(harness: Harness, suite: Path) -> None:
    answer = harness("run", suite, "--retry", "distrubed")
    assert answer.returncode == 2
    assert "disturbed" in answer.stderr


def test_quiet_runs_keep_quiet(harness: Harness, suite: Path) -> None:
    assert harness("run", suite, *PRETEND, "--quiet").stderr == ""


def test_what_is_said_to_do_finds_results_that_lie_elsewhere(harness: Harness, suite: Path) -> None:
    pretend = (*PRETEND, "--pretend", "*0.002*=oom")
    told = harness("run", suite, *pretend, "--results", "there").stderr
    assert f"harness run {suite} --results there --retry disturbed" in told
    assert f"harness run {suite} --results there --retry failed" in told
    assert "--results there tells more" in told
