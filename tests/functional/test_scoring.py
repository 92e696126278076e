"""Scoring through the real command line: held, seen by status, stopped, resumed, stored."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

Answer = subprocess.CompletedProcess[str]
Harness = Callable[..., Answer]

SLOWLY = """
import sys, time
from harness.score import debug
from harness.__main__ import run
made = debug.debug_score
def slowly(folder, task, **given):
    time.sleep({seconds})
    return made(folder, task, **given)
debug.debug_score = slowly
sys.exit(run(sys.argv[1:]))
"""


@contextmanager
def _scoring(suite: Path, *arguments: str, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A command whose every made-up score takes `seconds`, as soon as it is at its second."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY.format(seconds=seconds), *arguments],
        cwd=suite.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("scoring 2/3"):
                break
        else:
            pytest.fail("it never came to its second score")
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_suite_that_is_scored_is_held_and_status_sees_it(suite: Path, harness: Harness) -> None:
    with _scoring(suite, "run", suite.name, "--engine", "debug", seconds=20) as first:
        for command in (["run", suite.name, "--engine", "debug"], ["score", suite.name]):
            second = harness(*command)
            assert second.returncode == 2
            assert f"process {first.pid}" in second.stderr
        (one,) = json.loads(harness("status", "--json").stdout)
        assert one["holder"]["pid"] == first.pid
        assert one["doing"].startswith("scoring 2/3 ")
        assert "  scoring 2/3 " in harness("status").stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_scoring_keeps_what_is_scored_and_resumes(
    number: signal.Signals, suite: Path, harness: Harness
) -> None:
    with _scoring(suite, "run", suite.name, "--engine", "debug", seconds=0.7) as first:
        first.send_signal(number)
        _, said = first.communicate(timeout=30)
    assert first.returncode == 130, said
    assert f"stopped by the user ({number.name})" in said
    assert "run the same command again" in said
    assert "Traceback" not in said
    scored = len(list(suite.parent.glob("results/tiny/*/scores/*/score.json")))
    assert scored in (1, 2)
    assert not (suite.parent / "results/tiny/progress.json").exists()
    again = harness("run", suite.name, "--engine", "debug")
    assert again.returncode == 0, again.stderr
    assert f"scoring 1/{3 - scored} " in again.stderr


def test_what_score_scores_is_in_the_store(suite: Path, harness: Harness) -> None:
    assert harness("run", suite.name, "--engine", "debug", "--no-score").returncode == 0
    count = ("query", "--csv", "select count(*) as n from scores")
    assert harness(*count).stdout == "n\n0\n"
    assert harness("score", suite.name).returncode == 0
    assert harness(*count).stdout == "n\n3\n"


def test_a_reader_of_the_store_does_not_stop_a_run(ran: Path, harness: Harness) -> None:
    code = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1], read_only=True); print('held', flush=True); "
    code += "sys.stdin.readline()"
    store = ran.parent / "results/harness.duckdb"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "held\n"
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", "run", ran.name, "--engine", "debug", "--force"],
            cwd=ran.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line)
                if line.startswith("scoring"):
                    break  # all is trained although nothing could be stored
            reader.communicate("go\n")
            _, rest = process.communicate(timeout=60)
        finally:
            process.kill()
            process.communicate()
    assert process.returncode == 0, "".join(said) + rest
    assert time.monotonic() - began < 60
    assert sum("is held by" in line for line in said) == 1
    assert harness("query", "--csv", "select count(*) as n from attempts").stdout == "n\n6\n"


def test_a_damaged_spec_is_mended_by_the_next_run(ran: Path, harness: Harness) -> None:
    spec = next(iter(sorted(ran.parent.glob("results/tiny/*/spec.json"))))
    spec.write_text("garbage", encoding="utf-8")
    first = harness("run", ran.name, "--engine", "debug")
    assert first.returncode == 0, first.stderr
    assert "is written anew" in first.stderr
    second = harness("run", ran.name, "--engine", "debug")
    assert "spec.json" not in second.stderr
    assert harness("query", "--csv", "select count(*) as n from trials").stdout == "n\n3\n"
