"""Device memory: torch's allocator, and NVML's "used" less what was used before the trial.

NVML and CUDA may number devices differently, so a device is found by its UUID. NVML's per-process figures know host
process ids and fail in containers; the difference of the whole device does not, but counts other processes too.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol


class Nvml(Protocol):
    """What is used of NVML: bytes used on each device, by UUID without its `GPU-` prefix."""

    def used(self) -> Mapping[str, int]: ...


class RealNvml:
    """NVML through nvidia-ml-py.

    Raises:
        RuntimeError: no NVML on this machine (from the constructor), or it stopped answering.
    """

    def __init__(self) -> None:
        try:
            import pynvml

            self._nvml: Any = pynvml
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        except Exception as error:  # NVMLError and ImportError share no better base
            raise RuntimeError(str(error)) from error

    def used(self) -> Mapping[str, int]:
        try:
            return {
                bare_uuid(self._nvml.nvmlDeviceGetUUID(handle)): int(self._nvml.nvmlDeviceGetMemoryInfo(handle).used)
                for handle in self._handles
            }
        except Exception as error:
            raise RuntimeError(str(error)) from error


class Allocator(Protocol):
    """What is used of torch's CUDA memory functions."""

    def ready(self) -> bool: ...
    def uuid(self) -> str: ...
    def figures(self) -> dict[str, int]: ...
    def reset_peaks(self) -> None: ...


class TorchAllocator:
    """torch.cuda of the current device; never initialises CUDA itself."""

    def ready(self) -> bool:
        torch: Any = sys.modules.get("torch")
        return torch is not None and bool(torch.cuda.is_initialized())

    def uuid(self) -> str:
        import torch

        return bare_uuid(str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid))

    def figures(self) -> dict[str, int]:
        import torch

        return {
            "device_allocated": int(torch.cuda.memory_allocated()),
            "device_allocated_peak": int(torch.cuda.max_memory_allocated()),
            "device_reserved_peak": int(torch.cuda.max_memory_reserved()),
        }

    def reset_peaks(self) -> None:
        import torch

        torch.cuda.reset_peak_memory_stats()


class DeviceMemory:
    """The device's memory figures in bytes; none where there is no device. `missing` says what cannot be had."""

    def __init__(self, allocator: Allocator, nvml: Nvml | None, why_no_nvml: str = "") -> None:
        self._allocator = allocator
        self._nvml = nvml
        self._why = why_no_nvml
        self._before = self._read()
        self._uuid: str | None = None
        self.missing: list[str] = []

    def _read(self) -> Mapping[str, int]:
        if self._nvml is None:
            return {}
        try:
            return self._nvml.used()
        except RuntimeError as error:
            self._nvml, self._why = None, str(error)
            return {}

    def find(self) -> None:
        """Finds the device once CUDA is up, and says what is missing. Does nothing where there is no CUDA."""
        if not self._allocator.ready():
            return
        if self._nvml is None:
            self.missing.append(f"device memory by NVML is not measured: {self._why or 'no NVML'}")
            return
        uuid = self._allocator.uuid()
        if uuid in self._before:
            self._uuid = uuid
        else:
            self.missing.append(f"device memory by NVML is not measured: it does not list device {uuid}")

    def sample(self) -> dict[str, int]:
        """Allocator figures and `device_used` (NVML used − before the trial)."""
        if not self._allocator.ready():
            return {}
        values = self._allocator.figures()
        used = self._read() if self._uuid else {}
        if self._uuid and self._uuid in used:
            values["device_used"] = max(0, used[self._uuid] - self._before[self._uuid])
        return values

    def reset_peaks(self) -> None:
        if self._allocator.ready():
            self._allocator.reset_peaks()


def watch_devices() -> DeviceMemory:
    """The real device memory of this process; made before CUDA is initialised, so that "before" means it."""
    try:
        return DeviceMemory(TorchAllocator(), RealNvml())
    except RuntimeError as error:
        return DeviceMemory(TorchAllocator(), None, str(error))


def bare_uuid(uuid: str | bytes) -> str:
    """A device's UUID without `GPU-`, in lower case: torch leaves the prefix out and NVML does not."""
    text = uuid.decode() if isinstance(uuid, bytes) else uuid
    return text.removeprefix("GPU-").lower()
