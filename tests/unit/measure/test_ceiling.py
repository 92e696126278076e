"""Ceilings: what is measured is the best of sustained runs, and it is found again by its device."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.measure import ceiling


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_what_was_kept_is_found_by_its_key_alone() -> None:
    ceiling.keep({"schema": 1, "key": "a device 1", "gemm": {"bfloat16": {"flops_per_second": 5.0, "size": 8}}})
    kept = ceiling.kept("a device 1")
    assert ceiling.flops_per_second(kept, "bfloat16") == 5.0
    assert ceiling.flops_per_second(kept, "float16") is None
    assert ceiling.kept("a-device 1") is None  # the same file name, another device
    assert ceiling.kept("another") is None
    assert ceiling.flops_per_second(None, "bfloat16") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 0, "key": "k"}', '{"schema": 1}'])
def test_a_damaged_or_older_file_is_none(text: str) -> None:
    ceiling.keep({"schema": 1, "key": "k"})
    (file,) = ceiling.folder().iterdir()
    file.write_text(text)
    assert ceiling.kept("k") is None


@pytest.mark.parametrize("rate", [0, -1, None, "fast"])
def test_a_rate_that_is_none_is_none(rate: Any) -> None:
    assert ceiling.flops_per_second({"gemm": {"bfloat16": {"flops_per_second": rate}}}, "bfloat16") is None


class _Device:
    """A device that takes `first` seconds for its first call and `then` for the others, by its own clock."""

    def __init__(self, first: float, then: float, slow_run: int) -> None:
        self.now, self.calls, self.runs = 0.0, 0, 0
        self._first, self._then, self._slow = first, then, slow_run

    def work(self) -> None:
        self.now += (self._first if self.calls == 0 else self._then) * (3 if self.runs == self._slow else 1)
        self.calls += 1

    def clock(self) -> ceiling.Clock:
        def timed(work: Callable[[], None]) -> float:
            self.runs += 1
            before = self.now
            work()
            return self.now - before

        return ceiling.Clock(timed)


def test_the_best_sustained_run_counts_without_its_warm_up() -> None:
    device = _Device(first=5.0, then=0.01, slow_run=4)
    assert ceiling.sustained(device.work, device.clock(), 0.9) == pytest.approx(0.01)
    assert device.calls == 2 + 3 * 30  # runs of many calls each, not the luckiest single one


def test_a_slow_product_is_run_once_a_run() -> None:
    device = _Device(first=2.0, then=2.0, slow_run=0)
    assert ceiling.sustained(device.work, device.clock(), 0.1) == pytest.approx(2.0)
    assert device.calls == 2 + 3


@pytest.mark.parametrize("odd", [0.0, -1.0, math.inf, math.nan])
def test_a_run_that_took_no_time_that_can_be_has_no_rate(odd: float) -> None:
    times = iter([0.1, 0.1, 0.1, odd, 0.1])
    clock = ceiling.Clock(lambda work: next(times))
    assert math.isnan(ceiling.sustained(lambda: None, clock, 0.1))


def test_what_no_device_can_do_is_told() -> None:
    def told(bfloat16: float, copy: float = 3e12) -> list[str]:
        products = {"bfloat16": {"flops_per_second": bfloat16, "size": 8192}}
        return ceiling.impossible({"name": "NVIDIA H100 80GB HBM3", "gemm": products, "copy": {"on_device": copy}})

    assert told(1.09 * 989.4e12) == []
    assert len(told(1.11 * 989.4e12)) == 1
    (said,) = told(1.21 * 989.4e12)
    assert "bfloat16 at 1,197 TFLOP/s, 21% above the datasheet's 989" in said
    assert "bfloat16 took no time" in told(math.inf)[0]
    assert "on_device took no time" in told(7e14, copy=math.inf)[0]


class _Watch:
    """Somebody else is there, or nobody."""

    def __init__(self, reasons: list[str]) -> None:
        self.looks, self._reasons = 0, reasons

    def look(self) -> None:
        self.looks += 1

    def reasons(self) -> list[str]:
        return self._reasons


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reasons", "rate", "doubt"),
    [([], 1e9, None), (["others were there"], 1e9, "disturbed"), ([], math.inf, "impossible")],
)
def test_only_what_nothing_speaks_against_is_kept(
    reasons: list[str],
    rate: float,
    doubt: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(ceiling, "_product", lambda *given: rate)
    monkeypatch.setattr(ceiling, "_copies", lambda *given: {})
    monkeypatch.setattr("harness.measure.alone.Cores", lambda: _Watch(reasons))
    assert ceiling.main(["0.01"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert {"disturbed", "impossible"} & set(found) == ({doubt} if doubt else set())
    assert (ceiling.kept(found["key"]) is None) is (found["kept_in"] is None) is (doubt is not None)


def test_who_else_is_there_is_looked_at_outside_the_time_taken() -> None:
    device, watch = _Device(first=0.1, then=0.1, slow_run=0), _Watch([])
    assert ceiling.sustained(device.work, device.clock().watched(watch), 0.3) == pytest.approx(0.1)
    assert watch.looks == 2 + ceiling.RUNS


@pytest.mark.slow
def test_the_cpu_is_measured_kept_and_bounded_in_time(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness.measure.ceiling", "0.5"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    began = time.monotonic()
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)
    assert time.monotonic() - began < 60
    (found,) = json.loads(answer.stdout.splitlines()[-1])
    assert found["device"] == "cpu"
    assert set(found["gemm"]) >= {"float32", "bfloat16"}
    assert all(1e8 < each["flops_per_second"] < 1e15 for each in found["gemm"].values())
    assert 1e8 < found["copy"]["on_device"] < 1e13
    measured = {name: value for name, value in found.items() if name != "kept_in"}
    assert ceiling.kept(found["key"]) == (None if "disturbed" in found else measured)  # by others than this test


@pytest.mark.slow
def test_only_what_a_device_cannot_do_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> float:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(ceiling, "_product", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        ceiling._products("cpu", ceiling.Clock.wall(), 0.1)

    def missing(*arguments: Any) -> float:
        raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'")

    monkeypatch.setattr(ceiling, "_product", missing)
    assert ceiling._products("cpu", ceiling.Clock.wall(), 0.1) == {}


def test_a_product_is_two_operations_for_each_of_its_size_cubed() -> None:
    import torch

    assert ceiling._product("cpu", torch.float32, 8, ceiling.Clock(lambda work: 0.5), 0.1) == 2 * 8**3 / 0.5
