"""NVML: what a device can be asked, answered by the driver or by a script.

Errors are told apart by what they mean to somebody who samples: this device never answers that (`unsupported`), the
device is gone (`lost`), or just not this time. Names, units and meaning of the values: docs/measuring.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from harness.records.fingerprint import of_value

SCRIPT_VARIABLE = "HARNESS_FAKE_NVML"
"""Names a script that answers in NVML's place, for trying things out. Every result made with it says so."""

THROTTLES = {
    0x001: "gpu_idle",
    0x002: "applications_clocks",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal",
    0x040: "hw_thermal",
    0x080: "hw_power_brake",
    0x100: "display_clocks",
    0x200: "board_limit",
    0x400: "reliability",
}
"""Why clocks are lower than they could be, by bit (nvml.h, nvmlClocksEventReasons)."""


class NvmlError(Exception):
    """A question without an answer. `unsupported`: this device never answers it; `lost`: the device itself is gone."""

    def __init__(self, text: str, *, unsupported: bool = False, lost: bool = False) -> None:
        super().__init__(text)
        self.unsupported = unsupported
        self.lost = lost


class Gpu(Protocol):
    """One device. `uuid` as NVML has it, with its prefix."""

    uuid: str
    name: str

    def read(self, what: str) -> Mapping[str, float]:
        """The values of one entry of `READINGS`, by name.

        Raises:
            NvmlError: no answer.
        """

    def processes(self) -> Mapping[int, int | None]:
        """Compute processes on the device, and the bytes each holds where that is told. Host process ids, often.

        Raises:
            NvmlError: no answer.
        """


class Nvml(Protocol):
    """The devices of this machine. `made_up` says what made them up; None for the real ones."""

    made_up: str | None

    def gpus(self) -> Sequence[Gpu]:
        """Every device; of one that is divided (MIG), its parts.

        Raises:
            NvmlError: no answer.
        """


def open_nvml(environ: Mapping[str, str] = os.environ) -> Nvml:
    """NVML of this machine, or the script that `HARNESS_FAKE_NVML` names.

    Raises:
        NvmlError: there is no NVML here, or the script cannot be read.
    """
    script = environ.get(SCRIPT_VARIABLE)
    if script:
        from harness.measure.fakes.nvml import ScriptedNvml

        return ScriptedNvml.read(script)
    return RealNvml()


def visible(gpus: Sequence[Gpu], environ: Mapping[str, str] = os.environ) -> list[Gpu]:
    """Those that CUDA shows this process: by CUDA_VISIBLE_DEVICES, in its order; all where it does not say.

    As CUDA does, reading ends at the first entry that names no device. UUIDs may be shortened. Numbers count in CUDA's
    order, which is NVML's only with CUDA_DEVICE_ORDER=PCI_BUS_ID or a single device; otherwise all devices are meant.
    """
    setting = environ.get("CUDA_VISIBLE_DEVICES")
    if setting is None:
        return list(gpus)
    alike = environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len(gpus) == 1
    found: list[Gpu] = []
    for entry in setting.split(","):
        named = entry.strip()
        number = named.isascii() and named.isdigit()
        if number and not alike:
            return list(gpus)
        if number:
            matching = [gpu for place, gpu in enumerate(gpus) if (named.lstrip("0") or "0") == str(place)]
        else:
            matching = [gpu for gpu in gpus if named and gpu.uuid.lower().startswith(named.lower())]
        if len(matching) != 1 or matching[0] in found:
            break
        found += matching
    return found


def named(torchs: str, uuids: Sequence[str]) -> str | None:
    """Which of the visible devices torch's UUID means; None where it is none of them.

    Where one alone is visible it is that: of a part of a device (MIG), torch may name the whole, or NVML.
    """
    for uuid in uuids:
        if bare(uuid) == bare(torchs):
            return uuid
    return uuids[0] if len(uuids) == 1 else None


def bare(uuid: str) -> str:
    """A UUID without `GPU-` or `MIG-`, in lower case: torch leaves the prefix out."""
    return uuid.lower().removeprefix("gpu-").removeprefix("mig-")


def identity(uuid: str) -> str:
    """What a device is called in records, as `device.id` of the environment: it tells devices apart and names none."""
    return of_value(bare(uuid))[:12]


class RealNvml:
    """NVML through nvidia-ml-py.

    Raises:
        NvmlError: there is none here (from the constructor).
    """

    made_up: str | None = None

    def __init__(self) -> None:
        try:
            import pynvml

            pynvml.nvmlInit()
        except Exception as error:  # NVMLError and ImportError share no better base
            raise told(error) from error
        self._library: Any = pynvml

    def gpus(self) -> Sequence[Gpu]:
        library = self._library
        found: list[Gpu] = []
        failed: NvmlError | None = None
        try:
            count = library.nvmlDeviceGetCount()
        except Exception as error:
            raise told(error) from error
        for index in range(count):
            try:
                whole = library.nvmlDeviceGetHandleByIndex(index)
                found += [RealGpu(library, handle) for handle in _parts(library, whole)]
            except Exception as error:  # one device that is lost must not hide the others
                failed = told(error)
        if failed is not None and not found:
            raise failed
        return found


class RealGpu:
    """A device, or a part of one, by its handle."""

    def __init__(self, library: Any, handle: Any) -> None:
        self._library, self._handle = library, handle
        self.uuid = _text(library.nvmlDeviceGetUUID(handle))
        self.name = _text(library.nvmlDeviceGetName(handle))

    def read(self, what: str) -> Mapping[str, float]:
        try:
            return READINGS[what](self._library, self._handle)
        except Exception as error:
            raise told(error) from error

    def processes(self) -> Mapping[int, int | None]:
        try:
            listed = self._library.nvmlDeviceGetComputeRunningProcesses(self._handle)
        except Exception as error:
            raise told(error) from error
        return {int(process.pid): process.usedGpuMemory for process in listed}


def _parts(library: Any, device: Any) -> list[Any]:
    """A device whose parts CUDA sees in its place, or itself."""
    try:
        divided = library.nvmlDeviceGetMigMode(device)[0] == library.NVML_DEVICE_MIG_ENABLE
    except library.NVMLError:
        return [device]  # it does not know what that is
    if not divided:
        return [device]
    parts = []
    for index in range(library.nvmlDeviceGetMaxMigDeviceCount(device)):
        try:
            parts.append(library.nvmlDeviceGetMigDeviceHandleByIndex(device, index))
        except library.NVMLError:
            continue  # places for parts that were not made
    return parts


def _memory(library: Any, handle: Any) -> dict[str, float]:
    return {"memory_used": int(library.nvmlDeviceGetMemoryInfo(handle).used)}


def _capacity(library: Any, handle: Any) -> dict[str, float]:
    return {"memory_total": int(library.nvmlDeviceGetMemoryInfo(handle).total)}


def _utilization(library: Any, handle: Any) -> dict[str, float]:
    rates = library.nvmlDeviceGetUtilizationRates(handle)
    return {"utilization": rates.gpu / 100, "memory_utilization": rates.memory / 100}


def _power(library: Any, handle: Any) -> dict[str, float]:
    return {"power": library.nvmlDeviceGetPowerUsage(handle) / 1000}


def _energy(library: Any, handle: Any) -> dict[str, float]:
    return {"energy": library.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000}


def _clocks(library: Any, handle: Any) -> dict[str, float]:
    return {
        "sm_clock": library.nvmlDeviceGetClockInfo(handle, library.NVML_CLOCK_SM),
        "memory_clock": library.nvmlDeviceGetClockInfo(handle, library.NVML_CLOCK_MEM),
    }


def _temperature(library: Any, handle: Any) -> dict[str, float]:
    try:
        return {"temperature": library.nvmlDeviceGetTemperature(handle, library.NVML_TEMPERATURE_GPU)}
    except library.NVMLError_FunctionNotFound:  # drivers of CUDA 14 know it by its new name alone
        return {"temperature": library.nvmlDeviceGetTemperatureV(handle, library.NVML_TEMPERATURE_GPU)}


def _throttle(library: Any, handle: Any) -> dict[str, float]:
    try:
        bits = library.nvmlDeviceGetCurrentClocksEventReasons(handle)
    except library.NVMLError_FunctionNotFound:  # a driver before 535 knows it by its old name
        bits = library.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    return throttled(bits)


def throttled(bits: int) -> dict[str, float]:
    """The reasons that hold, as values: `throttle` (how many do), and 1 for each by name."""
    found = [name for bit, name in THROTTLES.items() if bits & bit]
    return {"throttle": len(found), **{f"throttle_{name}": 1 for name in found}}


READINGS: dict[str, Callable[[Any, Any], dict[str, float]]] = {
    "memory": _memory,
    "energy": _energy,
    "power": _power,
    "utilization": _utilization,
    "clocks": _clocks,
    "temperature": _temperature,
    "throttle": _throttle,
    "capacity": _capacity,
}
"""What is sampled, and the capacity, which never changes: memory in bytes, J since the driver was loaded, W, shares of
1, MHz, °C, reasons.

PCIe throughput is left out: NVML measures it for 20 ms while the caller waits."""

NAMES: dict[str, tuple[str, ...]] = {
    "memory": ("memory_used",),
    "energy": ("energy",),
    "power": ("power",),
    "utilization": ("utilization", "memory_utilization"),
    "clocks": ("sm_clock", "memory_clock"),
    "temperature": ("temperature",),
    "throttle": ("throttle",),
}
"""The values that each reading always has."""

_UNSUPPORTED = frozenset({2, 3, 4, 13, 25, 26})
"""nvml.h's nvmlReturn_t: invalid argument (how parts answer what only whole devices know), not supported, no
permission, function not found, argument version mismatch, deprecated."""

_LOST = frozenset({1, 9, 12, 15, 16, 18, 28})
"""Uninitialized, driver not loaded, no library, GPU is lost, reset required, library and driver differ, no such GPU."""


def told(error: Exception) -> NvmlError:
    """An error of nvidia-ml-py, by its code, as an `NvmlError`."""
    code = getattr(error, "value", None)
    text = str(error) or type(error).__name__
    return NvmlError(text, unsupported=code in _UNSUPPORTED, lost=code in _LOST)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
