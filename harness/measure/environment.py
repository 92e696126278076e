"""The environment a trial ran in: packages, commits, Python, machine, device; no secrets, no hosts' or users' names."""

from __future__ import annotations

import functools
import importlib
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from harness.measure import host
from harness.measure.gpu import gpu
from harness.measure.nvml import identity
from harness.measure.packages import installed
from harness.records.fingerprint import of_value
from harness.records.secrets import plain

# Variables that change what is measured and hold no secrets; every other one stays out of the record.
VARIABLES = (
    "ACCELERATE_CPU_AFFINITY",
    "ACCELERATE_DYNAMO_BACKEND",
    "ACCELERATE_DYNAMO_MODE",
    "ACCELERATE_DYNAMO_USE_DYNAMIC",
    "ACCELERATE_DYNAMO_USE_FULLGRAPH",
    "ACCELERATE_DYNAMO_USE_REGIONAL_COMPILATION",
    "ACCELERATE_MIXED_PRECISION",
    "ACCELERATE_USE_DEEPSPEED",
    "ACCELERATE_USE_FSDP",
    "ATEN_CPU_CAPABILITY",
    "CUBLASLT_WORKSPACE_SIZE",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_MODULE_LOADING",
    "CUDA_VISIBLE_DEVICES",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "FLASH_ATTENTION_DETERMINISTIC",
    "GLIBC_TUNABLES",
    "GOMP_CPU_AFFINITY",
    "GOMP_SPINCOUNT",
    "HF_HUB_OFFLINE",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
    "LD_PRELOAD",
    "MALLOC_ARENA_MAX",
    "MALLOC_CONF",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "NCCL_ALGO",
    "NCCL_IB_DISABLE",
    "NCCL_P2P_DISABLE",
    "NCCL_P2P_LEVEL",
    "NCCL_PROTO",
    "NCCL_SHM_DISABLE",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_DYNAMIC",
    "OMP_NUM_THREADS",
    "OMP_PLACES",
    "OMP_PROC_BIND",
    "OMP_SCHEDULE",
    "OMP_THREAD_LIMIT",
    "OMP_WAIT_POLICY",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTHONMALLOC",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_NO_CUDA_MEMORY_CACHING",
    "PYTORCH_NVML_BASED_CUDA_CHECK",
    "TOKENIZERS_PARALLELISM",
    "TORCHDYNAMO_DISABLE",
    "TORCHINDUCTOR_FREEZING",
    "TORCHINDUCTOR_MAX_AUTOTUNE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_BLAS_PREFER_CUBLASLT",
    "TORCH_COMPILE_DISABLE",
    "TORCH_CUDNN_SDPA_AVOID_RECOMPILE",
    "TORCH_CUDNN_SDPA_DEPRIORITIZED",
    "USE_HUB_KERNELS",
)

DECIDES = {
    "packages": None,
    "editable": None,
    "origins": None,
    "environment": ("spec_hash",),
    "python": None,
    "implementation": None,
    "platform": ("machine",),
    "cpu": ("model", "usable", "governor", "turbo"),
    "limits": None,
    "device": ("name", "memory_bytes", "capability", "count", "driver", "power_limit_w", "mig", "ecc"),
}
"""What the hash covers: parts, and of some only these figures. Two like machines have one hash; what may differ between
two moments of one machine (PCIe links that rest, the kernel's settings, threads) is recorded beside it."""

_UUID = re.compile(r"\b(GPU|MIG)-[0-9A-Fa-f-]{8,}", re.IGNORECASE)

_FOLDERS = re.compile(r"(?<![\w.])[.~]{0,2}/(?:[^\s:,;=/]+/)*")


def capture(library: Any = None, *, environment: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """environment.json, with its own `hash` of what `DECIDES`, and `not_read`: what could not be had, and why.

    CUDA is looked at only where torch has initialised it already: a look would cost memory before the trial's start.
    `environment` is what is told of one that was built for its trials: name, declaration, lock hash; without one the
    record has no such part. `library` stands in for nvidia-ml-py.
    """
    unread: dict[str, str] = {}
    found: dict[str, Any] = {
        **(fixed := _fixed()),
        "limits": _read("limits", host.limits, unread),
        "torch": _read("torch", _torch, unread),
        "device": _read("device", lambda: _device(library, unread), unread),
        "variables": {name: _anonymous(name, os.environ[name]) for name in VARIABLES if name in os.environ},
    }
    if silent := [name for name, state in fixed["editable"].items() if "commit" not in state]:
        unread["editable"] = f"git tells no commit of the folders of {', '.join(silent)}: changes there do not show"
    if environment is not None:
        found = {"environment": dict(environment), **found}
    if unread:
        found["not_read"] = unread
    cleaned: dict[str, Any] = plain(found, by_name=False)
    return {"hash": of_value(deciding(cleaned)), **cleaned}


def warm() -> None:
    """Gathers what stays the same for every trial of a process, so that workers forked from it find it ready."""
    _fixed()


def deciding(found: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of an environment that its hash is made of; one that nobody built is no part, and never was."""
    parts = [part for part in DECIDES if part != "environment" or part in found]
    return {part: _only(found.get(part), DECIDES[part]) for part in parts}


def _only(part: Any, names: tuple[str, ...] | None) -> Any:
    if names is None or not isinstance(part, Mapping):
        return part
    return {name: part.get(name) for name in names}


@functools.cache
def _fixed() -> dict[str, Any]:
    versions, editable, origins = installed()
    return {
        "harness": {"version": versions.get("trl-harness"), **editable.get("trl-harness", {})},
        "packages": versions,
        "editable": editable,
        "origins": origins,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": host.system(),
        "cpu": host.cpu(),
        "memory_bytes": host.memory_bytes(),
        "container": host.container(),
    }


def _read(name: str, reader: Callable[[], Any], unread: dict[str, str]) -> Any:
    """A part of the record, or None and why: nothing of it may end a trial."""
    try:
        return reader()
    except Exception as error:
        unread[name] = f"{type(error).__name__}: {error}"
        return None


def _torch() -> Mapping[str, Any] | None:
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return None
    found = {
        "version": str(torch.__version__),
        "threads": int(torch.get_num_threads()),
        "interop_threads": int(torch.get_num_interop_threads()),
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "cpu_capability": str(torch.backends.cpu.get_cpu_capability()),
        "mkl": bool(torch.backends.mkl.is_available()),
        "onednn": bool(torch.backends.mkldnn.is_available()),
    }
    if torch.version.cuda and torch.cuda.is_initialized():
        found["cudnn"] = torch.backends.cudnn.version()
        found["nccl"] = _nccl(torch)
    return {name: value for name, value in found.items() if value is not None}


def _nccl(torch: Any) -> str | None:
    try:
        return ".".join(str(part) for part in torch.cuda.nccl.version())
    except Exception:  # a build without NCCL
        return None


def _device(library: Any, unread: dict[str, str]) -> dict[str, Any] | None:
    """The device in use. `id` is a hash of its UUID: it tells two devices apart and gives neither away."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    uuid = str(getattr(properties, "uuid", ""))
    found = {
        "name": str(properties.name),
        "memory_bytes": int(properties.total_memory),
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": int(properties.multi_processor_count),
        "count": int(torch.cuda.device_count()),
        **({"id": identity(uuid)} if uuid else {}),
    }
    told, why = _nvml(library, uuid)
    if why is not None:
        unread["nvml"] = why
    return {**found, **told}


def _nvml(library: Any, uuid: str) -> tuple[dict[str, Any], str | None]:
    try:
        return gpu(library or importlib.import_module("pynvml"), uuid)
    except ImportError as error:
        return {}, str(error)


def _anonymous(name: str, value: str) -> str:
    """A variable's value, devices in it by a hash of their UUID, files by their names: folders tell of users."""
    if name == "LD_PRELOAD":
        return ":".join(PurePath(one).name for one in re.split(r"[\s:]+", value) if one)
    value = _FOLDERS.sub("", value)
    return _UUID.sub(lambda found: f"{found.group(1)}#{identity(found.group())}", value)
