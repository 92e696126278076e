"""The real device: torch's allocator, events and copies are what their stand-ins in other tests say they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.measure.device import RealNvml, TorchAllocator, watch_devices
from harness.measure.device_time import TorchMarks
from harness.measure.owed import Transfer, send_from_device

pytestmark = [pytest.mark.slow, pytest.mark.gpu]

MIB = 2**20


@pytest.fixture
def torch() -> Iterator[Any]:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.cuda.init()
    yield torch
    torch.cuda.synchronize()


def test_the_allocator_tells_what_is_held_and_its_peak_since_the_last_reset(torch: Any) -> None:
    allocator = TorchAllocator()
    assert allocator.ready()
    before = allocator.figures()["device_allocated"]
    allocator.reset_peaks()
    held = torch.ones(64 * MIB, dtype=torch.uint8, device="cuda")
    more = torch.ones(32 * MIB, dtype=torch.uint8, device="cuda")
    del more
    found = allocator.figures()
    assert found["device_allocated"] - before == 64 * MIB
    assert found["device_allocated_peak"] - before == 96 * MIB
    assert found["device_reserved_peak"] >= found["device_allocated_peak"]
    allocator.reset_peaks()
    assert allocator.figures()["device_allocated_peak"] == found["device_allocated"]
    del held


def test_nvml_lists_the_device_that_torch_uses_and_sees_its_memory(torch: Any) -> None:
    watched = watch_devices()
    watched.find()
    assert watched.missing == []
    uuid = TorchAllocator().uuid()
    before = RealNvml().used()[uuid]
    held = torch.ones(512 * MIB, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    assert RealNvml().used()[uuid] - before >= 500 * MIB
    assert watched.sample()["device_used"] >= 500 * MIB
    del held


def test_marks_tell_how_long_the_device_worked_and_are_not_waited_for(torch: Any) -> None:
    marks, left = TorchMarks(), torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    torch.mm(left, left)
    torch.cuda.synchronize()
    begin = marks.mark()
    for _ in range(100):
        torch.mm(left, left)
    end = marks.mark()
    assert not end.query()  # the device runs behind the host
    torch.cuda.synchronize()
    assert end.query()
    assert begin.elapsed_time(end) > 1


def test_counts_come_from_the_device_without_waiting(torch: Any) -> None:
    left = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)

    def sent() -> Transfer:
        return send_from_device([torch.arange(5, device="cuda").sum(), torch.ones(3, device="cuda", dtype=torch.int32)])

    torch.mm(left, left)
    sent().read()  # kernels are loaded at first use, pinned memory is made once: either may wait for the device
    for _ in range(100):
        torch.mm(left, left)
    transfer = sent()
    assert not transfer.ready()
    assert transfer.read() == [10, 1, 1, 1]
    assert transfer.ready()


def test_a_blocking_copy_waits_for_the_device(torch: Any) -> None:
    """Why the device is waited for before a batch is fetched (`harness.measure.attach`)."""
    left, batch = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16), torch.ones(8).pin_memory()
    torch.mm(left, left)
    done = torch.cuda.Event()
    for _ in range(100):
        torch.mm(left, left)
    done.record()
    assert not done.query()
    batch.to("cuda")
    assert done.query()
