"""The CUDA GPUs that a process of this machine may use, asked of NVML without CUDA and without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from harness.measure.division import cpu_build
from harness.measure.nvml import Gpu, NvmlError, open_nvml, visible
from harness.records.claims import Device

_NVIDIA = Path("/proc/driver/nvidia/gpus")


def gpus_here(environ: Mapping[str, str] = os.environ) -> tuple[Device, ...]:
    """Each with its memory, where it tells; none where NVML is not there, which comes with NVIDIA's driver."""
    try:
        found = visible(open_nvml(environ).gpus(), environ)
    except NvmlError:
        return ()
    return tuple(Device(name=gpu.name, memory_bytes=_memory(gpu)) for gpu in found)


def models_here(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The models of the NVIDIA devices that trials would train on, each once; none where they would on a CPU.

    Devices of a script are none. Where NVML is missing the driver tells: some containers carry devices without it.
    """
    if environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or cpu_build():
        return ()
    try:
        nvml = open_nvml(environ)
        models = [] if nvml.made_up else [gpu.name for gpu in visible(nvml.gpus(), environ)]
    except NvmlError:
        models = _told_by_driver()
    return tuple(dict.fromkeys(models))


def _told_by_driver() -> list[str]:
    found = [(one / "information").read_text("utf-8", "replace") for one in sorted(_NVIDIA.glob("*"))]
    return [line.partition(":")[2].strip() for text in found for line in text.splitlines() if line.startswith("Model")]


def _memory(gpu: Gpu) -> float | None:
    try:
        return gpu.read("capacity").get("memory_total")
    except NvmlError:
        return None
