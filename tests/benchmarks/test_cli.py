"""How fast the command line answers, as ratios within one run: a busy machine slows both sides alike."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from pytest_benchmark.fixture import BenchmarkFixture

_ROUNDS = 15
_MOST = 15.0


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def _alternating(one: Callable[[], float], other: Callable[[], float]) -> tuple[list[float], list[float]]:
    pairs = [(one(), other()) for _ in range(_ROUNDS)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def test_help_takes_no_more_than_fifteen_bare_interpreters(benchmark: BenchmarkFixture) -> None:
    bare = [sys.executable, "-c", "pass"]
    helped = [sys.executable, "-m", "harness", "--help"]
    _seconds(helped)  # compiles what is new
    empty, full = _alternating(lambda: _seconds(bare), lambda: _seconds(helped))
    ratio = statistics.median(full) / statistics.median(empty)
    benchmark.extra_info.update(
        ratio=round(ratio, 2), bare_s=round(statistics.median(empty), 4), help_s=round(statistics.median(full), 4)
    )
    benchmark.pedantic(_seconds, args=(helped,), rounds=3)
    assert ratio <= _MOST, f"`harness --help` takes {ratio:.1f} times a bare interpreter"
