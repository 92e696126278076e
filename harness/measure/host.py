"""The machine below the trial, as Linux tells it: processor, frequency, memory, kernel, container and its limits.

Every function takes the root of the file system, so that tests bring one of their own. What a file does not tell is
left out; nothing here names the host or a user.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.measure.processors import usable

ROOT = Path("/")
_CPUS = "sys/devices/system/cpu"
_UNLIMITED_V1 = 2**60  # cgroup v1 writes "no limit" as a huge number of bytes


def cpu(root: Path = ROOT) -> dict[str, Any]:
    """Model, counts, and what decides the clock: governor, turbo, threads per core, highest frequency in MHz."""
    info = _cpuinfo(root)
    cores = {(one.get("physical id", "0"), one["core id"]) for one in info if "core id" in one}
    sockets = {one["physical id"] for one in info if "physical id" in one}
    found = {
        "model": _model(info),
        "count": os.cpu_count(),
        "usable": len(usable()),
        "cores": len(cores) or None,
        "sockets": len(sockets) or None,
        "virtual": "hypervisor" in info[0].get("flags", "").split() if info else None,
        "governor": _governor(root),
        "turbo": _turbo(root),
        "threads_per_core": _threads_per_core(root),
        "max_mhz": _number(root / _CPUS / "cpu0/cpufreq/cpuinfo_max_freq", 1000),
    }
    return _known(found)


def memory_bytes() -> int | None:
    """Memory of the machine, bytes."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return None


def usable_memory(root: Path = ROOT) -> int | None:
    """Memory that this process can have, bytes: the machine's, or the less that control groups leave it."""
    return min(filter(None, (memory_bytes(), limits(root).get("memory_bytes"))), default=None)


def system(root: Path = ROOT) -> dict[str, Any]:
    """Operating system and kernel, and how the kernel hands out large pages, which tensors live in."""
    return _known(
        {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "huge_pages": _chosen(_text(root / "sys/kernel/mm/transparent_hugepage/enabled")),
        }
    )


def container(root: Path = ROOT) -> str | None:
    """What marks this as a container, as far as it shows."""
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    first = _text(root / "proc/1/cgroup") or ""
    return next((name for name in ("docker", "kubepods", "lxc", "containerd") if name in first), None)


def limits(root: Path = ROOT) -> dict[str, Any]:
    """What control groups leave this process: `cpus` (a share counts: 1.5) and `memory_bytes`; empty without limits.

    The tightest of the groups that this process is in, from its own up to the topmost one that can be seen.
    """
    groups = {controller: list(_groups(root, controller)) for controller in ("", "cpu", "memory")}
    quotas = [_text(folder / "cpu.max") for folder in groups[""]]
    quotas += [f"{_text(one / 'cpu.cfs_quota_us')} {_text(one / 'cpu.cfs_period_us')}" for one in groups["cpu"]]
    sizes = [_number(folder / "memory.max") for folder in groups[""]]
    sizes += [_number(folder / "memory.limit_in_bytes") for folder in groups["memory"]]
    cpus = [share for quota in quotas if (share := _quota(quota)) is not None]
    memory = [size for size in sizes if size is not None and size < _UNLIMITED_V1]
    return _known({"cpus": min(cpus, default=None), "memory_bytes": min(memory, default=None)})


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's control groups, innermost first: of version 2 ("") or of a version 1 controller."""
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        named, _, path = rest.partition(":")
        if controller not in named.split(",") if controller else named:
            continue
        mount = root / "sys/fs/cgroup" / (controller and named)
        if controller and not mount.is_dir():
            mount = root / "sys/fs/cgroup" / controller
        # Inside a container the path may be the host's, and the mount shows nothing of it: then the mount is the group.
        inner = mount / path.strip("/")
        while inner != mount and mount in inner.parents and ".." not in inner.parts:
            if inner.is_dir():
                yield inner
            inner = inner.parent
        yield mount


def _quota(text: str | None) -> float | None:
    """`150000 100000` is 1.5 processors; `max 100000`, and -1 of version 1, is no limit."""
    parts = (text or "").split()
    try:
        quota, period = float(parts[0]), float(parts[1])
    except (ValueError, IndexError):
        return None
    return quota / period if quota > 0 and period > 0 else None


def _cpuinfo(root: Path) -> list[dict[str, str]]:
    """/proc/cpuinfo, one mapping per processor; empty where it cannot be read."""
    blocks = (_text(root / "proc/cpuinfo") or "").split("\n\n")
    parsed = [dict(_pair(line) for line in block.splitlines() if ":" in line) for block in blocks]
    return [one for one in parsed if one]


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _model(info: list[dict[str, str]]) -> str:
    named = next((one["model name"] for one in info if one.get("model name")), None)
    return named or platform.processor() or platform.machine()


def _governor(root: Path) -> str | None:
    """The frequency governor; several, joined, where processors differ."""
    found = {_text(path) for path in sorted((root / _CPUS).glob("cpu[0-9]*/cpufreq/scaling_governor"))}
    return ", ".join(sorted(name for name in found if name)) or None


def _turbo(root: Path) -> bool | None:
    """Whether the processor may clock above its base: Intel's driver says so in the negative."""
    off = _text(root / _CPUS / "intel_pstate/no_turbo")
    if off is not None:
        return off == "0"
    on = _text(root / _CPUS / "cpufreq/boost")
    return None if on is None else on == "1"


def _threads_per_core(root: Path) -> int | None:
    siblings = _text(root / _CPUS / "cpu0/topology/thread_siblings_list")
    if not siblings:
        return None
    count = 0
    for part in siblings.split(","):
        low, _, high = part.partition("-")
        if not low.isdigit() or (high and not high.isdigit()):
            return None
        count += int(high or low) - int(low) + 1
    return count


def _chosen(text: str | None) -> str | None:
    """The one in brackets: `always [madvise] never`."""
    found = re.search(r"\[(\w+)\]", text or "")
    return found.group(1) if found else None


def _number(path: Path, divisor: int = 1) -> int | None:
    text = _text(path)
    return int(text) // divisor if text and text.isdigit() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _known(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}
