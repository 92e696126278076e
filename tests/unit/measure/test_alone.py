"""Who else is on a device while its ceiling is measured."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.measure import alone
from harness.measure.fakes.nvml import ScriptedNvml

_GIB = 2**30
_OWN = os.getpid()


def _on_gpu(now: list[float], **said: Any) -> alone.OnGpu:
    nvml = ScriptedNvml.of({"devices": [{"uuid": "GPU-1", **said}]}, clock=lambda: now[0])
    return alone.OnGpu(nvml.gpus()[0])


def _told(*processes: Sequence[float], memory: float = 0.0) -> list[str]:
    """From before the measurement, at 0, to its end, at 10; looked at each second."""
    now = [0.0]
    watch = _on_gpu(now, processes=processes, memory=memory)
    for second in range(1, 10):
        now[0] = second
        watch.look()
    return watch.reasons()


def test_alone_on_a_gpu_nothing_is_told() -> None:
    assert _told([1, 20, _OWN, _GIB]) == []
    assert _told() == []  # a container whose NVML lists nobody


def test_who_was_on_the_gpu_before_or_came_meanwhile_is_told() -> None:
    own = [1, 20, _OWN, _GIB]
    expected = "another process was on the device in the measured window, holding 2 GiB"
    assert _told(own, [0, 20, 99999999, 2 * _GIB]) == [expected]
    assert _told(own, [4, 5.5, 99999999, 2 * _GIB]) == [expected]


def test_memory_that_nobody_holds_is_told() -> None:
    (said,) = _told(memory=5.0 * _GIB)
    assert said.startswith("5 GiB of the device were in use beforehand")


def test_a_gpu_that_does_not_answer_says_nothing() -> None:
    watch = _on_gpu([0.0], errors=[[0, 99, "all", "GPU is lost"]])
    watch.look()
    assert watch.reasons() == []


def _proc(folder: Path, *, busy: int, waited: float) -> None:
    """Ticks of 10 ms of each core that this process may use; seconds its thread stood ready."""
    cores = "".join(f"cpu{core} {busy} 0 0 1000 0 0 0 0\n" for core in sorted(os.sched_getaffinity(0)))
    task = folder / "self" / "task" / "1"
    task.mkdir(parents=True, exist_ok=True)
    (folder / "stat").write_text(f"cpu 0 0 0 0 0 0 0 0\n{cores}intr 0\n")
    (task / "schedstat").write_text(f"0 {round(waited * 1e9)} 0\n")


@pytest.mark.parametrize(("busy", "waited", "disturbed"), [(100_000, 50.0, True), (0, 0.0, False)])
def test_others_on_the_processor_are_told(
    busy: int, waited: float, disturbed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 10.0])
    monkeypatch.setattr("harness.measure.load.time.perf_counter", lambda: next(times))
    monkeypatch.setattr("harness.measure.load.quota", lambda groups: False)
    _proc(tmp_path, busy=0, waited=0.0)
    watch = alone.Cores(tmp_path)
    _proc(tmp_path, busy=busy, waited=waited)
    said = watch.reasons()
    assert bool(said) is disturbed
    assert not disturbed or "other processes took" in said[0]


def test_a_gpu_is_found_by_its_uuid_or_because_it_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "nvml.json"
    monkeypatch.setenv("HARNESS_FAKE_NVML", str(script))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert alone.on_gpus() == {}  # no answer
    script.write_text(json.dumps({"devices": [{"uuid": "GPU-1"}, {"uuid": "GPU-2"}]}))
    two = alone.on_gpus()
    assert alone.over(two, "2") is two["2"]
    assert alone.over(two, "3") is None
    script.write_text(json.dumps({"devices": [{"uuid": "MIG-1"}]}))
    one = alone.on_gpus()
    assert alone.over(one, "of-the-whole") is one["1"]
