"""The CUDA GPUs that a process of this machine may use, asked of NVML without CUDA and without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping

from harness.measure.nvml import Gpu, NvmlError, open_nvml, visible
from harness.records.claims import Device


def gpus_here(environ: Mapping[str, str] = os.environ) -> tuple[Device, ...]:
    """Each with its memory, where it tells; none where NVML is not there, which comes with NVIDIA's driver."""
    try:
        found = visible(open_nvml(environ).gpus(), environ)
    except NvmlError:
        return ()
    return tuple(Device(name=gpu.name, memory_bytes=_memory(gpu)) for gpu in found)


def _memory(gpu: Gpu) -> float | None:
    try:
        return gpu.read("capacity").get("memory_total")
    except NvmlError:
        return None
