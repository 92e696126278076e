"""`kill -9` of every process in the middle of a suite, Ctrl-C, a full disk: what is lost, left behind, resumed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.records.outcome import Outcome
from harness.records.run_folder import RunFolder

DRIVER = Path(__file__).with_name("rehearsed_suite.py")
PATIENCE_S = 20.0
MARK = "HARNESS_KILL_TEST"


@dataclass
class Run:
    """One run of the suite in a process of its own, in a process group of its own as a shell would make it."""

    results: Path
    trials: dict[str, dict[str, Any]]
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __enter__(self) -> Run:
        described = self.results.with_suffix(".json")
        described.write_text(json.dumps(self.trials))
        self.process = subprocess.Popen(
            [sys.executable, str(DRIVER), str(self.results), str(described)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            env={**os.environ, MARK: self.mark},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Reads what the run prints up to the first line that meets the condition."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said: dict[str, Any] = json.loads(line)
            if condition(said):
                return said
        pytest.fail("the run ended before it said so")

    def ended(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, errors

    def nursery(self) -> psutil.Process:
        (found,) = psutil.Process(self.process.pid).children()
        return found

    def worker(self) -> psutil.Process:
        (found,) = self.nursery().children()
        return found


def marked(mark: str) -> list[int]:
    """Every process that carries the run's mark in its environment, wherever it hangs in the tree."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def assert_nobody_left(mark: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while left := marked(mark):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.02)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def outcome(results: Path, trial: str, attempt: int = 1) -> Outcome:
    found = RunFolder(results / "rehearsed" / trial).attempts()[attempt - 1].outcome()
    assert found is not None
    return found


def attempts(results: Path) -> dict[str, list[str | None]]:
    """Every attempt's outcome by trial."""
    folders = sorted((results / "rehearsed").glob("*/spec.json"))
    return {
        spec.parent.name: [
            found.outcome if (found := attempt.outcome()) else None for attempt in RunFolder(spec.parent).attempts()
        ]
        for spec in folders
    }


def stepping(trial: str) -> Callable[[dict[str, Any]], bool]:
    return lambda said: said.get("trial") == trial and said.get("step", 0) >= 1


def long_then_ok(behaviour: str = "hang") -> dict[str, dict[str, Any]]:
    return {"a": {}, "b": {"behaviour": [behaviour, "ok"]}, "c": {"needs": "b"}}


def test_a_killed_worker_is_a_crash_that_is_repeated(results: Path) -> None:
    with Run(results, long_then_ok()) as run:
        run.until(stepping("b"))
        run.worker().kill()
        assert run.ended() == (0, "")
    assert attempts(results) == {"a": ["ok"], "b": ["crashed", "ok"], "c": ["ok"]}
    assert outcome(results, "b").cause == "killed by signal 9 (SIGKILL)"
    assert_nobody_left(run.mark)


def test_a_killed_nursery_is_replaced(results: Path) -> None:
    with Run(results, long_then_ok("helpers")) as run:
        run.until(stepping("b"))
        time.sleep(0.1)  # for the worker's helper to be there
        run.nursery().kill()
        assert run.ended() == (0, "")
    assert attempts(results) == {"a": ["ok"], "b": ["crashed", "ok"], "c": ["ok"]}
    assert outcome(results, "b").cause == "the nursery died (signal 9)"
    assert_nobody_left(run.mark)


@pytest.mark.parametrize("behaviour", ["hang", "deaf", "helpers"])
def test_a_killed_run_takes_everybody_with_it_and_resumes(results: Path, behaviour: str) -> None:
    with Run(results, long_then_ok(behaviour)) as run:
        run.until(stepping("b"))
        run.process.kill()
        assert_nobody_left(run.mark)
    assert attempts(results)["b"] == [None], "nobody was left to close it"
    with Run(results, long_then_ok(behaviour)) as again:
        assert again.ended() == (0, "")
    assert attempts(results) == {"a": ["ok"], "b": ["interrupted", "ok"], "c": ["ok"]}
    assert outcome(results, "b").cause == "whoever ran it was killed before it ended"
    assert outcome(results, "b").phase == "train"


def test_everybody_killed_at_once_costs_one_attempt(results: Path) -> None:
    with Run(results, long_then_ok()) as run:
        run.until(stepping("b"))
        for process in (run.process, run.nursery(), run.worker()):
            with contextlib.suppress(psutil.NoSuchProcess):  # gone with the one before it
                process.kill()
        assert_nobody_left(run.mark)
    with Run(results, long_then_ok()) as again:
        assert again.ended() == (0, "")
    assert attempts(results) == {"a": ["ok"], "b": ["interrupted", "ok"], "c": ["ok"]}


def test_a_run_killed_during_its_imports_resumes(results: Path) -> None:
    with Run(results, long_then_ok()) as run:
        run.until(lambda said: said.get("started") == "a")
        run.process.kill()
        assert_nobody_left(run.mark)
    with Run(results, {"a": {}}) as again:
        assert again.ended() == (0, "")
    assert attempts(results)["a"][-1] == "ok"


def test_ctrl_c_reaches_the_terminal_s_group_and_stops_cleanly(results: Path) -> None:
    with Run(results, long_then_ok()) as run:
        run.until(stepping("b"))
        os.killpg(run.process.pid, signal.SIGINT)  # what a terminal does
        code, said = run.ended()
        assert code == 130
        assert "run the same command again" in said
    assert_nobody_left(run.mark)
    assert attempts(results) == {"a": ["ok"], "b": ["interrupted"]}
    assert outcome(results, "b").cause == "stopped by the user (SIGINT)"
    with Run(results, long_then_ok()) as again:
        assert again.ended() == (0, "")
    assert attempts(results) == {"a": ["ok"], "b": ["interrupted", "ok"], "c": ["ok"]}


def test_ctrl_c_twice_does_not_wait_for_a_worker_that_will_not_stop(results: Path) -> None:
    with Run(results, long_then_ok("deaf")) as run:
        run.until(stepping("b"))
        began = time.monotonic()
        run.process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        run.process.send_signal(signal.SIGINT)
        assert run.ended()[0] == 130
        assert time.monotonic() - began < 1.0, "sooner than the grace of one interrupt"
    assert_nobody_left(run.mark)
    assert str(outcome(results, "b").cause).endswith("it did not stop by itself and was killed")


def test_a_closed_terminal_stops_the_run_cleanly(results: Path) -> None:
    with Run(results, long_then_ok()) as run:
        run.until(stepping("b"))
        run.process.send_signal(signal.SIGHUP)
        assert run.ended()[0] == 130
    assert_nobody_left(run.mark)
    assert outcome(results, "b").outcome == "interrupted"


def test_a_second_run_says_who_holds_the_suite_and_disturbs_nothing(results: Path) -> None:
    with Run(results, long_then_ok()) as first:
        first.until(stepping("b"))
        with Run(results, long_then_ok()) as second:
            code, said = second.ended()
        assert code == 2
        assert "suite 'rehearsed' is being run already" in said
        assert f"process {first.process.pid} on" in said
        assert "Traceback" not in said
        first.worker().kill()
        assert first.ended()[0] == 0
    assert attempts(results)["b"] == ["crashed", "ok"]


def test_a_trial_beyond_its_time_leaves_nobody(results: Path) -> None:
    with Run(results, {"a": {"behaviour": "helpers", "timeout_s": 0.5}, "b": {}}) as run:
        assert run.ended() == (0, "")
        assert_nobody_left(run.mark)
    assert attempts(results) == {"a": ["timeout"], "b": ["ok"]}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB, where one may be mounted."""
    place = tmp_path / "small"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", place]).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_ends_the_run_with_a_clear_word_and_nothing_is_lost(small_disk: Path, tmp_path: Path) -> None:
    results = small_disk / "results"
    trials = {"a": {}, "b": {"steps": 100_000, "step_s": 0.0}, "c": {}}
    (tmp_path / "trials.json").write_text(json.dumps(trials))
    with Run(results, trials) as run:
        run.until(lambda said: said.get("finished") == "a")
        code, said = run.ended()
    assert code == 2
    assert "the disk is full" in said
    assert "Traceback" not in said
    assert_nobody_left(run.mark)
    assert outcome(results, "a").outcome == "ok"
    for events in results.glob("rehearsed/b/attempts/*/events.jsonl"):
        events.unlink()
    with Run(results, {**trials, "b": {}}) as again:
        assert again.ended() == (0, "")
    assert attempts(results) == {"a": ["ok"], "b": ["interrupted", "ok"], "c": ["ok"]}
