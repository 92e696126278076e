"""The same seeded trial twice on a CPU: the same training to the last digit, and figures that differ only in time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.records.events import Event, read_events
from harness.records.metrics import METRICS
from harness.records.run_folder import Attempt, RunFolder, run_folders

Answer = subprocess.CompletedProcess[str]
Harness = Callable[..., Answer]

SUITE = """\
name: twice
question: Does the same seed train the same?
base:
  model: {shape: tiny}
  data: {source: arithmetic, rows: 120, eval_fraction: 0.1}
  train:
    max_steps: 8
    per_device_train_batch_size: 4
    gradient_accumulation_steps: 2
    logging_steps: 1
    use_cpu: true
    bf16: false
  measure: {warmup_steps: 2}
matrix:
  method: [sft, dpo]
replicates: {seeds: [5]}
"""

# What a clock tells, or what follows from it; and memory, of which a process holds a page more or less each time.
_OF_TIME = ("s", "tokens/s", "samples/s", "FLOP/s", "J", "J/token", "W", "MHz", "°C")
_NOT_EXACT = {name for name, metric in METRICS.items() if metric.unit in _OF_TIME}
_NOT_EXACT |= {"data_share", "mfu", "hfu", "mean_device_utilization", "peak_host_memory"}
_OF_STEPS = ("wall_s", "data_s", "device_s", "t")


def _without_time(attempt: Attempt, kind: str) -> list[Event]:
    found = [event for event in read_events(attempt.events) if event["kind"] == kind]
    return [{name: value for name, value in event.items() if name not in _OF_STEPS} for event in found]


def _differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


@pytest.mark.timeout(400)
def test_two_runs_of_one_seed_train_the_same_and_differ_only_in_time(tmp_path: Path, harness: Harness) -> None:
    (tmp_path / "twice.yaml").write_text(SUITE, encoding="utf-8")
    for more in ((), ("--force",)):
        answer = harness("run", "twice.yaml", "--quiet", *more, timeout=180)
        assert answer.returncode == 0, answer.stderr
    folders: list[RunFolder] = run_folders(tmp_path / "results", "twice")
    assert len(folders) == 2
    for folder in folders:
        first, second = folder.attempts()
        logs, steps = _without_time(first, "log"), _without_time(first, "step")
        assert len([log for log in logs if "loss" in log["values"]]) == 8
        assert logs == _without_time(second, "log")  # losses, gradient norms, rewards: to the last digit
        assert steps == _without_time(second, "step")  # tokens, samples, FLOPs of every step
        assert len(steps) == 8
        one, two = first.outcome(), second.outcome()
        assert one is not None
        assert two is not None
        assert one.weights_hash == two.weights_hash is not None
        assert one.data_fingerprint == two.data_fingerprint is not None
        assert _differing(dict(one.summary), dict(two.summary)) <= _NOT_EXACT
        assert set(one.summary) == set(two.summary)
        assert {"real_tokens", "final_loss", "final_eval_loss"} <= set(one.summary)


def test_another_seed_trains_otherwise(tmp_path: Path, harness: Harness) -> None:
    """Or the test above would hold nothing."""
    suite = SUITE.replace("method: [sft, dpo]", "method: [sft]").replace("seeds: [5]", "seeds: [5, 6]")
    (tmp_path / "twice.yaml").write_text(suite, encoding="utf-8")
    answer = harness("run", "twice.yaml", "--quiet", timeout=180)
    assert answer.returncode == 0, answer.stderr
    one, two = (folder.attempts()[0] for folder in run_folders(tmp_path / "results", "twice"))
    assert _without_time(one, "log") != _without_time(two, "log")
