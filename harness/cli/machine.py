"""What this machine can do, as facts: packages, devices, disk, extras. `doctor` prints them."""

from __future__ import annotations

import errno
import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.measure.processors import usable
from harness.records.refusal import try_writing
from harness.records.units import format_size

REQUIRED = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "lm-eval", "duckdb", "pydantic")
_LEAST_FREE = 100 * 2**20
"""Bytes of disk below which a first run ends for want of room: the quickstart's results take 28 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Extra:
    """Optional packages, what they make possible, and whether they are here."""

    name: str
    packages: Mapping[str, str | None]
    enables: str

    @property
    def missing(self) -> list[str]:
        """Packages of the extra that are not installed."""
        return [package for package, found in self.packages.items() if found is None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Facts of this machine. Sizes in bytes; a version is None where the package is missing."""

    harness: str | None
    python: str
    platform: str
    cpus: int
    memory: int | None
    packages: Mapping[str, str | None]
    torch: Mapping[str, Any]  # {"devices": [...], "bf16": …} or {"error": …}
    nvml: Mapping[str, Any]  # {"driver": …, "devices": [...]} or {"absent": why}
    results: Path
    results_free: int | None
    results_writable: bool
    hub_cache: Path
    hub_offline: bool
    ceilings: tuple[Mapping[str, Any], ...] = ()  # what devices do at most, as measured; see harness.cli.ceiling
    extras: tuple[Extra, ...] = ()
    problems: tuple[str, ...] = field(default=())


def examine(
    results: Path, ask_torch: Callable[[], Mapping[str, Any]] | None = None, *, measure: bool = False
) -> Machine:
    """Looks at this machine; nothing is written. torch is asked in a process of its own, so that this one stays light.

    `ask_torch` stands in for that process. `measure` measures the devices' ceilings and keeps them in the user's cache;
    without it those that were kept are told.
    """
    packages = {name: _version(name) for name in REQUIRED}
    torch = (ask_torch or torch_devices)()
    free, writable = _room(results)
    problems = [
        f"{name} is not installed: reinstall with pip install trl-harness" for name in packages if not packages[name]
    ]
    if "error" in torch:
        problems.append(f"torch does not work: {torch['error']}")
    if not writable:
        problems.append(f"{results} cannot be written: choose another folder with --results")
    elif free is not None and free < _LEAST_FREE:
        problems.append(f"{results} has {format_size(free)} free: make room, or choose another folder with --results")
    if torch.get("devices"):
        problems += kernels_cannot_be_compiled()
    ceilings, why_not = _ceilings(torch, measure)
    problems += why_not
    return Machine(
        harness=_version("trl-harness"),
        python=f"{platform.python_version()} ({sys.executable})",
        platform=platform.platform(),
        cpus=len(usable()),
        memory=_memory(),
        packages=packages,
        torch=torch,
        nvml=nvml_devices(),
        results=results,
        results_free=free,
        results_writable=writable,
        hub_cache=Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")),
        ceilings=ceilings,
        hub_offline=os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"),
        extras=(
            _extra("gpu", ("bitsandbytes", "liger-kernel"), "8-bit optimizers (optim: adamw_8bit) and Liger kernels"),
            _extra("vllm", ("vllm",), "scoring with backend: vllm"),
        ),
        problems=tuple(problems),
    )


def _ceilings(torch: Mapping[str, Any], measure: bool) -> tuple[tuple[Mapping[str, Any], ...], list[str]]:
    """Ceilings, and the problems that kept them from being measured, or kept."""
    from harness.cli.ceiling import kept_ceilings, measured_ceilings, refusals

    if not measure:
        return kept_ceilings(torch), []
    if "error" in torch:
        return (), []
    try:
        measured = measured_ceilings(devices=len(torch.get("devices", [])))
    except RuntimeError as error:
        return (), [f"the ceiling could not be measured: {error}"]
    return measured, refusals(measured)


def kernels_cannot_be_compiled(
    environ: Mapping[str, str] = os.environ, include: Path = Path(sysconfig.get_paths()["include"])
) -> list[str]:
    """What Triton lacks here: it builds a C extension before its first kernel (its runtime/build.py).

    TRL's SFT and DPO run kernels of Triton in every step on a GPU. `include` is where Python's headers belong.
    """
    need = "TRL's SFT and DPO need Triton on a GPU, which needs"
    if not environ.get("CC") and not any(shutil.which(name, path=environ.get("PATH")) for name in ("gcc", "clang")):
        return [f"{need} a C compiler: install gcc, or name another by CC"]
    if not (include / "Python.h").is_file():
        return [f"{need} {include / 'Python.h'}: install Python's development headers (python3-dev)"]
    return []


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _extra(name: str, packages: tuple[str, ...], enables: str) -> Extra:
    return Extra(name=name, packages={package: _version(package) for package in packages}, enables=enables)


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _room(results: Path) -> tuple[int | None, bool]:
    """Free bytes where results go, and whether they can go there: asked of the nearest folder that exists."""
    folder = results.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return None, False
    try:
        try_writing(folder)
    except OSError as error:
        return free, error.errno in (errno.ENOSPC, errno.EDQUOT)  # full is another problem, told by the free bytes
    return free, True


_ASK_TORCH = """
import json, torch
devices = []
for index in range(torch.cuda.device_count()):
    found = torch.cuda.get_device_properties(index)
    devices.append({"index": index, "name": found.name, "memory": found.total_memory,
                    "capability": f"{found.major}.{found.minor}", "uuid": str(getattr(found, "uuid", "unknown"))})
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "threads": torch.get_num_threads(),
                  "devices": devices, "bf16": torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
                  "mps": torch.backends.mps.is_available()}))
"""


def torch_devices(timeout_s: float = 120.0, code: str = _ASK_TORCH) -> Mapping[str, Any]:
    """What torch sees, asked in a child process; `{"error": …}` where torch cannot be imported or hangs."""
    try:
        answer = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if answer.returncode != 0:
            last = answer.stderr.strip().splitlines()[-1:] or [f"exit code {answer.returncode}"]
            return {"error": last[0]}
        found: dict[str, Any] = json.loads(answer.stdout)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {timeout_s:.0f} s"}
    except (OSError, ValueError) as error:
        return {"error": str(error)}
    return found


def nvml_devices(nvml: Any = None) -> Mapping[str, Any]:
    """NVIDIA's own view of the devices; `{"absent": why}` without driver or library. `nvml` stands in for pynvml."""
    if nvml is None:
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return {"absent": "nvidia-ml-py is not installed"}
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return {"absent": str(error)}
    try:
        return {"driver": _text(nvml.nvmlSystemGetDriverVersion()), "devices": _each_device(nvml)}
    except nvml.NVMLError as error:
        return {"absent": str(error)}
    finally:
        nvml.nvmlShutdown()


def _each_device(nvml: Any) -> list[dict[str, Any]]:
    """Those that this process may ask; NVML counts the machine's others too.

    Raises:
        NVMLError: it may ask none.
    """
    devices, failed = [], None
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            uuid, name = _text(nvml.nvmlDeviceGetUUID(handle)), _text(nvml.nvmlDeviceGetName(handle))
        except nvml.NVMLError as error:
            failed = error
            continue
        devices.append({"uuid": uuid, "name": name, "memory": memory.total, "used": memory.used})
    if failed is not None and not devices:
        raise failed
    return devices


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
