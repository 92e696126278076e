"""Memory of the worker: unique set size on the host, torch's allocator and NVML on the device.

A forked worker shares its parent's pages, so its resident size counts what it never took; the unique set size (USS)
does not. Linux keeps no peak of the USS, but it keeps one of the resident size (VmHWM), which can be reset. Between two
samples pages move from shared to unique (copy on write) and hardly ever back, so

    peak USS ≈ USS now + (peak RSS since the last sample − RSS now)

which is exact while the shared part stands still and off by what was shared anew or unshared in between otherwise.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from harness.measure.device import DeviceMemory, watch_devices
from harness.measure.probe import Probe
from harness.measure.recorder import Recorder
from harness.records.events import Event

SAMPLE_SECONDS = 2.0
"""Steps sample at most so often; what peaks in between is not lost."""
COST_SHARE = 0.001
"""And so rarely that sampling takes no more than this share of the time."""
_PROC = Path("/proc/self")


class HostMemory:
    """USS and its peak since the last sample, in bytes. `proc` is a process's folder under /proc."""

    def __init__(self, proc: Path = _PROC) -> None:
        self._proc = proc
        self._resets = True
        self._reset_peak()

    def sample(self) -> tuple[int, int]:
        """(USS now, peak USS since the last sample), bytes.

        Raises:
            OSError: /proc is not readable here.
        """
        rollup = _fields(self._proc / "smaps_rollup")
        uss = rollup["Private_Clean"] + rollup["Private_Dirty"]
        status = _fields(self._proc / "status")
        above = max(0, status["VmHWM"] - status["VmRSS"]) if self._resets else 0
        self._reset_peak()
        return uss, uss + above

    def _reset_peak(self) -> None:
        try:
            (self._proc / "clear_refs").write_text("5")
        except OSError:
            self._resets = False  # without the reset the peak would be the parent's: samples alone must do


def _fields(path: Path) -> dict[str, int]:
    """`Name:  123 kB` lines as bytes by name."""
    found: dict[str, int] = {}
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[2] == "kB":
            found[parts[0].rstrip(":")] = int(parts[1]) * 1024
    return found


class Memory(Probe):
    """Samples at step ends, every two seconds at most, and at the end of every phase."""

    def __init__(
        self, recorder: Recorder, *, host: HostMemory | None = None, device: DeviceMemory | None = None
    ) -> None:
        super().__init__(recorder)
        self._host = host or HostMemory()
        self._device = device or watch_devices()
        self._next = time.perf_counter() + SAMPLE_SECONDS
        self._step = 0
        self._silent: set[str] = set()

    def attached(self, trainer: Any, method: Any) -> None:
        self._device.find()
        for text in self._device.missing:
            self._say_once(text)

    def step_end(self, event: Event) -> None:
        self._step = int(event["step"])
        if time.perf_counter() >= self._next:
            self.sample()

    def phase_end(self, name: str) -> None:
        self.sample(phase=name)
        self._device.reset_peaks()  # so that each phase has a peak of its own

    def sample(self, phase: str | None = None) -> None:
        """Records one `memory` event with every figure that can be had."""
        began = time.perf_counter()
        values: dict[str, int] = {}
        try:
            values["host_uss"], values["host_uss_peak"] = self._host.sample()
        except (OSError, KeyError):
            self._say_once("host memory is not measured: this system does not tell a process's unique pages")
        values.update(self._device.sample())
        ended = time.perf_counter()
        self._next = ended + max(SAMPLE_SECONDS, (ended - began) / COST_SHARE)
        if values:
            where = {"phase": phase} if phase else {}
            self.recorder.add("memory", step=self._step, values=values, **where)

    def _say_once(self, text: str) -> None:
        if text not in self._silent:
            self._silent.add(text)
            self.recorder.note("info", text)
