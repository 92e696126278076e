"""A real training beside a device that is made up: what is sampled arrives in summary, store and on the screen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.records.run_folder import RunFolder, run_folders

Harness = Callable[..., subprocess.CompletedProcess[str]]

GIB = 2**30
SUITE = """\
name: sampled
question: What does the device do?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic, rows: 200}
  train: {max_steps: STEPS}
"""
DEVICE = {
    "uuid": "GPU-made-up",
    "name": "Made up",
    "power": 300,
    "utilization": 0.75,
    "sm_clock": 1980,
    "temperature": 61,
    "memory": [[0, GIB], [0.3, GIB], [0.31, 3 * GIB]],  # well before the shortest trial ends
}


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Writes the suite, and the device with what is special about it; gives the environment."""

    def write(*, steps: int = 40, **special: Any) -> dict[str, str]:
        (tmp_path / "sampled.yaml").write_text(SUITE.replace("STEPS", str(steps)))
        (tmp_path / "gpu.json").write_text(json.dumps({"devices": [{**DEVICE, **special}]}))
        return {"HARNESS_FAKE_NVML": str(tmp_path / "gpu.json")}

    return write


def _trial(folder: Path) -> RunFolder:
    (found,) = run_folders(folder / "results")
    return found


def test_energy_power_and_throttling_arrive_everywhere(
    harness: Harness, prepare: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    environ = prepare(throttle=[[0, 1e9, "hw_thermal"]], processes=[[0, 1e9, 4_000_000, GIB]])
    ran = harness("run", "sampled.yaml", env=environ)
    assert ran.returncode == 0, ran.stderr
    assert "1 of 1 trials were disturbed" in ran.stderr
    assert "harness run sampled.yaml --retry disturbed measures them again" in ran.stderr

    outcome = _trial(tmp_path).outcome()
    assert outcome is not None
    summary = outcome.summary
    assert summary["mean_power"] == pytest.approx(300, rel=0.01)
    assert summary["energy_per_token"] == pytest.approx(summary["energy"] / summary["real_tokens"])
    seconds = summary["real_tokens"] / summary["tokens_per_second"]
    assert summary["energy"] == pytest.approx(300 * seconds, rel=0.02)
    assert [summary[name] for name in ("mean_device_utilization", "mean_sm_clock", "max_temperature")] == pytest.approx(
        [0.75, 1980, 61]
    )
    assert summary["peak_device_memory"] == pytest.approx(2 * GIB, rel=0.05)
    said = " ".join(outcome.disturbed)
    assert "throttled in the measured window (hw_thermal 100%" in said
    assert "another process was on the device" in said

    shown = harness("show", "sft*").stdout
    assert "energy" in shown
    assert "hw_thermal" in shown
    assert "made up" in shown
    stored = harness("query", "select value from trial_metrics where metric = 'energy'", "--csv").stdout
    assert float(stored.splitlines()[1]) == pytest.approx(summary["energy"])
    assert "made up by" in harness("query", "select text from notes", "--csv").stdout
    assert int(harness("query", "select count(*) from device_timeline", "--csv").stdout.splitlines()[1]) > 10


def test_a_disturbed_trial_is_measured_again_with_one_flag(
    harness: Harness, prepare: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    assert harness("run", "sampled.yaml", env=prepare(throttle=[[0, 1e9, "hw_slowdown"]])).returncode == 0
    (listed,) = json.loads(harness("list", "sampled", "--json").stdout)
    assert listed["disturbed"] >= 1
    assert "1 disturbed" in harness("status").stdout
    again = harness("run", "sampled.yaml", "--retry", "disturbed", env=prepare())
    assert again.returncode == 0, again.stderr
    assert "started (attempt 2)" in again.stderr
    attempts = [attempt.outcome() for attempt in _trial(tmp_path).attempts()]
    assert [any("throttled" in reason for reason in one.disturbed) for one in attempts if one] == [True, False]


def test_a_device_that_vanishes_costs_its_figures_alone(
    harness: Harness, prepare: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    ran = harness("run", "sampled.yaml", env=prepare(errors=[[0.2, 1e9, "all", "GPU is lost"]]))
    assert ran.returncode == 0, ran.stderr
    outcome = _trial(tmp_path).outcome()
    assert outcome is not None
    assert outcome.outcome == "ok"
    assert not outcome.summary.keys() & {
        "energy",
        "mean_power",
        "mean_sm_clock",
        "max_temperature",
        "peak_device_memory",
    }
    assert outcome.summary["tokens_per_second"] > 0
    assert "is lost" in harness("query", "select text from notes", "--csv").stdout


def test_a_killed_worker_leaves_no_sampler(
    prepare: Callable[..., dict[str, str]], tmp_path: Path, harness: Harness
) -> None:
    environ = {**os.environ, **prepare(steps=100_000), "HF_HUB_OFFLINE": "1"}
    run = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "sampled.yaml", "--quiet"], cwd=tmp_path, env=environ, process_group=0
    )
    try:
        deadline = time.monotonic() + 120
        while not (logs := list(tmp_path.glob("results/*/*/attempts/1/device.jsonl"))):
            assert time.monotonic() < deadline
            assert run.poll() is None
            time.sleep(0.1)
        (sampler,) = [process for process in psutil.Process(run.pid).children(recursive=True) if _samples(process)]
        worker = sampler.parent()
        assert worker is not None
        worker.send_signal(signal.SIGKILL)
        while sampler.is_running() and sampler.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the sampler outlived its worker"
            time.sleep(0.05)
    finally:
        run.send_signal(signal.SIGTERM)
        run.wait(60)
    outcome = RunFolder(logs[0].parents[2]).attempts()[0].outcome()
    assert outcome is not None
    assert outcome.outcome == "crashed"


def _samples(process: psutil.Process) -> bool:
    try:
        return "harness.measure.sampler" in process.cmdline()
    except psutil.Error:
        return False
