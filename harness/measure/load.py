"""Whether others took the processor's cores during the measured window: read at its two edges, and at no step between.

Others are told by what the cores did less what the worker and its own processes did. That alone says little on a
machine with cores to spare, so it is set beside how long the worker's threads were ready to run and did not (the
kernel's run delay).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.measure.host import ROOT, limits
from harness.measure.probe import Probe
from harness.measure.processors import usable
from harness.measure.recorder import Recorder
from harness.records.events import Event

_PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Seconds since the machine's start: of the usable cores, of the worker with all it started, of its threads."""

    at: float
    cores: int
    busy: float
    idle: float
    stolen: float  # by the hypervisor, for other machines
    own: float
    waits: dict[str, float] | None  # ready and not running, by thread; None where the kernel does not tell

    def later(self, since: Reading, until: Reading) -> Reading:
        """This reading as if what went on from `since` to `until` had been before it."""
        waits, before, after = self.waits, since.waits, until.waits
        if waits is not None and before is not None and after is not None:
            passed = {thread: wait - before.get(thread, 0.0) for thread, wait in after.items()}
            waits = {thread: waits.get(thread, 0.0) + passed.get(thread, 0.0) for thread in {**waits, **passed}}
        return replace(
            self,
            at=self.at + until.at - since.at,
            busy=self.busy + until.busy - since.busy,
            idle=self.idle + until.idle - since.idle,
            stolen=self.stolen + until.stolen - since.stolen,
            own=self.own + until.own - since.own,
            waits=waits,
        )


class HostLoad(Probe):
    """Records one `host` event, of the time from the last step of the warm-up to the end of training.

    Saving within training is left out: the kernel writes for it, which would pass for others that took the cores.
    """

    def __init__(self, recorder: Recorder, proc: Path = _PROC, root: Path = ROOT) -> None:
        super().__init__(recorder)
        self._proc, self._root = proc, root
        self._begin: Reading | None = None
        self._pause: Reading | None = None
        self._helpers: tuple[int, ...] | None = None

    def train_begin(self) -> None:
        self._helpers = None
        self._begin = self._read(tuple(family(self._proc)))

    def step_end(self, event: Event) -> None:
        if event["measured"]:
            return
        if self._helpers is None:  # who loads data has been started by now
            self._helpers = tuple(family(self._proc))
        self._begin = self._read(self._helpers)

    def phase_begin(self, name: str) -> None:
        if name == "save" and self._begin is not None:
            self._pause = self._read(self._helpers or ())

    def phase_end(self, name: str) -> None:
        begin, since = self._begin, self._pause
        if name != "save" or begin is None or since is None:
            return
        self._pause, until = None, self._read(self._helpers or ())
        self._begin = begin if until is None else begin.later(since, until)

    def train_end(self) -> None:
        begin, end = self._begin, self._read(tuple(family(self._proc)))
        self._begin = None
        if begin is not None and end is not None and end.at > begin.at:
            self.recorder.add("host", values=between(begin, end, self._root))

    def _read(self, helpers: Iterable[int]) -> Reading | None:
        return reading_or_none(self._proc, helpers)


def between(begin: Reading, end: Reading, root: Path = ROOT) -> dict[str, Any]:
    """The values of a `host` event: what happened from one reading to a later one."""
    values: dict[str, Any] = {
        "seconds": round(end.at - begin.at, 3),
        "cores": end.cores,
        "busy": round(end.busy - begin.busy, 3),
        "idle": round(end.idle - begin.idle, 3),
        "stolen": round(end.stolen - begin.stolen, 3),
        "own": round(end.own - begin.own, 3),
    }
    if begin.waits is not None and end.waits is not None:
        waited = sum(max(0.0, wait - begin.waits.get(thread, 0.0)) for thread, wait in end.waits.items())
        values["waited"] = round(waited, 3)
    if quota(root):
        values["quota"] = True
    return values


def reading_or_none(proc: Path = _PROC, helpers: Iterable[int] = ()) -> Reading | None:
    """The state now; None on what is not Linux, or where /proc tells less: nothing is said of the host's load then."""
    try:
        return reading(proc, helpers)
    except (OSError, ValueError, IndexError):
        return None


def reading(proc: Path, helpers: Iterable[int]) -> Reading:
    """The state now.

    Raises:
        OSError, ValueError, IndexError: /proc does not tell.
    """
    cores = usable()
    tick = os.sysconf("SC_CLK_TCK")
    busy = idle = stolen = 0
    for line in (proc / "stat").read_text(encoding="ascii").splitlines():
        name, *counts = line.split()
        if not name.startswith("cpu"):
            break
        if name == "cpu" or int(name[3:]) not in cores:
            continue
        user, nice, system, waiting, io, interrupts, soft, steal = map(int, counts[:8])
        busy += user + nice + system + interrupts + soft
        idle += waiting + io
        stolen += steal
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    own += sum(_ticks(proc, pid) for pid in helpers) / tick
    return Reading(
        at=time.perf_counter(),
        cores=len(cores),
        busy=busy / tick,
        idle=idle / tick,
        stolen=stolen / tick,
        own=own,
        waits=_waits(proc),
    )


def _waits(proc: Path) -> dict[str, float] | None:
    """Run delay of each thread: the second figure of its schedstat, nanoseconds."""
    found = {}
    try:
        for task in os.listdir(proc / "self" / "task"):  # noqa: PTH208 — names alone: no Path for each thread
            found[task] = int((proc / "self" / "task" / task / "schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None
    return found


def _ticks(proc: Path, pid: int) -> int:
    """Processor time of a process and of those it has waited for; 0 when it has ended: then it is in its parent's."""
    try:
        fields = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(field) for field in fields[11:15])


def family(proc: Path = _PROC, environment: Mapping[str, str] = os.environ) -> list[int]:
    """Processes that belong to this one: those it started, those that they started, and its process group.

    Of several that train together (`WORLD_SIZE`) their launcher and all that it started: none of them is another's.
    """
    children: dict[int, list[int]] = {}
    found: set[int] = set()
    try:
        names = os.listdir(proc)  # noqa: PTH208 — as above
    except OSError:
        return []
    group, me = os.getpgrp(), os.getpid()
    for name in filter(str.isdigit, names):
        try:
            fields = (proc / name / "stat").read_text(errors="replace").rpartition(")")[2].split()
            parent, its_group = int(fields[1]), int(fields[2])
        except (OSError, ValueError, IndexError):
            continue
        children.setdefault(parent, []).append(int(name))
        if its_group == group:
            found.add(int(name))
    waiting = [me]
    if int(environment.get("WORLD_SIZE", "1")) > 1:
        waiting = [os.getppid()]
        found.update(waiting)
    while waiting:
        started = [pid for pid in children.get(waiting.pop(), []) if pid != me]
        found.update(started)
        waiting += started
    return sorted(found - {me})


def quota(root: Path = ROOT) -> bool:
    """Whether a control group, its own or one above, leaves this process less than whole cores.

    Then waiting tells of the limit, not of others.
    """
    return "cpus" in limits(root)
