"""Memory figures from known truth: a made-up /proc, a fake allocator, a fake NVML."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.measure.device import DeviceMemory
from harness.measure.facts import disturbed
from harness.measure.fakes import FakeAllocator, FakeNvml
from harness.measure.memory import HostMemory, Memory
from harness.measure.recorder import Recorder
from harness.records.events import read_events


def _proc(folder: Path, *, private: int, rss: int, peak: int, swapped: int = 0, inherited: int = 0) -> Path:
    """`swapped` kB of its own lie in swap, and `inherited` kB that it shares with its parent."""
    folder.mkdir(exist_ok=True)
    (folder / "smaps_rollup").write_text(
        f"0-1 ---p 0 0:0 0 [rollup]\nRss: {rss} kB\nPrivate_Clean: 4 kB\nPrivate_Dirty: {private} kB\n"
        f"Swap: {swapped + inherited} kB\nSwapPss: {swapped + inherited // 2} kB\n"
    )
    (folder / "status").write_text(f"Name:\tx\nVmHWM:\t{peak} kB\nVmRSS:\t{rss} kB\nThreads:\t2\n")
    return folder


def test_shared_pages_are_not_the_workers(tmp_path: Path) -> None:
    host = HostMemory(_proc(tmp_path / "proc", private=100, rss=5000, peak=5300))
    assert host.sample() == (104 * 1024, 404 * 1024)
    assert (tmp_path / "proc" / "clear_refs").read_text() == "5"


def test_pages_shared_with_processes_of_its_own_are_the_workers() -> None:
    """A loader's workers are forked from the trial, and what they both hold is no longer one's alone."""
    held = bytearray(b"x") * (64 << 20)
    host = HostMemory()
    before, _ = host.sample()
    done, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(done, 1)
        os._exit(0)
    try:
        now, peak = host.sample()
    finally:
        os.write(told, b"x")
        os.waitpid(child, 0)
        os.close(done)
        os.close(told)
    assert abs(now - before) < 8 << 20 < len(held)
    assert peak >= now
    assert abs(host.sample()[0] - before) < 8 << 20


def test_what_is_shared_with_the_parent_and_was_in_swap_is_none_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "proc"

    def shares(kilobytes: int, inherited: int) -> int:
        rollup = _proc(folder, private=100, rss=5000, peak=5000, inherited=inherited) / "smaps_rollup"
        rollup.write_text(rollup.read_text() + f"Shared_Dirty: {kilobytes} kB\n")
        return host.sample()[0] // 1024

    host = HostMemory(_proc(folder, private=100, rss=5000, peak=5000))
    assert [shares(900, 0), shares(200, 700), shares(900, 0)] == [104, 104, 104]
    assert [shares(700, 0), shares(950, 0)] == [104, 354]


def test_without_a_resettable_peak_samples_alone_count(tmp_path: Path) -> None:
    proc = _proc(tmp_path / "proc", private=100, rss=5000, peak=9000)
    (proc / "clear_refs").mkdir()  # cannot be written
    assert HostMemory(proc).sample() == (104 * 1024, 104 * 1024)


class _Process:
    """A process as the kernel tells of it: pages of its own come and go, what it shares stands still."""

    def __init__(self, folder: Path, shared: int) -> None:
        self.folder, self.shared, self.own, self.highest = folder, shared, 0, shared
        self.take(4)

    def take(self, kilobytes: int) -> None:
        reset = self.folder / "clear_refs"
        if reset.exists():  # somebody asked for the peak to begin anew
            reset.unlink()
            self.highest = self.shared + self.own
        self.own += kilobytes
        self.highest = max(self.highest, self.shared + self.own)
        _proc(self.folder, private=self.own - 4, rss=self.shared + self.own, peak=self.highest)


@given(st.integers(0, 10**6), st.lists(st.lists(st.integers(0, 10**5), max_size=6), min_size=1, max_size=8))
def test_any_schedule_of_allocations_has_its_peak_between_any_two_samples(shared: int, levels: list[list[int]]) -> None:
    """`levels`: what the process holds in turn, between one sample and the next."""
    with tempfile.TemporaryDirectory() as folder:
        process = _Process(Path(folder), shared)
        host, held = HostMemory(process.folder), process.own
        for between in levels:
            reached = [held, *(level + 4 for level in between)]
            for level in reached:
                process.take(level - process.own)
            held = process.own
            assert host.sample() == (held * 1024, max(reached) * 1024)


def test_what_lies_in_swap_is_the_workers_unless_its_parent_shares_it(tmp_path: Path) -> None:
    """Figures of a forked process on Linux 6.18, of which madvise moved 50 MiB out: before, and after."""
    proc = tmp_path / "proc"
    host = HostMemory(_proc(proc, private=52_000, rss=103_000, peak=103_000, inherited=20_480))
    assert host.sample() == (52_004 * 1024, 52_004 * 1024)
    assert host.swapped == 0
    _proc(proc, private=800, rss=51_800, peak=103_000, swapped=51_200, inherited=20_480)
    assert host.sample() == (52_004 * 1024, 52_004 * 1024)  # nothing was taken, nothing given back
    assert host.swapped == 51_200 * 1024


def test_a_worker_that_lay_in_swap_is_disturbed(tmp_path: Path) -> None:
    folder = tmp_path / "proc"
    for swapped, said in (
        (0, ()),
        (500, ()),
        (2_000, ("the machine was short of memory: 1.95 MiB of the worker lay in swap",)),
    ):
        proc = _proc(folder, private=100_000, rss=120_000, peak=120_000, swapped=swapped)
        events = _memory(tmp_path, DeviceMemory(FakeAllocator(device="a", up=False), None), proc)
        assert disturbed(events) == said


def _memory(folder: Path, device: DeviceMemory, proc: Path) -> list[dict[str, object]]:
    with Recorder(folder / "events.jsonl") as recorder:
        memory = Memory(recorder, host=HostMemory(proc), device=device)
        memory.attached(None, None)
        memory.phase_end("train")
        memory.phase_end("save")
    return list(read_events(folder / "events.jsonl"))


def test_a_host_that_tells_nothing_is_said_once_and_gives_no_figure(tmp_path: Path) -> None:
    device = DeviceMemory(FakeAllocator(device="a", up=False), None)
    events = _memory(tmp_path, device, tmp_path / "none")
    assert [event["kind"] for event in events] == ["note"]
    assert "not measured" in str(events[0]["text"])


def test_device_memory_is_used_less_what_was_used_before(tmp_path: Path) -> None:
    nvml = FakeNvml({"a": 1000, "b": 50})
    allocator = FakeAllocator(device="b", allocated=70, peak=90, reserved=128)
    device = DeviceMemory(allocator, nvml)
    nvml.now["b"] = 450  # its own; device a, first in NVML's order, is somebody else's
    nvml.now["a"] = 9000
    first, second = _memory(tmp_path, device, _proc(tmp_path / "proc", private=1, rss=1, peak=1))
    values = first["values"]
    assert isinstance(values, dict)
    assert values["device_used"] == 400
    assert (values["device_allocated_peak"], values["device_reserved_peak"]) == (90, 128)
    after = second["values"]
    assert isinstance(after, dict)
    assert after["device_allocated_peak"] == 70  # each phase has a peak of its own


def test_a_missing_nvml_is_said_once_and_is_no_zero(tmp_path: Path) -> None:
    device = DeviceMemory(FakeAllocator(device="b"), None, "NVML Shared Library Not Found")
    events = _memory(tmp_path, device, _proc(tmp_path / "proc", private=1, rss=1, peak=1))
    notes = [event["text"] for event in events if event["kind"] == "note"]
    assert notes == ["device memory by NVML is not measured: NVML Shared Library Not Found"]
    assert all("device_used" not in str(event) for event in events)


def test_an_nvml_that_does_not_know_the_device_gives_no_figure() -> None:
    unknown = DeviceMemory(FakeAllocator(device="c"), FakeNvml({"a": 1, "b": 1}))
    unknown.find()
    assert "does not list the device that torch uses" in unknown.missing[0]
    assert "device_used" not in unknown.sample()


def test_the_only_visible_device_is_meant_whatever_torch_calls_it() -> None:
    """As the sampler has it: of a part of a device (MIG) torch and NVML may name one the whole and one the part."""
    nvml = FakeNvml({"whole": 100})
    device = DeviceMemory(FakeAllocator(device="part"), nvml)
    device.find()
    nvml.now["whole"] = 350
    assert (device.sample()["device_used"], device.missing) == (250, [])


def test_a_device_that_does_not_answer_is_not_taken_for_another() -> None:
    nvml = FakeNvml({"a": 100, "b": 100}, silent=["b"])
    for torchs in ("b", "c"):
        device = DeviceMemory(FakeAllocator(device=torchs), nvml)
        device.find()
        assert "device_used" not in device.sample()
        assert len(device.missing) == 1


def test_an_nvml_that_breaks_is_said_and_gives_no_figure() -> None:
    nvml = FakeNvml({"a": 1})
    breaking = DeviceMemory(FakeAllocator(device="a"), nvml)
    breaking.find()
    nvml.broken = True
    first, _ = breaking.sample(), breaking.sample()
    assert "device_used" not in first
    assert first["device_allocated"] == 0
    assert breaking.missing == ["device memory by NVML is no longer measured: Driver/library version mismatch"]


def test_no_cuda_means_no_device_figures_and_no_complaint() -> None:
    device = DeviceMemory(FakeAllocator(device="a", up=False), None, "not found")
    device.find()
    assert (device.sample(), device.missing) == ({}, [])
