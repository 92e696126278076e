"""Memory figures from known truth: a made-up /proc, a fake allocator, a fake NVML."""

from __future__ import annotations

from pathlib import Path

from harness.measure.device import DeviceMemory, bare_uuid
from harness.measure.fakes import FakeAllocator, FakeNvml
from harness.measure.memory import HostMemory, Memory
from harness.measure.recorder import Recorder
from harness.records.events import read_events


def _proc(folder: Path, *, private: int, rss: int, peak: int) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "smaps_rollup").write_text(
        f"0-1 ---p 0 0:0 0 [rollup]\nRss: {rss} kB\nPrivate_Clean: 4 kB\nPrivate_Dirty: {private} kB\n"
    )
    (folder / "status").write_text(f"Name:\tx\nVmHWM:\t{peak} kB\nVmRSS:\t{rss} kB\nThreads:\t2\n")
    return folder


def test_shared_pages_are_not_the_workers(tmp_path: Path) -> None:
    host = HostMemory(_proc(tmp_path / "proc", private=100, rss=5000, peak=5300))
    assert host.sample() == (104 * 1024, 404 * 1024)
    assert (tmp_path / "proc" / "clear_refs").read_text() == "5"


def test_without_a_resettable_peak_samples_alone_count(tmp_path: Path) -> None:
    proc = _proc(tmp_path / "proc", private=100, rss=5000, peak=9000)
    (proc / "clear_refs").mkdir()  # cannot be written
    assert HostMemory(proc).sample() == (104 * 1024, 104 * 1024)


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


def test_an_nvml_that_breaks_or_does_not_know_the_device_gives_no_figure() -> None:
    unknown = DeviceMemory(FakeAllocator(device="c"), FakeNvml({"a": 1}))
    unknown.find()
    assert "does not list device c" in unknown.missing[0]
    assert "device_used" not in unknown.sample()
    nvml = FakeNvml({"a": 1})
    breaking = DeviceMemory(FakeAllocator(device="a"), nvml)
    breaking.find()
    nvml.broken = True
    assert "device_used" not in breaking.sample()
    assert breaking.sample()["device_allocated"] == 0


def test_no_cuda_means_no_device_figures_and_no_complaint() -> None:
    device = DeviceMemory(FakeAllocator(device="a", up=False), None, "not found")
    device.find()
    assert (device.sample(), device.missing) == ({}, [])


def test_uuids_of_torch_and_nvml_compare() -> None:
    assert bare_uuid(b"GPU-AB12") == bare_uuid("ab12") == "ab12"
