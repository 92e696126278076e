"""Memory of the worker: unique set size on the host, torch's allocator and NVML on the device.

A forked worker shares its parent's pages, so its resident size counts what it never took; the unique set size (USS)
does not. Linux keeps no peak of the USS, but it keeps one of the resident size (VmHWM), which can be reset. Between two
samples pages move from shared to unique (copy on write) and hardly ever back, so

    peak USS ≈ USS now + (peak RSS since the last sample − RSS now)

which is exact while the shared part stands still and off by what was shared anew or unshared in between otherwise.
Pages that the kernel moved to swap are the worker's all the same, but for those that it shares, and are added.
So are pages that it shares with processes it forked itself, as loader workers: what it shares with its parent only
gets less, so what is shared beyond the least so far is shared with its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.measure.device import DeviceMemory, watch_devices
from harness.measure.probe import Probe
from harness.measure.recorder import Recorder
from harness.measure.timeline import Edges, Pace
from harness.records.events import Event

SAMPLE_SECONDS = 2.0
"""Steps sample at most so often; what peaks in between is not lost."""
COST_SHARE = 0.001
"""And so rarely that sampling takes no more than this share of the time."""
WATCH_SHARE = 0.002
"""Following the parts of steps on a device takes no more than this share of the time."""
_PROC = Path("/proc/self")


class HostMemory:
    """USS and its peak since the last sample, in bytes. `proc` is a process's folder under /proc.

    `swapped`: so much of the last sample's USS lay in swap.
    """

    def __init__(self, proc: Path = _PROC) -> None:
        self.swapped = 0
        self._least_shared: int | None = None
        self._proc = proc
        self._resets = True
        self._reset_peak()

    def sample(self) -> tuple[int, int]:
        """(USS now, peak USS since the last sample), bytes.

        Raises:
            OSError: /proc is not readable here.
        """
        rollup = _fields(self._proc / "smaps_rollup")
        swapped, before = _swapped_alone(rollup), self.swapped
        uss = rollup["Private_Clean"] + rollup["Private_Dirty"] + swapped + self._with_own(rollup, swapped)
        status = _fields(self._proc / "status")
        above = status["VmHWM"] - status["VmRSS"] - max(0, swapped - before)  # what left for swap is held still
        self._reset_peak()
        self.swapped = swapped
        return uss, uss + max(0, above if self._resets else 0)

    def _with_own(self, rollup: Mapping[str, int], swapped: int) -> int:
        """Bytes shared with processes that this one forked."""
        shared = rollup.get("Shared_Dirty", 0)
        least = min(shared, shared if self._least_shared is None else self._least_shared)
        if rollup.get("Swap", 0) <= swapped:  # else some of what the parent shares lies in swap, and may come back
            self._least_shared = least
        return 0 if self._least_shared is None else max(0, shared - self._least_shared)

    def _reset_peak(self) -> None:
        try:
            (self._proc / "clear_refs").write_text("5")
        except OSError:
            self._resets = False  # without the reset the peak would be the parent's: samples alone must do


def swapped(proc: Path) -> int:
    """What of the pages of a process (its folder under /proc) in swap nobody shares, bytes; 0 where nothing tells."""
    try:
        return _swapped_alone(_fields(proc / "smaps_rollup"))
    except OSError:
        return 0


def _swapped_alone(rollup: Mapping[str, int]) -> int:
    """`SwapPss` counts all pages in swap that nobody shares, and of a page that it shares with its parent half, `Swap`
    the whole. With more sharers it is a little less.
    """
    return max(0, 2 * rollup.get("SwapPss", 0) - rollup.get("Swap", 0))


def _fields(path: Path) -> dict[str, int]:
    """`Name:  123 kB` lines as bytes by name."""
    found: dict[str, int] = {}
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[2] == "kB":
            found[parts[0].rstrip(":")] = int(parts[1]) * 1024
    return found


class Memory(Probe):
    """Samples at step ends, ever more rarely, and at the edges of phases; on a device, follows each step's parts.

    The allocator's peak is read and reset where forward becomes backward and backward becomes the optimizer's step, so
    that a peak has a place. Where steps are so short that reading would cost more than `WATCH_SHARE` of the time, only
    some are followed.
    """

    def __init__(
        self, recorder: Recorder, *, host: HostMemory | None = None, device: DeviceMemory | None = None
    ) -> None:
        super().__init__(recorder)
        self._host = host or HostMemory()
        self._device = device or watch_devices()
        self._pace = Pace(SAMPLE_SECONDS)
        self._next = recorder.clock() + self._pace.seconds()
        self._step = 0
        self._silent: set[str] = set()
        self._edges: dict[str, Edges] = {}
        self._on_device = False
        self._in_training = False
        self._watched: str | None = None  # the part of a watched step whose peak the allocator is gathering
        self._began = 0.0
        self._spent = 0.0

    def attached(self, trainer: Any, method: Any) -> None:
        self._device.find()
        self._tell_missing()

    def train_begin(self) -> None:
        self._on_device = self._device.up()
        self._in_training = True
        if self._on_device:
            self._device.begin_window(None)
        self._began, self._spent = self.recorder.clock(), 0.0

    def train_end(self) -> None:
        self._turn(None)
        self._in_training = False

    def batch_begin(self, batch: Mapping[str, Any]) -> None:
        self.recorder.region = "forward"
        if self._on_device:
            self._turn("forward" if self._watched or self._can_afford() else None)

    def backward_begin(self) -> None:
        self.recorder.region = "backward"
        if self._watched:
            self._turn("backward")

    def batch_end(self, loss: Any) -> None:
        self.recorder.region = None

    def optimizer_begin(self) -> None:
        self.recorder.region = "optimizer"
        if self._watched:
            self._turn("optimizer")

    def optimizer_end(self) -> None:
        self.recorder.region = None

    def _can_afford(self) -> bool:
        return self._spent <= WATCH_SHARE * (self.recorder.clock() - self._began)

    def _turn(self, part: str | None) -> None:
        """What peaked until now belongs to the part that was; what follows belongs to `part`."""
        if part is None and self._watched is None:
            return
        began = self.recorder.clock()
        self._device.fold(self._watched, window=self._in_training)
        self._watched = part
        self._spent += self.recorder.clock() - began

    def step_end(self, event: Event) -> None:
        self._step = int(event["step"])
        if self._on_device:
            self._end_step(bool(event["measured"]))
        if self.recorder.clock() >= self._next:
            self.sample()

    def _end_step(self, measured: bool) -> None:
        if not measured:  # so far it was warm-up
            self._device.begin_window(self._watched)
            self._watched = None
        elif self._watched and not self._can_afford():
            self._turn(None)

    def phase_begin(self, name: str) -> None:
        if self.recorder.phase_now is not None:
            self.sample(edge=True)  # what comes is to have a peak of its own

    def phase_end(self, name: str) -> None:
        self.sample(phase=name, edge=True)

    def sample(self, phase: str | None = None, *, edge: bool = False) -> None:
        """Records one `memory` event with every figure that can be had."""
        began = self.recorder.clock()
        values: dict[str, int] = {}
        try:
            values["host_uss"], values["host_uss_peak"] = self._host.sample()
            if self._host.swapped:
                values["host_swapped"] = self._host.swapped
        except (OSError, KeyError):
            self._say_once("host memory is not measured: this system does not tell a process's unique pages")
        values.update(self._device.sample(self._watched, window=self._in_window()))
        self._watched = None
        self._tell_missing()
        ended = self.recorder.clock()
        seconds = self._pace.seconds() if edge else self._pace.take()
        self._next = ended + max(seconds, (ended - began) / COST_SHARE)
        where = self.recorder.phase_now
        if not values or (edge and not self._edges.setdefault(where or "", Edges()).says(values)):
            return
        self.recorder.add("memory", step=self._step, values=values, **({"phase": phase} if phase else {}))

    def _in_window(self) -> bool:
        """An evaluation inside training is a phase of its own, and what it takes is not training's."""
        return self._in_training and self.recorder.phase_now in (None, "train")

    def _tell_missing(self) -> None:
        for text in self._device.missing:
            self._say_once(text)

    def _say_once(self, text: str) -> None:
        if text not in self._silent:
            self._silent.add(text)
            self.recorder.note("info", text)
