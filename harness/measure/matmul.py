"""What a device could do at most: the dtype its matrix products run in, and their peak. For the child only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.measure import ceiling, peaks


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """FLOP/s of one device at most, and where that figure is from; `missing` says why there is none."""

    device: str
    dtype: str | None
    flops_per_second: float | None = None
    source: str | None = None
    missing: str | None = None


def peak_of(trainer: Any, weight: Any) -> Peak:
    """The peak of the trainer's device for its products. `weight`: one of the model's, whose dtype they default to."""
    import torch

    device = torch.device(trainer.args.device)
    dtype = product_dtype(trainer.args, weight, device.type)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return find(str(properties.name), ceiling.cuda_key(properties), dtype)
    if device.type == "cpu":
        return find(ceiling.processor(), ceiling.cpu_key(torch.get_num_threads()), dtype)
    return Peak(device=device.type, dtype=dtype, missing=f"no peak is known for devices of type {device.type}")


def find(device: str, key: str, dtype: str | None) -> Peak:
    """The datasheet's peak of a device, else the ceiling that was measured on it (`key`), else none, and why."""
    if dtype is None:
        return Peak(device=device, dtype=None, missing="the dtype of its matrix products is not known")
    listed = peaks.peak(device, dtype)
    if listed is not None:
        found = peaks.listed(device)
        return Peak(device=device, dtype=dtype, flops_per_second=listed, source=f"datasheet: {found and found.source}")
    kept = ceiling.kept(key)
    measured = ceiling.flops_per_second(kept, dtype)
    if kept is not None and measured is not None:
        when = str(kept.get("measured_at"))[:10]
        source = f"measured: harness doctor --ceiling, {when}"
        return Peak(device=device, dtype=dtype, flops_per_second=measured, source=source)
    why = f"{device} is not in the table of devices for {dtype}, and no ceiling was measured on it"
    return Peak(device=device, dtype=dtype, missing=f"{why} (harness doctor --ceiling)")


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
