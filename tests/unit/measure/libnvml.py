"""Stands in for libnvidia-ml.so below the real nvidia-ml-py: one H200, as a driver of 570 answers it.

The functions have the names that the library exports, take what nvidia-ml-py hands over by ctypes, fill in what they
are to answer, and return NVML's codes. What is not here is missing from the library, as newer functions are from an
older driver's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pynvml

UUID = b"GPU-0a1b2c3d-0000-1111-2222-333344445555"
GIB = 2**30
NOT_SUPPORTED, INSUFFICIENT_SIZE = 3, 7

NUMBERS: Mapping[str, tuple[int, ...]] = {
    "nvmlDeviceGetCount_v2": (1,),
    "nvmlSystemGetCudaDriverVersion": (12080,),
    "nvmlDeviceGetMigMode": (0, 0),
    "nvmlDeviceGetEccMode": (1, 1),
    "nvmlDeviceGetPersistenceMode": (1,),
    "nvmlDeviceGetComputeMode": (0,),
    "nvmlDeviceGetPowerUsage": (350_500,),  # mW
    "nvmlDeviceGetEnforcedPowerLimit": (700_000,),
    "nvmlDeviceGetPowerManagementDefaultLimit": (700_000,),
    "nvmlDeviceGetTotalEnergyConsumption": (2**33 + 1_500,),  # mJ, in 64 bits
    "nvmlDeviceGetCurrentClocksEventReasons": (0x4,),
    "nvmlDeviceGetCurrPcieLinkGeneration": (5,),
    "nvmlDeviceGetCurrPcieLinkWidth": (16,),
    "nvmlDeviceGetMaxPcieLinkGeneration": (5,),
    "nvmlDeviceGetMaxPcieLinkWidth": (16,),
    "nvmlDeviceGetUtilizationRates": (97, 40),
    "nvmlDeviceGetMemoryInfo": (141 * GIB, 139 * GIB, 2 * GIB),  # total, free, used
}
"""What is written into the arguments behind the handle; into the fields of a structure where the argument is one."""

TEXTS: Mapping[str, bytes] = {
    "nvmlSystemGetDriverVersion": b"570.124.06",
    "nvmlDeviceGetName": b"NVIDIA H200",
    "nvmlDeviceGetUUID": UUID,
    "nvmlDeviceGetVbiosVersion": b"96.00.99.00.01",
}
BY_KIND: Mapping[str, Mapping[int, int]] = {
    "nvmlDeviceGetClockInfo": {1: 1980, 2: 3201},
    "nvmlDeviceGetMaxClockInfo": {1: 1980, 2: 3201},
    "nvmlDeviceGetTemperature": {0: 55},
}
LINKS = 18
PROCESSES = ((4711, 3 * GIB), (4712, 2**64 - 1))
"""Of the second the memory is not told."""


def library() -> Any:
    """The library's functions by their names."""
    numbers = {name: _numbers(values) for name, values in NUMBERS.items()}
    texts = {name: _text(value) for name, value in TEXTS.items()}
    by_kind = {name: _by_kind(values) for name, values in BY_KIND.items()}
    fixed = {"nvmlInitWithFlags": lambda flags: 0, "nvmlShutdown": lambda: 0}
    return SimpleNamespace(
        **numbers,
        **texts,
        **by_kind,
        **fixed,
        nvmlDeviceGetHandleByIndex_v2=lambda index, handle: 0,
        nvmlDeviceGetNvLinkState=_link,
        nvmlDeviceGetComputeRunningProcesses_v3=_processes,
    )


def _numbers(values: tuple[int, ...]) -> Callable[..., int]:
    def answer(*arguments: Any) -> int:
        told = [argument._obj for argument in arguments if hasattr(argument, "_obj")]
        if len(told) == 1 and isinstance(told[0], ctypes.Structure):
            for (name, *_), value in zip(told[0]._fields_, values, strict=True):
                setattr(told[0], name, value)
        else:
            for number, value in zip(told, values, strict=True):
                number.value = value
        return 0

    return answer


def _text(value: bytes) -> Callable[..., int]:
    def answer(*arguments: Any) -> int:
        next(argument for argument in arguments if isinstance(argument, ctypes.Array)).value = value
        return 0

    return answer


def _by_kind(values: Mapping[int, int]) -> Callable[..., int]:
    def answer(handle: Any, kind: Any, into: Any) -> int:
        into._obj.value = values[kind.value]
        return 0

    return answer


def _link(handle: Any, link: int, into: Any) -> int:
    if link >= LINKS:
        return NOT_SUPPORTED
    into._obj.value = 1
    return 0


def _processes(handle: Any, count: Any, into: Any) -> int:
    """Says first how many there are, then who: as nvml.h has it."""
    room, count._obj.value = count._obj.value, len(PROCESSES)
    if into is None or room < len(PROCESSES):
        return INSUFFICIENT_SIZE
    for place, (pid, size) in enumerate(PROCESSES):
        into[place] = pynvml.c_nvmlProcessInfo_v3_t(pid=pid, usedGpuMemory=size)
    return 0
