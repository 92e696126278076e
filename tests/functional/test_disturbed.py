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
    assert f"harness run {suite.name} --retry disturbed" in first.stderr
    assert "tokens/s, disturbed" in first.stderr
    assert f"1 disturbed; harness run {suite.name} --retry disturbed measures them again" in harness("status").stdout
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
    elsewhere = ("--results", "there", "--reports", "told here")
    told = harness("run", suite, *pretend, *elsewhere).stderr
    again = f"harness run {suite.name} --results there --reports 'told here' --retry"
    assert f"{again} disturbed" in told
    assert f"{again} failed" in told
    assert f"\n{again} disturbed\n" in (suite.parent / "told here/tiny/report.md").read_text(encoding="utf-8")
    status = harness("status", "--results", "there").stdout
    assert f"harness run {suite.name} --results there --retry disturbed" in status
    assert "--results there tells more" in told
