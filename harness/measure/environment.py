"""The environment a trial ran in: packages, commits, Python, processor, device; no secrets, no names of hosts."""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from harness.records.fingerprint import of_value

# Variables that change what is measured and hold no secrets; every other one stays out of the record.
VARIABLES = (
    "ACCELERATE_MIXED_PRECISION",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "GOMP_SPINCOUNT",
    "HF_HUB_OFFLINE",
    "KMP_AFFINITY",
    "MALLOC_ARENA_MAX",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TOKENIZERS_PARALLELISM",
)
_GIT_SECONDS = 2.0


def capture() -> dict[str, Any]:
    """environment.json, with its own `hash`, which covers packages, commits, Python and device, and nothing that
    differs between two runs on like machines (host name, time, load).

    CUDA is looked at only where torch has initialised it already: a look would cost memory before the trial's start.
    """
    fixed = _fixed()
    device = _device()
    decides = {
        "packages": fixed["packages"],
        "editable": fixed["editable"],
        "python": fixed["python"],
        "machine": fixed["platform"]["machine"],
        "cpu": fixed["cpu"]["model"],
        "device": device,
    }
    return {
        "hash": of_value(decides),
        **fixed,
        "torch": _torch(),
        "device": device,
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def warm() -> None:
    """Gathers what stays the same for every trial of a process, so that workers forked from it find it ready."""
    _fixed()


@functools.cache
def _fixed() -> dict[str, Any]:
    packages, editable = _packages()
    return {
        "packages": packages,
        "editable": editable,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": {"system": platform.system(), "release": platform.release(), "machine": platform.machine()},
        "cpu": {"model": _cpu_model(), "count": os.cpu_count(), "usable": _usable_cpus()},
        "memory_bytes": _memory_bytes(),
        "container": _container(),
    }


def _packages() -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Versions of all installed distributions, and the git state of those installed from a folder, by name."""
    versions: dict[str, str] = {}
    editable: dict[str, dict[str, Any]] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if not name:
            continue
        key = re.sub(r"[-_.]+", "-", name).lower()
        versions.setdefault(key, distribution.version)
        folder = _editable_folder(distribution)
        if folder is not None:
            editable[key] = _git(folder)
    return dict(sorted(versions.items())), editable


def _editable_folder(distribution: metadata.Distribution) -> Path | None:
    """The folder of an editable install (PEP 610's direct_url.json)."""
    text = distribution.read_text("direct_url.json")
    if not text:
        return None
    try:
        direct = json.loads(text)
    except ValueError:
        return None
    if not direct.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlparse(direct.get("url", "")).path))


def _git(folder: Path) -> dict[str, Any]:
    """Commit and whether tracked files differ from it; empty where there is no git or no repository."""
    commit = _run_git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changes = _run_git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _run_git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _usable_cpus() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return None


def _container() -> str | None:
    """What marks this as a container, as far as it shows."""
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    return "kubernetes" if "KUBERNETES_SERVICE_HOST" in os.environ else None


def _torch() -> Mapping[str, Any] | None:
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return None
    return {
        "version": str(torch.__version__),
        "threads": int(torch.get_num_threads()),
        "cuda": torch.version.cuda,
        "cpu_capability": str(torch.backends.cpu.get_cpu_capability()),
    }


def _device() -> dict[str, Any] | None:
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        "name": str(properties.name),
        "memory_bytes": int(properties.total_memory),
        "capability": f"{properties.major}.{properties.minor}",
        "count": int(torch.cuda.device_count()),
        "driver": _driver(),
    }


def _driver() -> str | None:
    try:
        import pynvml

        pynvml.nvmlInit()
        version = pynvml.nvmlSystemGetDriverVersion()
    except Exception:  # no NVML: the driver's version stays unknown
        return None
    return version.decode() if isinstance(version, bytes) else str(version)
