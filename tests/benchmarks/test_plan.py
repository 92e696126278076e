"""How long `harness plan` takes on large matrices: the real command, start to end, from YAML to the printed table.

The best of some runs is held: other work on the machine makes a run slower, never faster. CPU seconds are told beside.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.conftest import Tell

_ROUNDS = 5


def _suite(folder: Path, sizes: tuple[int, int, int]) -> Path:
    """A suite of three axes over fields of `train`, of these many levels, with one rule that excludes a cell."""
    rates, steps, decays = (range(1, size + 1) for size in sizes)
    lines = [
        "name: large",
        "question: How long does planning take?",
        "base:",
        "  method: sft",
        "  model: {shape: tiny}",
        "  data: {source: arithmetic}",
        "  train: {max_steps: 200, per_device_train_batch_size: 16, max_length: 256, gradient_checkpointing: false}",
        "matrix:",
        f"  train.learning_rate: [{', '.join(f'{rate}e-5' for rate in rates)}]",
        f"  train.warmup_steps: [{', '.join(str(step) for step in steps)}]",
        f"  train.weight_decay: [{', '.join(f'{decay / 1000}' for decay in decays)}]",
        "exclude:",
        "  - {train.learning_rate: 1e-5, train.warmup_steps: 1, train.weight_decay: 0.001}",
    ]
    file = folder / "large.yaml"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


@dataclass(frozen=True)
class _Taken:
    """One call of the command: wall and CPU seconds, and what it printed."""

    wall: float
    cpu: float
    printed: str


def _plan(file: Path, *options: str) -> _Taken:
    command = [sys.executable, "-m", "harness", "plan", str(file), "--results", str(file.parent / "results"), *options]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return _Taken(wall, cpu, done.stdout)


@pytest.mark.parametrize(
    ("sizes", "most"), [((10, 10, 10), 1.0), ((20, 20, 50), 10.0)], ids=["1,000 cells", "20,000 cells"]
)
def test_plan_of_a_large_matrix(
    sizes: tuple[int, int, int], most: float, tmp_path: Path, benchmark: BenchmarkFixture, tell: Tell
) -> None:
    file = _suite(tmp_path, sizes)
    cells = sizes[0] * sizes[1] * sizes[2]
    counts = json.loads(_plan(file, "--json").printed)["counts"]  # also reads TRL's fields, once per version
    assert (counts["cells"], counts["excluded"]) == (cells - 1, 1)
    taken: list[_Taken] = []
    benchmark.pedantic(lambda: taken.append(_plan(file)), rounds=_ROUNDS)
    cpu = statistics.median(one.cpu for one in taken)
    wall = min(one.wall for one in taken)
    tell(f"harness plan of {cells:,} cells", f"{cpu:.2f} s of CPU, {wall:.2f} s of wall at best", f"≤ {most:g} s")
    assert wall <= most, f"`harness plan` of {cells:,} cells takes {wall:.2f} s, {cpu:.2f} s of them on the CPU"
