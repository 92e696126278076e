"""Peak matrix throughput of devices, by their vendors' datasheets.

Dense figures in FLOP/s: datasheets advertise the doubled ones of 2:4 sparsity, which training does not use. GeForce and
professional cards are listed with float32 accumulation, which is what torch asks for. A device that is not listed under
exactly the name torch reports has no peak here: one of a near relative would be wrong by up to several times. A dtype
whose figure no source could be opened for is left out for the same reason.
"""

from __future__ import annotations

from dataclasses import dataclass

BFLOAT16, FLOAT16, TF32, FLOAT32, FLOAT8 = "bfloat16", "float16", "tf32", "float32", "float8"


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A device as its datasheet describes it: `peaks` in TFLOP/s by the dtype of its matrix products, dense.

    `source` is the vendor's document; `read_in` are the public copies and tables that its figures were read in, each as
    owner/repository and path, or an address.
    """

    names: tuple[str, ...]
    peaks: dict[str, float]
    source: str
    read_in: tuple[str, ...]


def _peaks(
    *,
    half: float,
    tf32: float | None = None,
    float32: float | None = None,
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

_COMPOSER = "mosaicml/composer composer/callbacks/speed_monitor.py"
_LIGHTNING = "Lightning-AI/pytorch-lightning src/lightning/fabric/utilities/throughput.py"
_TENSORRT = "NVIDIA/TensorRT-LLM tensorrt_llm/auto_parallel/cluster_info.py"
_TITAN = "pytorch/torchtitan torchtitan/tools/utils.py"
_WATERLINE = "FlyingWHR/waterline core/gpu_specs.json"
_XFORMERS = "facebookresearch/xformers xformers/profiler/device_limits.py"
_GPUMAP = "lamonoai/gpumap nvidia/GPU.md"
_ANALYTIC = "tttyuntian/multimodal_llm_pretraining experiments/training_time_analytic.py"

DEVICES: tuple[Device, ...] = (
    Device(
        names=("NVIDIA B200",),
        peaks=_peaks(half=2250, float32=75, float8=4500),
        source="https://www.nvidia.com/en-us/data-center/hgx/ (HGX B200, of 8 devices, with sparsity)",
        read_in=(_TITAN, _WATERLINE),
    ),
    Device(
        names=("NVIDIA GH200 480GB", "NVIDIA GH200 120GB", "NVIDIA GH200 144G HBM3e"),
        peaks=_peaks(half=989.5, tf32=494.5, float32=67, float8=1979),
        source="https://nvdam.widen.net/s/rrgqqnpbz8/grace-datasheet-gh200-grace-hopper-superchip-3773000",
        read_in=("atineoSE/coding-model-seeks-gpu pipeline/pipeline/sources/gh200_specs.md",),
    ),
    Device(
        names=("NVIDIA H200",),
        peaks=_peaks(half=989.5, tf32=494.5, float32=67, float8=1979),
        source="https://www.nvidia.com/en-us/data-center/h200/ (H200 SXM)",
        read_in=(_COMPOSER, _WATERLINE),
    ),
    Device(
        names=("NVIDIA H200 NVL",),
        peaks=_peaks(half=835.5, float32=60, float8=1670.5),
        source="https://www.nvidia.com/en-us/data-center/h200/ (H200 NVL)",
        read_in=(_TENSORRT, _WATERLINE),
    ),
    Device(
        names=("NVIDIA H100 80GB HBM3",),
        peaks=_peaks(half=989.4, tf32=494.7, float32=66.9, float8=1978.9),
        source=f"{_HOPPER} (H100 SXM5)",
        read_in=(_LIGHTNING, "https://glennklockwood.com/garden/processors/h100"),
    ),
    Device(
        names=("NVIDIA H100 PCIe",),
        peaks=_peaks(half=756, tf32=378, float32=51.2, float8=1513),
        source=f"{_HOPPER} (H100 PCIe)",
        read_in=(_LIGHTNING, _TENSORRT),
    ),
    Device(
        names=("NVIDIA H100 NVL",),
        peaks=_peaks(half=835.5, float32=60, float8=1670.5),
        source="https://www.nvidia.com/en-us/data-center/h100/ (H100 NVL)",
        read_in=(_TITAN, _WATERLINE),
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
        read_in=(_COMPOSER, _TENSORRT),
    ),
    Device(
        names=("NVIDIA L40S",),
        peaks=_peaks(half=362.05, tf32=183, float32=91.6, float8=733),
        source="https://www.nvidia.com/en-us/data-center/l40s/",
        read_in=(_TENSORRT, "https://www.mullet.se/product.html?product_id=355414"),
    ),
    Device(
        names=("NVIDIA L4",),
        peaks=_peaks(half=121, tf32=60, float32=30.3, float8=242),
        source="https://www.nvidia.com/en-us/data-center/l4/",
        read_in=(_LIGHTNING, _TENSORRT),
    ),
    Device(
        names=("NVIDIA A40",),
        peaks=_peaks(half=149.7, tf32=74.8, float32=37.4),
        source="https://images.nvidia.com/content/Solutions/data-center/a40/nvidia-a40-datasheet.pdf",
        read_in=("astroC86/gpu-datasheet README.md", _LIGHTNING),
    ),
    Device(
        names=("NVIDIA A30",),
        peaks=_peaks(half=165, tf32=82, float32=10.3),
        source="https://www.nvidia.com/content/dam/en-zz/Solutions/data-center/products/a30-gpu/pdf/a30-datasheet.pdf",
        read_in=(_XFORMERS, _TENSORRT, _GPUMAP),
    ),
    Device(
        names=("NVIDIA A10",),
        peaks=_peaks(half=125, tf32=62.5, float32=31.2),
        source="https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a10/pdf/a10-datasheet.pdf",
        read_in=(_COMPOSER, _TENSORRT),
    ),
    Device(
        names=("NVIDIA A10G",),
        peaks=_peaks(half=70, tf32=35, float32=35),
        source="https://d1.awsstatic.com/product-marketing/ec2/NVIDIA_AWS_A10G_DataSheet_FINAL_02_17_2022.pdf",
        read_in=(_TENSORRT, _WATERLINE),
    ),
    Device(
        names=("Tesla T4", "NVIDIA T4"),
        peaks=_peaks(half=65, float32=8.1, bf16=False),
        source="https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/tesla-t4/"
        "t4-tensor-core-datasheet-951643.pdf",
        read_in=(_COMPOSER, _XFORMERS),
    ),
    Device(
        names=("Tesla V100-SXM2-16GB", "Tesla V100-SXM2-32GB"),
        peaks=_peaks(half=125, float32=15.7, bf16=False),
        source=f"{_VOLTA} (V100 SXM2)",
        read_in=(_COMPOSER, _LIGHTNING),
    ),
    Device(
        names=("Tesla V100-PCIE-16GB", "Tesla V100-PCIE-32GB"),
        peaks=_peaks(half=112, float32=14, bf16=False),
        source=f"{_VOLTA} (V100 PCIe)",
        read_in=(_COMPOSER, _LIGHTNING),
    ),
    Device(
        names=("Tesla V100S-PCIE-32GB",),
        peaks=_peaks(half=130, float32=16.4, bf16=False),
        source=f"{_VOLTA} (V100S PCIe)",
        read_in=(_COMPOSER, _LIGHTNING),
    ),
    Device(
        names=("NVIDIA GeForce RTX 3090",),
        peaks=_peaks(half=71, tf32=35.6, float32=35.6),
        source=_AMPERE,
        read_in=(_ANALYTIC, _LIGHTNING),
    ),
    Device(
        names=("NVIDIA RTX A6000",),
        peaks=_peaks(half=154.8, tf32=77.4, float32=38.7),
        source=_AMPERE,
        read_in=(_ANALYTIC, _LIGHTNING),
    ),
    Device(
        names=("NVIDIA GeForce RTX 4090",),
        peaks=_peaks(half=165.2, tf32=82.6, float32=82.6, float8=330.3),
        source=_ADA,
        read_in=(_WATERLINE, _LIGHTNING),
    ),
    Device(
        names=("NVIDIA RTX 6000 Ada Generation",),
        peaks=_peaks(half=364.2, float32=91.1, float8=728.5),
        source="https://www.nvidia.com/en-us/products/workstations/rtx-6000/ (1457 for float8 with sparsity; half is "
        "half of that, as on every Ada card without a GeForce name)",
        read_in=("atineoSE/coding-model-seeks-gpu pipeline/pipeline/sources/rtx6000ada_specs.md", _GPUMAP),
    ),
    Device(
        names=("NVIDIA GeForce RTX 5090",),
        peaks=_peaks(half=209.5, tf32=104.8, float32=104.8, float8=419),
        source="https://images.nvidia.com/aem-dam/Solutions/geforce/blackwell/"
        "nvidia-rtx-blackwell-gpu-architecture.pdf",
        read_in=(_WATERLINE, _GPUMAP),
    ),
    Device(
        names=("AMD Instinct MI300X", "AMD Instinct MI300X OAM"),
        peaks=_peaks(half=1307.4, float32=163.4, float8=2614.9),
        source="https://www.amd.com/en/products/accelerators/instinct/mi300/mi300x.html",
        read_in=(_WATERLINE, "alpharomercoma/MI300X-vs-H200 METHODOLOGY.md"),
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
