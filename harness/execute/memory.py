"""Host memory: how much a worker uses, and whether the kernel killed it for that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.measure.memory import swapped

PROC = Path("/proc")


def unique_memory(pid: int, proc: Path = PROC) -> int | None:
    """Bytes that only the worker and what it started hold (unique set size, and what of it lies in swap); None when it
    has ended.

    Not the resident set: a forked worker shares hundreds of MiB of imported libraries with its nursery.
    """
    import psutil  # not at the top: only a run with a memory limit needs it

    try:
        worker = psutil.Process(pid)
        return sum(
            int(process.memory_full_info().uss) + swapped(proc / str(process.pid))
            for process in (worker, *worker.children(recursive=True))
        )
    except psutil.Error:
        return None


@dataclass(frozen=True, slots=True)
class OomKills:
    """How often the kernel's out-of-memory killer has struck: in this control group, else on this machine.

    cgroup v2 has `oom_kill N` in memory.events, v1 in memory/…/memory.oom_control, the machine in /proc/vmstat.
    """

    groups: Path = Path("/sys/fs/cgroup")
    proc: Path = PROC

    def count(self) -> int | None:
        """Kills so far; None where no counter can be read."""
        for path in self._counters():
            found = _field(path, "oom_kill")
            if found is not None:
                return found
        return None

    def _counters(self) -> list[Path]:
        try:
            lines = (self.proc / "self/cgroup").read_text(encoding="utf-8").splitlines()
        except OSError:
            lines = []
        found: list[Path] = []
        for line in lines:
            _, controllers, path = [*line.split(":", 2), "", ""][:3]
            inside = path.lstrip("/")
            if not controllers:
                found += [self.groups / inside / "memory.events", self.groups / "memory.events"]
            elif "memory" in controllers.split(","):
                # Inside a container the group's own path is often not mounted; its root then is the group.
                found += [self.groups / "memory" / inside / "memory.oom_control"]
                found += [self.groups / "memory" / "memory.oom_control"]
        return [*found, self.proc / "vmstat"]


def _field(path: Path, name: str) -> int | None:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return None
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return None
