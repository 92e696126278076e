"""Device memory: torch's allocator, and NVML's "used" less what was used before the trial.

NVML and CUDA may number devices differently, so a device is found by its UUID. NVML's per-process figures know host
process ids and fail in containers; the difference of the whole device does not, but counts other processes too.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from harness.measure import nvml as driver


class Nvml(Protocol):
    """What is used of NVML: the devices that CUDA may see, by bare UUID, and bytes used on each that answers."""

    def listed(self) -> Sequence[str]: ...
    def used(self) -> Mapping[str, int]: ...


class RealNvml:
    """The driver's NVML, over the devices that it lets this process ask: of others it tells no more than their number.

    Raises:
        RuntimeError: no NVML on this machine (from the constructor), or none of its devices answers.
    """

    def __init__(self) -> None:
        try:
            self._gpus = driver.visible(driver.RealNvml().gpus())
        except driver.NvmlError as error:
            raise RuntimeError(str(error)) from error

    def listed(self) -> Sequence[str]:
        return [driver.bare(gpu.uuid) for gpu in self._gpus]

    def used(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        failed: driver.NvmlError | None = None
        for gpu in self._gpus:
            try:
                found[driver.bare(gpu.uuid)] = int(gpu.read("memory")["memory_used"])
            except driver.NvmlError as error:
                failed = error
        if failed is not None and not found:
            raise RuntimeError(str(failed)) from failed
        return found


class Block(NamedTuple):
    """A block of the allocator that is in use: where it begins, bytes it takes, and bytes that were asked for."""

    address: int
    taken: int
    asked: int


class Allocator(Protocol):
    """What is used of torch's CUDA memory functions. `figures` are the allocator's own, peaks since the last reset.

    `blocks` are those in use on the current device; `workspace` is the size of one workspace of cuBLAS, None where
    this torch does not tell.
    """

    def ready(self) -> bool: ...
    def uuid(self) -> str: ...
    def figures(self) -> dict[str, int]: ...
    def reset_peaks(self) -> None: ...
    def blocks(self) -> Sequence[Block]: ...
    def workspace(self) -> int | None: ...


class TorchAllocator:
    """torch.cuda of the current device; never initialises CUDA itself."""

    def ready(self) -> bool:
        torch: Any = sys.modules.get("torch")
        return torch is not None and bool(torch.cuda.is_initialized())

    def uuid(self) -> str:
        import torch

        return driver.bare(str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid))

    def figures(self) -> dict[str, int]:
        import torch

        # One call for all figures: `memory_stats` and what builds on it flatten and sort hundreds of entries each time.
        found = torch.cuda.memory_stats_as_nested_dict()
        allocated, reserved = found["allocated_bytes"]["all"], found["reserved_bytes"]["all"]
        return {
            "device_allocated": int(allocated["current"]),
            "device_allocated_peak": int(allocated["peak"]),
            "device_reserved": int(reserved["current"]),
            "device_reserved_peak": int(reserved["peak"]),
        }

    def reset_peaks(self) -> None:
        import torch

        torch.cuda.reset_peak_memory_stats()

    def blocks(self) -> Sequence[Block]:
        import torch

        here = torch.cuda.current_device()
        return [
            Block(int(block["address"]), int(block["size"]), int(block["requested_size"]))
            for segment in torch.cuda.memory_snapshot()
            if segment["device"] == here
            for block in segment["blocks"]
            if block["state"] == "active_allocated"
        ]

    def workspace(self) -> int | None:
        import torch

        size = getattr(torch._C, "_cuda_getCublasWorkspaceSize", None)
        return None if size is None else int(size())


class DeviceMemory:
    """The device's memory figures in bytes; none where there is no device. `missing` says what cannot be had.

    The allocator keeps one peak since its last reset. `fold` takes it, remembers it for the place it belongs to (a part
    of a step), and resets it; `sample` gives what was folded since the last sample and forgets it. A device that stops
    answering ends its figures, not the training.
    """

    def __init__(self, allocator: Allocator, nvml: Nvml | None, why_no_nvml: str = "") -> None:
        self._allocator: Allocator | None = allocator
        self._nvml = nvml
        self._why = why_no_nvml
        self.missing: list[str] = []
        self._uuid: str | None = None
        self._before = self._read()
        self._peaks: dict[str, int] = {}
        self._window: int | None = None

    def _read(self) -> Mapping[str, int]:
        if self._nvml is None:
            return {}
        try:
            return self._nvml.used()
        except RuntimeError as error:
            self._nvml, self._why = None, str(error)
            if self._uuid:
                self.missing.append(f"device memory by NVML is no longer measured: {error}")
            return {}

    def up(self) -> bool:
        """Whether there is a device in use that answers."""
        try:
            return self._allocator is not None and self._allocator.ready()
        except Exception as error:
            self._lose(error)
            return False

    def _lose(self, error: Exception) -> None:
        self._allocator = None
        self.missing.append(f"memory of the device is no longer measured: {type(error).__name__}: {error}")

    def find(self) -> None:
        """Finds the device once CUDA is up, and says what is missing. Does nothing where there is no CUDA."""
        if self._allocator is None or not self.up():
            return
        if self._nvml is None:
            self.missing.append(f"device memory by NVML is not measured: {self._why or 'no NVML'}")
            return
        try:
            uuid = driver.named(self._allocator.uuid(), self._nvml.listed())
        except Exception as error:  # torch before 2.4 tells no UUID; a lost device tells nothing
            self.missing.append(f"device memory by NVML is not measured: torch does not name its device: {error}")
            return
        if uuid in self._before:
            self._uuid = uuid
        else:
            why = "does not list the device that torch uses" if uuid is None else "did not tell what was used before"
            self.missing.append(f"device memory by NVML is not measured: it {why}")

    def fold(self, place: str | None, *, window: bool = False) -> dict[str, int]:
        """Takes the peak since the last fold for `place` (for no part of a step where None); returns the figures.

        `window`: it counts for the measured window's peak too.
        """
        if self._allocator is None or not self.up():
            return {}
        try:
            figures = self._allocator.figures()
            self._allocator.reset_peaks()
        except Exception as error:
            self._lose(error)
            return {}
        peak = figures["device_allocated_peak"]
        names = ["device_allocated_peak", *([f"{place}_allocated_peak"] if place else [])]
        for name in names:
            self._peaks[name] = max(self._peaks.get(name, 0), peak)
        reserved = figures["device_reserved_peak"]
        self._peaks["device_reserved_peak"] = max(self._peaks.get("device_reserved_peak", 0), reserved)
        if window:
            self._window = max(self._window or 0, peak)
        return figures

    def begin_window(self, place: str | None) -> None:
        """The measured window begins: its peak counts from now. What peaked so far belongs to `place`."""
        self.fold(place)
        self._window = None

    def sample(self, place: str | None = None, *, window: bool = False) -> dict[str, int]:
        """Allocator figures, peaks since the last sample, and `device_used` (NVML used − before the trial)."""
        figures = self.fold(place, window=window)
        if not figures:
            return {}
        values = figures | self._peaks
        self._peaks = {}
        if self._window is not None:
            values["window_allocated_peak"] = self._window
        used = self._read() if self._uuid else {}
        if self._uuid and self._uuid in used:
            values["device_used"] = max(0, used[self._uuid] - self._before[self._uuid])
        return values


def watch_devices() -> DeviceMemory:
    """The real device memory of this process; made before CUDA is initialised, so that "before" means it."""
    try:
        return DeviceMemory(TorchAllocator(), RealNvml())
    except RuntimeError as error:
        return DeviceMemory(TorchAllocator(), None, str(error))
