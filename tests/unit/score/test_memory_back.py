"""Waiting for a device's memory, against a scripted NVML whose clock is the test's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.measure.fakes.nvml import ScriptedNvml
from harness.measure.nvml import NvmlError
from harness.score import memory_back
from harness.score.memory_back import TOLERANCE, Back, Memory

GIB = 2**30
OURS, STRANGER, NOBODY = 5_000_071, 5_000_072, 5_000_073  # above what Linux numbers processes by


@dataclass
class Time:
    """A clock that only sleeping moves."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Time:
    """The script's clock and the waiting's are one."""
    return Time()


def _memory(clock: Time, *devices: Mapping[str, Any], family: tuple[int, ...] = ()) -> Memory:
    named = [{"uuid": f"GPU-{number}", "name": f"Device {number}", **each} for number, each in enumerate(devices)]
    memory = Memory(
        nvml=ScriptedNvml.of({"devices": named}, clock=lambda: clock.now),
        family=lambda: family,
        exists=lambda pid: pid != NOBODY,
        clock=lambda: clock.now,
        sleep=clock.sleep,
    )
    memory.remember()
    return memory


def _back(memory: Memory, environ: Mapping[str, str] | None = None) -> tuple[Back, list[str]]:
    told: list[str] = []
    return memory.back(environ or {}, told.append), told


def test_memory_that_is_back_is_not_waited_for(clock: Time) -> None:
    memory = _memory(clock, {"memory": [[0, GIB], [10, 40 * GIB], [20, 40 * GIB], [21, GIB]]})
    clock.now = 30
    back, told = _back(memory)
    assert (back.notes, told, clock.slept) == ((), [], [])


def test_memory_that_falls_in_time_is_waited_for(clock: Time) -> None:
    memory = _memory(clock, {"memory": [[0, GIB], [10, 40 * GIB], [20, 40 * GIB], [24, GIB]]})
    clock.now = 20
    back, told = _back(memory)
    assert back.notes == ()
    assert clock.now == pytest.approx(24, abs=0.3)
    assert told == ["waiting for the memory of Device 0 to come back"]


def test_memory_that_never_falls_is_said_and_not_waited_for_longer(clock: Time) -> None:
    held = {"memory": [[0, GIB], [10, 40 * GIB]], "processes": [[5, 999, OURS, 39 * GIB]]}
    memory = _memory(clock, held, family=(OURS,))
    clock.now = 20
    back, _ = _back(memory)
    assert clock.now == pytest.approx(20 + memory.patience_s, abs=0.3)
    (note,) = back.notes
    assert note.startswith("gpu memory: of Device 0 40 GiB were in use 30.0 s after")
    assert "(1 GiB before it began)" in note
    assert f"process {OURS}" in note
    assert "39 GiB" in note
    assert back.free == pytest.approx((39 / 80,))


def test_memory_that_never_falls_and_that_nobody_holds_is_said(clock: Time) -> None:
    memory = _memory(clock, {"memory": [[0, GIB], [10, 40 * GIB]]})
    clock.now = 20
    assert "NVML names no process" in _back(memory)[0].notes[0]


def test_a_process_of_ours_is_waited_for_although_others_gave_memory_back(clock: Time) -> None:
    """Less is in use than before, since a stranger left; the worker is still there."""
    falls = {"memory": [[0, 60 * GIB], [10, 40 * GIB]], "processes": [[5, 23, OURS, 40 * GIB]]}
    memory = _memory(clock, falls, family=(OURS,))
    clock.now = 20
    back, _ = _back(memory)
    assert back.notes == ()
    assert clock.now == pytest.approx(23, abs=0.3)


def test_others_that_came_meanwhile_are_told_and_not_waited_for(clock: Time) -> None:
    memory = _memory(clock, {"memory": [[0, GIB], [10, 30 * GIB]], "processes": [[5, 999, STRANGER, 29 * GIB]]})
    clock.now = 20
    back, _ = _back(memory)
    assert clock.slept == []
    assert back.notes == (f"gpu memory: 30 GiB of Device 0 are in use by others (process {STRANGER}, 29 GiB)",)
    assert back.share() == 0.61  # (80 - 30 - 1) / 80, rounded down


def test_others_that_were_there_before_are_no_news(clock: Time) -> None:
    memory = _memory(clock, {"memory": 30 * GIB, "processes": [[0, 999, STRANGER, 29 * GIB]]})
    back, _ = _back(memory)
    assert (back.notes, clock.slept) == ((), [])
    assert back.share() == 0.61


def test_a_process_that_vanishes_while_its_memory_is_freed_is_waited_for(clock: Time) -> None:
    """NVML still lists it, and there is no such process any more: neither ours nor anybody's."""
    gone = {"memory": [[0, GIB], [10, 40 * GIB], [22, 40 * GIB], [22.5, GIB]], "processes": [[5, 22, NOBODY, GIB]]}
    memory = _memory(clock, gone)
    clock.now = 20
    back, _ = _back(memory)
    assert back.notes == ()
    assert 22 < clock.now < 23


@pytest.mark.parametrize("text", ["GPU is lost", "Unknown Error"])
def test_an_nvml_that_fails_in_the_middle_ends_the_waiting_and_is_said(clock: Time, text: str) -> None:
    memory = _memory(clock, {"memory": [[0, GIB], [10, 40 * GIB]], "errors": [[22, 999, "all", text]]})
    clock.now = 20
    back, _ = _back(memory)
    assert clock.now == pytest.approx(22, abs=0.3)
    assert back.notes == (
        f"gpu memory: NVML does not tell what is in use on Device 0 ({text}), so nothing was waited for",
    )
    assert back.free == ()
    assert back.share() is None


def test_a_list_of_processes_that_is_not_told_leaves_the_sum_to_go_by(clock: Time) -> None:
    memory = _memory(
        clock,
        {"memory": [[0, GIB], [10, 40 * GIB], [22, GIB]], "errors": [[0, 999, "processes", "Not Supported"]]},
    )
    clock.now = 20
    assert _back(memory)[0].notes == ()
    assert clock.now == pytest.approx(22, abs=0.3)


def test_only_devices_that_the_engine_will_see_are_waited_for(clock: Time) -> None:
    busy = {"memory": [[0, GIB], [10, 40 * GIB]]}
    memory = _memory(clock, busy, {"memory": GIB}, busy)
    clock.now = 20
    back, _ = _back(memory, {"CUDA_VISIBLE_DEVICES": "GPU-1"})
    assert (back.notes, clock.slept) == ((), [])
    assert len(back.free) == 1
    assert _back(memory, {"CUDA_VISIBLE_DEVICES": ""})[0] == Back()
    assert clock.slept == []


def test_every_device_is_waited_for(clock: Time) -> None:
    memory = _memory(clock, {"memory": [[0, GIB], [10, 9 * GIB], [30, GIB]]}, {"memory": [[0, 0], [10, 9 * GIB]]})
    clock.now = 20
    back, told = _back(memory)
    assert ["Device 1" in note for note in back.notes] == [True]
    assert told == ["waiting for the memory of Device 0 and Device 1 to come back"]


def test_what_ends_the_scoring_ends_the_waiting(clock: Time) -> None:
    memory = _memory(clock, {"memory": [[0, GIB], [10, 40 * GIB]]})
    clock.now = 20

    def check() -> None:
        if clock.now > 21:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        memory.back({}, lambda text: None, check)
    assert clock.now < 22


def test_the_least_that_was_ever_seen_is_what_was_before(clock: Time) -> None:
    """Another engine was starting when it was first looked at; what our own left later counts from less."""
    memory = _memory(clock, {"memory": [[0, 20 * GIB], [5, GIB], [10, GIB], [11, 10 * GIB], [15, 10 * GIB], [16, GIB]]})
    clock.now = 7
    _back(memory)
    clock.now = 12
    assert _back(memory)[0].notes == ()
    assert clock.now == pytest.approx(16, abs=0.3)


@pytest.mark.parametrize(("above", "waits"), [(TOLERANCE, False), (TOLERANCE + 2**20, True)])
def test_what_a_driver_moves_by_is_no_reason_to_wait(clock: Time, above: int, waits: bool) -> None:
    memory = _memory(clock, {"memory": [[0, GIB], [0.1, GIB + above]]})
    clock.now = 1
    _back(memory)
    assert bool(clock.slept) is waits


def test_a_machine_without_nvml_waits_for_nothing_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(environ: Mapping[str, str]) -> None:
        raise NvmlError("NVML Shared Library Not Found")

    monkeypatch.setattr(memory_back, "open_nvml", none)
    assert _back(Memory.look({})) == (Back(), [])
    assert Back().share() is None


def test_the_script_that_a_variable_names_is_asked(tmp_path: Path) -> None:
    script = tmp_path / "gpu.json"
    script.write_text('{"devices": [{"uuid": "GPU-1", "memory": 8589934592, "memory_total": 17179869184}]}')
    back, _ = _back(Memory.look({"HARNESS_FAKE_NVML": str(script)}))
    assert back.free == pytest.approx((7 / 16,))


@pytest.mark.parametrize(
    ("free", "devices", "share"),
    [
        ((0.99,), 1, None),  # the default fits
        ((0.92,), 1, None),
        ((0.9199,), 1, 0.91),
        ((0.95, 0.5), 1, None),
        ((0.95, 0.5), 2, 0.5),
        ((-0.01,), 1, 0.05),  # too little for anything: the engine says so itself
    ],
)
def test_an_engine_takes_what_is_free(free: tuple[float, ...], devices: int, share: float | None) -> None:
    assert Back(free=free).share(devices) == share


def test_who_is_ours_is_told_by_descent() -> None:
    family: Callable[[], Any] = Memory().family
    assert os.getpid() in family()
    assert os.getppid() not in family()
    assert Memory().exists(os.getpid())
    assert not Memory().exists(2**31 - 1)
