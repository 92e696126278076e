"""What a device could do at most: the dtype its matrix products run in, and their peak. For the child only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.measure import ceiling, peaks
from harness.measure.gpu import gpu

_CAPPED = 0.98
"""Below this share of its default limit a device counts as capped; limits are set in whole watts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """FLOP/s of one device at most, and where that figure is from.

    `missing` says why there is none; `doubt` why the device may not reach it.
    """

    device: str
    dtype: str | None
    flops_per_second: float | None = None
    source: str | None = None
    missing: str | None = None
    doubt: str | None = None


def peak_of(trainer: Any, weight: Any) -> Peak:
    """The peak of the trainer's device for its products. `weight`: one of the model's, whose dtype they default to."""
    import torch

    device = torch.device(trainer.args.device)
    dtype = product_dtype(trainer.args, weight, device.type)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return on_cuda(properties, dtype, _nvml(str(getattr(properties, "uuid", ""))))
    if device.type == "cpu":
        return find(ceiling.processor(), ceiling.cpu_key(torch.get_num_threads()), dtype)
    return Peak(device=device.type, dtype=dtype, missing=f"no peak is known for devices of type {device.type}")


def on_cuda(properties: Any, dtype: str | None, nvml: Mapping[str, Any]) -> Peak:
    """The peak of a CUDA device by torch's `properties` and what NVML tells of it (`harness.measure.gpu.gpu`).

    A slice of a device (MIG) has no entry in a datasheet, and a power cap makes one hard to reach.
    """
    name = str(properties.name)
    sliced = bool(nvml.get("mig")) or " MIG " in f" {name} "
    found = find(name, ceiling.cuda_key(properties), dtype, datasheet=not sliced)
    limit, usual = nvml.get("power_limit_w"), nvml.get("default_power_limit_w")
    if found.flops_per_second and limit and usual and limit < _CAPPED * usual:
        doubt = f"the power of {name} is capped at {limit:.0f} W of {usual:.0f} W: it may not reach its peak"
        return dataclasses.replace(found, doubt=doubt)
    return found


def find(device: str, key: str, dtype: str | None, *, datasheet: bool = True) -> Peak:
    """The datasheet's peak of a device, else the ceiling that was measured on it (`key`), else none, and why."""
    if dtype is None:
        return Peak(device=device, dtype=None, missing="the dtype of its matrix products is not known")
    listed, peak = peaks.listed(device), peaks.peak(device, dtype)
    if datasheet and listed is not None and peak is not None:
        return Peak(device=device, dtype=dtype, flops_per_second=peak, source=f"datasheet: {listed.source}")
    kept = ceiling.kept(key)
    measured = ceiling.flops_per_second(kept, dtype)
    if kept is not None and measured is not None:
        source = f"measured: harness doctor --ceiling, {str(kept.get('measured_at'))[:10]}"
        return Peak(device=device, dtype=dtype, flops_per_second=measured, source=source)
    why = "is a part of a device" if not datasheet else f"has no entry for {dtype} in the table of devices"
    missing = f"{device} {why}, and no ceiling was measured on it (harness doctor --ceiling)"
    return Peak(device=device, dtype=dtype, missing=missing)


def product_dtype(arguments: Any, weight: Any, device: str) -> str | None:
    """The dtype that most matrix products run in: that of mixed precision, else that of the weights."""
    import torch

    if getattr(arguments, "bf16", False):
        return peaks.BFLOAT16
    if getattr(arguments, "fp16", False):
        return peaks.FLOAT16
    if weight.dtype == torch.float32 and device == "cuda":
        return peaks.TF32 if torch.backends.cuda.matmul.fp32_precision == "tf32" else peaks.FLOAT32
    named = {torch.float32: peaks.FLOAT32, torch.bfloat16: peaks.BFLOAT16, torch.float16: peaks.FLOAT16}
    return named.get(weight.dtype)


def _nvml(uuid: str) -> Mapping[str, Any]:
    try:
        import pynvml
    except ImportError:
        return {}
    return gpu(pynvml, uuid)[0]
