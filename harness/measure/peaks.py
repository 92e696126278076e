"""Peak matrix throughput of devices, by their vendors' datasheets.

Dense figures in FLOP/s: datasheets advertise the doubled ones of 2:4 sparsity, which training does not use. GeForce and
professional cards are listed with float32 accumulation, which is what torch asks for. A device that is not listed under
exactly the name torch reports has no peak here: one of a near relative would be wrong by up to several times.
"""

from __future__ import annotations

from dataclasses import dataclass

BFLOAT16, FLOAT16, TF32, FLOAT32, FLOAT8 = "bfloat16", "float16", "tf32", "float32", "float8"


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A device as its datasheet describes it: `peaks` in TFLOP/s by the dtype of its matrix products, dense."""

    names: tuple[str, ...]
    peaks: dict[str, float]
    source: str


def _peaks(
    *,
    half: float | None = None,
    tf32: float | None = None,
    float32: float,
    float8: float | None = None,
    bf16: bool = True,
) -> dict[str, float]:
    """`half` is the figure of bfloat16 (where the device has it) and of float16: the same on every device listed."""
    found = {BFLOAT16: half if bf16 else None, FLOAT16: half, TF32: tf32, FLOAT32: float32, FLOAT8: float8}
    return {name: value for name, value in found.items() if value is not None}


_HOPPER = "https://resources.nvidia.com/en-us-tensor-core/gtc22-whitepaper-hopper"
_AMPERE = "https://www.nvidia.com/content/PDF/nvidia-ampere-ga-102-gpu-architecture-whitepaper-v2.1.pdf"
_ADA = "https://images.nvidia.com/aem-dam/Solutions/Data-Center/l4/nvidia-ada-gpu-architecture-whitepaper-v2.1.pdf"
_VOLTA = "https://images.nvidia.com/content/technologies/volta/pdf/volta-v100-datasheet-update-us-1165301-r5.pdf"

DEVICES: tuple[Device, ...] = (
    Device(
        names=("NVIDIA B200",),
        peaks=_peaks(half=2250, tf32=1125, float32=75, float8=4500),
        source="https://www.nvidia.com/en-us/data-center/hgx/ (HGX B200, of 8 devices, with sparsity)",
    ),
    Device(
        names=("NVIDIA GH200 480GB", "NVIDIA GH200 120GB", "NVIDIA GH200 144G HBM3e"),
        peaks=_peaks(half=989.5, tf32=494.5, float32=67, float8=1979),
        source="https://resources.nvidia.com/en-us-grace-cpu/grace-hopper-superchip",
    ),
    Device(
        names=("NVIDIA H200",),
        peaks=_peaks(half=989.5, tf32=494.5, float32=67, float8=1979),
        source="https://www.nvidia.com/en-us/data-center/h200/ (H200 SXM)",
    ),
    Device(
        names=("NVIDIA H200 NVL",),
        peaks=_peaks(half=835.5, tf32=417.5, float32=60, float8=1670.5),
        source="https://www.nvidia.com/en-us/data-center/h200/ (H200 NVL)",
    ),
    Device(
        names=("NVIDIA H100 80GB HBM3",),
        peaks=_peaks(half=989.4, tf32=494.7, float32=66.9, float8=1978.9),
        source=f"{_HOPPER} (H100 SXM5)",
    ),
    Device(
        names=("NVIDIA H100 PCIe",),
        peaks=_peaks(half=756, tf32=378, float32=51.2, float8=1513),
        source=f"{_HOPPER} (H100 PCIe)",
    ),
    Device(
        names=("NVIDIA H100 NVL",),
        peaks=_peaks(half=835.5, tf32=417.5, float32=60, float8=1670.5),
        source="https://www.nvidia.com/en-us/data-center/h100/ (H100 NVL)",
    ),
    Device(
        names=(
            "NVIDIA A100-SXM4-40GB",
            "NVIDIA A100-SXM4-80GB",
            "NVIDIA A100-PCIE-40GB",
            "NVIDIA A100 80GB PCIe",
            "NVIDIA A100-PCIE-80GB",
        ),
        peaks=_peaks(half=312, tf32=156, float32=19.5),
        source="https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/"
        "nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf",
    ),
    Device(
        names=("NVIDIA L40S",),
        peaks=_peaks(half=362.05, tf32=183, float32=91.6, float8=733),
        source="https://www.nvidia.com/en-us/data-center/l40s/",
    ),
    Device(
        names=("NVIDIA L4",),
        peaks=_peaks(half=121, tf32=60, float32=30.3, float8=242.5),
        source="https://www.nvidia.com/en-us/data-center/l4/",
    ),
    Device(
        names=("NVIDIA A40",),
        peaks=_peaks(half=149.7, tf32=74.8, float32=37.4),
        source="https://images.nvidia.com/content/Solutions/data-center/a40/nvidia-a40-datasheet.pdf",
    ),
    Device(
        names=("NVIDIA A30",),
        peaks=_peaks(half=165, tf32=82, float32=10.3),
        source="https://www.nvidia.com/en-us/data-center/products/a30-gpu/",
    ),
    Device(
        names=("NVIDIA A10",),
        peaks=_peaks(half=125, tf32=62.5, float32=31.2),
        source="https://www.nvidia.com/en-us/data-center/products/a10-gpu/",
    ),
    Device(
        names=("NVIDIA A10G",),
        peaks=_peaks(half=70, tf32=35, float32=35),
        source="https://d1.awsstatic.com/product-marketing/ec2/NVIDIA_AWS_A10G_DataSheet_FINAL_02_17_2022.pdf",
    ),
    Device(
        names=("Tesla T4", "NVIDIA T4"),
        peaks=_peaks(half=65, float32=8.1, bf16=False),
        source="https://www.nvidia.com/en-us/data-center/tesla-t4/",
    ),
    Device(
        names=("Tesla V100-SXM2-16GB", "Tesla V100-SXM2-32GB"),
        peaks=_peaks(half=125, float32=15.7, bf16=False),
        source=f"{_VOLTA} (V100 SXM2)",
    ),
    Device(
        names=("Tesla V100-PCIE-16GB", "Tesla V100-PCIE-32GB"),
        peaks=_peaks(half=112, float32=14, bf16=False),
        source=f"{_VOLTA} (V100 PCIe)",
    ),
    Device(
        names=("Tesla V100S-PCIE-32GB",),
        peaks=_peaks(half=130, float32=16.4, bf16=False),
        source=f"{_VOLTA} (V100S PCIe)",
    ),
    Device(
        names=("NVIDIA GeForce RTX 3090",),
        peaks=_peaks(half=71, tf32=35.6, float32=35.6),
        source=_AMPERE,
    ),
    Device(
        names=("NVIDIA RTX A6000",),
        peaks=_peaks(half=154.8, tf32=77.4, float32=38.7),
        source=_AMPERE,
    ),
    Device(
        names=("NVIDIA GeForce RTX 4090",),
        peaks=_peaks(half=165.2, tf32=82.6, float32=82.6, float8=330.3),
        source=_ADA,
    ),
    Device(
        names=("NVIDIA RTX 6000 Ada Generation",),
        peaks=_peaks(half=364.2, tf32=182.1, float32=91.1, float8=728.5),
        source=_ADA,
    ),
    Device(
        names=("NVIDIA GeForce RTX 5090",),
        peaks=_peaks(half=209.5, tf32=104.8, float32=104.8, float8=419),
        source="https://images.nvidia.com/aem-dam/Solutions/geforce/blackwell/"
        "nvidia-rtx-blackwell-gpu-architecture.pdf",
    ),
    Device(
        names=("AMD Instinct MI300X", "AMD Instinct MI300X OAM"),
        peaks=_peaks(half=1307.4, tf32=653.7, float32=163.4, float8=2614.9),
        source="https://www.amd.com/en/products/accelerators/instinct/mi300/mi300x.html",
    ),
)


def normalised(name: str) -> str:
    """A device's name as it is compared: one case, single spaces, without the makers' names drivers put before it."""
    words = name.casefold().split()
    while words and words[0] in ("nvidia", "tesla", "amd"):
        words = words[1:]
    return " ".join(words)


_BY_NAME = {normalised(name): device for device in DEVICES for name in device.names}


def listed(name: str) -> Device | None:
    """The device of exactly that name; None for any other, MIG slices and laptop variants among them."""
    return _BY_NAME.get(normalised(name))


def peak(name: str, dtype: str) -> float | None:
    """Dense peak in FLOP/s of the device torch names `name`, for matrix products in `dtype`; None where unknown."""
    device = listed(name)
    tera = device.peaks.get(dtype) if device else None
    return tera * 1e12 if tera is not None else None
