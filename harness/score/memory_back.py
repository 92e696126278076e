"""Waiting until the memory of a finished worker, or of the engine before, is back on its device.

The driver frees a process's memory some time after the process has ended. An engine that starts within that time finds
too little free and refuses, or finds more at the end of its own measuring than at the beginning and stops there (vLLM
0.32, `Worker.determine_available_memory`). So the parent asks NVML, which makes no CUDA context. What is not back
in time is said, and scoring goes on with what is free.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from harness.measure.nvml import Gpu, Nvml, NvmlError, open_nvml, visible
from harness.records.units import format_duration, format_size

PATIENCE_S = 30.0
POLL_S = 0.25
TOLERANCE = 256 * 2**20
"""Bytes above what was in use before that still count as back: less than an idle CUDA context takes, more than the
driver's own use moves."""

ENGINES_DEFAULT = 0.92
"""Share of a device's memory that vLLM 0.32 takes where nobody says (`gpu_memory_utilization`); lm-eval leaves it."""

CONTEXT = 2**30
"""Bytes left aside for the engine's own CUDA context, which is there before the engine looks at what is free."""

_LEAST_SHARE = 0.05
_MOST = 3  # processes that are named
NOTE = "gpu memory: "
"""How every note begins that tells of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Back:
    """How waiting ended. `notes` tell what a reader of the scores should know; `free` are the shares of the devices'
    memory, in their order, that an engine may take."""

    notes: tuple[str, ...] = ()
    free: tuple[float, ...] = ()

    def share(self, devices: int = 1) -> float | None:
        """What an engine on so many devices may take of each; None where its default fits, or nobody knows."""
        known = self.free[:devices]
        if not known or min(known) >= ENGINES_DEFAULT:
            return None
        return max(_LEAST_SHARE, math.floor(min(known) * 100) / 100)


@dataclass(slots=True)
class _Before:
    """Bytes in use on a device, the least that was ever seen, and the processes that were on it."""

    used: float
    processes: Collection[int] = ()


@dataclass(kw_only=True, slots=True)
class Memory:
    """What was in use on the devices before anything of ours ran there; looked at when it is made (`Memory.look`).

    `family` gives the process ids of ours, `exists` tells whether a number is a process at all: NVML may go by the
    numbers of a host that nobody in a container knows.
    """

    nvml: Nvml | None = None
    patience_s: float = PATIENCE_S
    poll_s: float = POLL_S
    family: Callable[[], Collection[int]] = field(default=lambda: _family())
    exists: Callable[[int], bool] = field(default=lambda pid: _exists(pid))
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _before: dict[str, _Before] = field(default_factory=dict, init=False)

    @classmethod
    def look(cls, environ: Mapping[str, str] = os.environ) -> Memory:
        """Of this machine's devices, as they are now; of none where NVML does not answer."""
        try:
            memory = cls(nvml=open_nvml(environ))
        except NvmlError:
            return cls()
        memory.remember()
        return memory

    def remember(self) -> None:
        """Takes what is in use now for what was before."""
        for gpu in self._gpus():
            try:
                self._before[gpu.uuid] = _Before(gpu.read("memory")["memory_used"], tuple(_listed(gpu)))
            except NvmlError:
                continue  # said when it is waited for

    def back(
        self, environ: Mapping[str, str], tell: Callable[[str], None], check: Callable[[], None] = lambda: None
    ) -> Back:
        """Waits until the devices that `environ` shows are as they were before, at most for `patience_s`.

        `tell` hears of it when that takes time; `check` is called at every look, and what it raises ends the waiting.
        Returns at once, and says nothing, where there is no device.
        """
        gpus = visible(self._gpus(), environ)
        notes: dict[str, str] = {}
        waiting, looks = list(gpus), 0
        deadline = self.clock() + self.patience_s
        while True:
            check()
            waiting = [gpu for gpu in waiting if not self._is_back(gpu, notes)]
            if not waiting:
                break
            if self.clock() >= deadline:
                notes |= {gpu.uuid: self._held(gpu) for gpu in waiting}
                break
            looks += 1
            if looks == 2:
                tell(f"waiting for the memory of {' and '.join(gpu.name for gpu in waiting)} to come back")
            self.sleep(self.poll_s)
        return Back(notes=tuple(NOTE + notes[gpu.uuid] for gpu in gpus if gpu.uuid in notes), free=_free(gpus))

    def _gpus(self) -> Sequence[Gpu]:
        try:
            return self.nvml.gpus() if self.nvml is not None else ()
        except NvmlError:
            return ()

    def _is_back(self, gpu: Gpu, notes: dict[str, str]) -> bool:
        """Whether there is nothing (more) to wait for on this device; what is to be said of that is in `notes` then."""
        try:
            used = gpu.read("memory")["memory_used"]
        except NvmlError as error:
            notes[gpu.uuid] = f"NVML does not tell what is in use on {gpu.name} ({error}), so nothing was waited for"
            return True
        before = self._before.setdefault(gpu.uuid, _Before(used))
        before.used = min(before.used, used)
        listed = _listed(gpu)
        if set(listed) & set(self.family()):
            return False
        if used <= before.used + TOLERANCE:
            return True
        if not listed or not all(pid in before.processes or self.exists(pid) for pid in listed):
            return False  # it is being freed, or NVML names processes by numbers that mean nothing here
        notes[gpu.uuid] = f"{format_size(int(used))} of {gpu.name} are in use by others ({_named(listed)})"
        return True

    def _held(self, gpu: Gpu) -> str:
        now, before = _used(gpu), self._before[gpu.uuid].used
        took = "nobody knows how much" if now is None else format_size(int(now))
        listed = _listed(gpu)
        by = f", held by {_named(listed)}" if listed else ", and NVML names no process that holds it"
        return (
            f"of {gpu.name} {took} were in use {format_duration(self.patience_s)} after what ran there before had ended"
            f" ({format_size(int(before))} before it began){by}; scoring went on with what was free"
        )


def _free(gpus: Sequence[Gpu]) -> tuple[float, ...]:
    """Of each device the share that is free, less what a CUDA context takes; none where one of them does not tell."""
    found = []
    for gpu in gpus:
        try:
            total, used = gpu.read("capacity")["memory_total"], gpu.read("memory")["memory_used"]
        except NvmlError:
            return ()
        found.append((total - used - CONTEXT) / total if total > 0 else 0.0)
    return tuple(found)


def _used(gpu: Gpu) -> float | None:
    try:
        return gpu.read("memory")["memory_used"]
    except NvmlError:
        return None


def _listed(gpu: Gpu) -> Mapping[int, int | None]:
    try:
        return gpu.processes()
    except NvmlError:
        return {}


def _named(listed: Mapping[int, int | None]) -> str:
    """`process 71, python, 12 GiB; process 72`: those that hold most first."""
    told = []
    for pid, size in sorted(listed.items(), key=lambda entry: -(entry[1] or 0)):
        told.append(
            ", ".join(part for part in (f"process {pid}", _name(pid), format_size(size) if size else "") if part)
        )
    return "; ".join(told[:_MOST]) + (f"; and {len(told) - _MOST} more" if len(told) > _MOST else "")


def _name(pid: int) -> str:
    import psutil  # not at the top: only who finds a device has processes to name

    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return ""


def _family() -> set[int]:
    """This process and all that it started."""
    import psutil

    own = psutil.Process()
    return {own.pid, *(child.pid for child in own.children(recursive=True))}


def _exists(pid: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(pid))
