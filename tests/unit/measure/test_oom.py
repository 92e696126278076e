"""What out-of-memory errors say, in the words that torch and others use."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.facts import facts
from harness.measure.oom import details, in_words, size
from harness.records.events import Event

GIB, MIB = 2**30, 2**20


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


# As torch's CUDA allocator says it: since 2.2, in 2.1 ("capacty"), and in 2.0; numbers are made up.
SINCE_2_2 = (
    "CUDA out of memory. Tried to allocate 3.75 GiB. GPU 1 has a total capacity of 23.50 GiB of which 2.50 GiB is "
    "free. Process 502587 has 1.75 GiB memory in use. Process 745081 has 256.00 MiB memory in use. "
    "Including non-PyTorch memory, this process has 19.00 GiB memory in use. "
    "Of the allocated memory 18.25 GiB is allocated by PyTorch, and 512.00 MiB is reserved by PyTorch but unallocated. "
    "If reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"
)
POOLS = (
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.25 GiB of which 4.00 MiB is "
    "free. 64.00 GiB allowed; Including non-PyTorch memory, this process has 17179869184.00 GiB memory in use. "
    "Of the allocated memory 60.00 GiB is allocated by PyTorch, with 1.00 GiB allocated in private pools (e.g., CUDA "
    "Graphs), and 2.00 GiB is reserved by PyTorch but unallocated."
)
# In a container that does not share the host's process ids: the worker itself is listed as any other process.
IN_A_CONTAINER = (
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 40.00 GiB of which 8.00 MiB is "
    "free. Process 25454 has 3.75 GiB memory in use. Process 104554 has 4.25 GiB memory in use. "
    "Process 30427 has 31.25 GiB memory in use. Of the allocated memory 30.25 GiB is allocated by PyTorch, with "
    "32.00 MiB allocated in private pools (e.g., CUDA Graphs), and 256.00 MiB is reserved by PyTorch but unallocated."
)
IN_2_1 = (
    "CUDA out of memory. Tried to allocate 512 bytes. GPU 0 has a total capacty of 12.00 GiB of which 0 bytes is free. "
    "Of the allocated memory 984.50 MiB is allocated by PyTorch, and 463.50 MiB is reserved by PyTorch but unallocated."
)
IN_2_0 = (
    "CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 7.75 GiB total capacity; 6.50 GiB already allocated; "
    "19.25 MiB free; 6.75 GiB reserved in total by PyTorch) If reserved memory is >> allocated memory try setting "
    "max_split_size_mb to avoid fragmentation."
)

# cuDNN's attention asks the driver itself; torch 2.14 sees that it was for memory, and raises a plain RuntimeError.
CUDNN_ATTENTION = (
    'cuDNN SDPA execution failed with error code ["CUDNN_BACKEND_API_FAILED"]: [cudnn_frontend] err 2 != CUDA_SUCCESS '
    "in shimCuLaunchKernelEx(&config)\nCUDA ran out of memory outside PyTorch's allocator. If this workload uses many "
    "dynamic shapes, cuDNN may need additional device memory to JIT-compile shape-specialized kernels."
)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OutOfMemoryError(SINCE_2_2),
            {
                "device": "device 1",
                "requested_bytes": 3.75 * GIB,
                "total": 23.5 * GIB,
                "free": 2.5 * GIB,
                "in_use": 19 * GIB,
                "in_use_by_others": 2 * GIB,
                "allocated": 18.25 * GIB,
                "reserved": 18.75 * GIB,
            },
        ),
        (
            OutOfMemoryError(POOLS),
            {
                "device": "device 0",
                "requested_bytes": 20 * MIB,
                "total": 79.25 * GIB,
                "free": 4 * MIB,
                "allowed": 64 * GIB,
                "allocated": 60 * GIB,
                "reserved": 62 * GIB,
            },
        ),
        (
            OutOfMemoryError(IN_A_CONTAINER),
            {
                "device": "device 0",
                "requested_bytes": 20 * MIB,
                "total": 40 * GIB,
                "free": 8 * MIB,
                "in_use": 31.25 * GIB,
                "in_use_by_others": 8 * GIB,
                "allocated": 30.25 * GIB,
                "reserved": 30.5 * GIB,
            },
        ),
        (
            OutOfMemoryError(IN_2_1),
            {
                "device": "device 0",
                "requested_bytes": 512,
                "total": 12 * GIB,
                "free": 0,
                "allocated": 984.5 * MIB,
                "reserved": 1448 * MIB,
            },
        ),
        (
            RuntimeError(IN_2_0),
            {
                "device": "device 0",
                "requested_bytes": 20 * MIB,
                "total": 7.75 * GIB,
                "free": 19.25 * MIB,
                "allocated": 6.5 * GIB,
                "reserved": 6.75 * GIB,
            },
        ),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronous"), {"device": "device"}),
        (RuntimeError("CUDA driver error: out of memory"), {"device": "device"}),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            {"device": "device"},
        ),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), {"device": "device"}),
        (RuntimeError("Triton Error [CUDA]: out of memory"), {"device": "device"}),
        (RuntimeError(CUDNN_ATTENTION), {"device": "device"}),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
                "to allocate 7578734842800 bytes. Error code 12 (Cannot allocate memory)"
            ),
            {"device": "host", "requested_bytes": 7578734842800},
        ),
        (
            MemoryError("Unable to allocate 1.50 GiB for an array with shape (201326592,) and data type float64"),
            {"device": "host", "requested_bytes": 1.5 * GIB},
        ),
        (MemoryError(), {"device": "host"}),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), {"device": "host"}),
        (OSError(errno.ENOMEM, "Nicht genügend Hauptspeicher verfügbar"), {"device": "host"}),  # by its number
    ],
)
def test_what_the_message_says_is_told_in_bytes(error: Exception, told: dict[str, Any]) -> None:
    assert details(error) == told


@pytest.mark.parametrize(
    "error", [ValueError("no"), OSError(errno.ENOSPC, "No space left"), RuntimeError("memory format")]
)
def test_other_errors_are_no_oom(error: Exception) -> None:
    assert details(error) is None


def test_the_error_behind_an_error_counts() -> None:
    error = ValueError("the batch could not be made")
    error.__cause__ = OutOfMemoryError(SINCE_2_2)
    assert (details(error) or {})["requested_bytes"] == 3.75 * GIB


def test_alone_in_a_container_nobody_else_held_anything() -> None:
    others = "Process 25454 has 3.75 GiB memory in use. Process 104554 has 4.25 GiB memory in use. "
    alone = details(OutOfMemoryError(IN_A_CONTAINER.replace(others, ""))) or {}
    assert alone["in_use"] == 31.25 * GIB
    assert "other processes" not in in_words(alone, "forward")


def test_where_any_of_two_may_be_this_process_nothing_is_said_of_others() -> None:
    text = IN_A_CONTAINER.replace("3.75 GiB", "31.00 GiB")
    assert not (details(OutOfMemoryError(text)) or {}).keys() & {"in_use", "in_use_by_others"}


def test_in_words() -> None:
    told = details(OutOfMemoryError(SINCE_2_2)) or {}
    assert in_words(told, "backward") == (
        "out of device memory in backward: 3.75 GiB more were asked for, 2.50 GiB of 23.50 GiB were free; "
        "other processes held 2.00 GiB"
    )
    assert in_words({"device": "host", "requested_bytes": 800}, None) == (
        "out of host memory: 800 bytes more were asked for"
    )


@given(st.integers(0, 2**50))
def test_sizes_are_read_as_torch_writes_them(count: int) -> None:
    unit = next(((name, of) for name, of in (("GiB", GIB), ("MiB", MIB), ("KiB", 1024)) if count >= of), ("bytes", 1))
    written = f"{count / unit[1]:.2f}" if unit[1] > 1 else str(count)
    assert size(written, unit[0]) == pytest.approx(count, rel=0.006, abs=0.01 * unit[1])


def test_the_fact_holds_where_what_and_the_last_peaks() -> None:
    events: list[Event] = [
        {"t": 0.0, "kind": "phase", "name": "train", "edge": "start"},
        {"t": 1.0, "kind": "memory", "step": 3, "values": {"host_uss": 5, "device_allocated_peak": 70}},
        {"t": 2.0, "kind": "memory", "step": 4, "phase": "train", "values": {"device_allocated_peak": 90}},
        {"t": 3.0, "kind": "oom", "phase": "backward", "values": {"device": "device 0", "requested_bytes": 30}},
    ]
    assert facts(events)["oom"] == {
        "phase": "backward",
        "device": "device 0",
        "requested_bytes": 30,
        "peaks": {"peak_host_memory": 5, "peak_allocated": 90},
    }
    assert "oom" not in facts(events[:-1])
