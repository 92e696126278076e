"""What NVML is asked, against a stand-in for nvidia-ml-py; which devices CUDA shows; errors by what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.measure.fakes import ScriptedNvml
from harness.measure.nvml import (
    NAMES,
    Gpu,
    NvmlError,
    RealGpu,
    RealNvml,
    bare,
    identity,
    open_nvml,
    throttled,
    told,
    visible,
)


class Error(Exception):
    """An error as nvidia-ml-py raises it, with nvml.h's code."""

    def __init__(self, value: int) -> None:
        super().__init__(f"code {value}")
        self.value = value


class FunctionNotFound(Error):
    def __init__(self) -> None:
        super().__init__(13)


class Library:
    """nvidia-ml-py for devices numbered from 0; the handle of a device is its number, of a part `number.index`."""

    NVMLError = Error
    NVMLError_FunctionNotFound = FunctionNotFound
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU, NVML_DEVICE_MIG_ENABLE = 1, 2, 0, 1

    def __init__(self, devices: int = 1, *, old: bool = False, divided: int = 0, lost: tuple[int, ...] = ()) -> None:
        self.devices, self.old, self.divided, self.lost = devices, old, divided, lost

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 — NVML's names
        return self.devices

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        if index in self.lost:
            raise Error(15)
        return str(index)

    def nvmlDeviceGetUUID(self, handle: str) -> bytes:  # noqa: N802
        return f"{'MIG' if '.' in handle else 'GPU'}-{handle}".encode()

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802
        return "Device"

    def nvmlDeviceGetMigMode(self, handle: str) -> list[int]:  # noqa: N802
        if not self.divided:
            raise Error(3)
        return [1, 0]  # now, and after the next reset

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: str) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: str, index: int) -> str:  # noqa: N802
        if index >= self.divided:
            raise Error(6)
        return f"{handle}.{index}"

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(used=123)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=97, memory=40)

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:  # noqa: N802
        return 250_500

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        return 12_345

    def nvmlDeviceGetClockInfo(self, handle: str, clock: int) -> int:  # noqa: N802
        return 1980 if clock == self.NVML_CLOCK_SM else 2619

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:  # noqa: N802
        return 55

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:  # noqa: N802
        if self.old:
            raise FunctionNotFound
        return 0x44

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:  # noqa: N802
        return 0x44

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=7, usedGpuMemory=99), SimpleNamespace(pid=8, usedGpuMemory=None)]


def _real(library: Library) -> RealNvml:
    nvml = RealNvml.__new__(RealNvml)
    nvml._library = library
    return nvml


@pytest.mark.parametrize("old", [False, True])
def test_every_reading_is_in_its_unit(old: bool) -> None:
    gpu = RealGpu(Library(old=old), "0")
    found: dict[str, float] = {}
    for what in NAMES:
        found |= gpu.read(what)
    assert found == {
        "memory_used": 123,
        "energy": 12.345,
        "power": 250.5,
        "utilization": 0.97,
        "memory_utilization": 0.4,
        "sm_clock": 1980,
        "memory_clock": 2619,
        "temperature": 55,
        "throttle": 2,
        "throttle_sw_power_cap": 1,
        "throttle_hw_thermal": 1,
    }
    assert {name for names in NAMES.values() for name in names} <= found.keys()
    assert gpu.processes() == {7: 99, 8: None}


def test_the_parts_of_a_divided_device_stand_in_its_place() -> None:
    assert [gpu.uuid for gpu in _real(Library(2)).gpus()] == ["GPU-0", "GPU-1"]
    assert [gpu.uuid for gpu in _real(Library(1, divided=2)).gpus()] == ["MIG-0.0", "MIG-0.1"]


def test_a_lost_device_does_not_hide_the_others_and_alone_is_an_error() -> None:
    assert [gpu.uuid for gpu in _real(Library(2, lost=(0,))).gpus()] == ["GPU-1"]
    with pytest.raises(NvmlError) as caught:
        _real(Library(1, lost=(0,))).gpus()
    assert caught.value.lost


@pytest.mark.parametrize(
    ("code", "unsupported", "lost"),
    [(3, True, False), (13, True, False), (26, True, False), (15, False, True), (999, False, False)],
)
def test_errors_are_told_by_what_they_mean(code: int, unsupported: bool, lost: bool) -> None:
    error = told(Error(code))
    assert (error.unsupported, error.lost) == (unsupported, lost)


def test_reasons_are_told_by_their_bits() -> None:
    assert throttled(0) == {"throttle": 0}
    assert throttled(0x1 | 0x80) == {"throttle": 2, "throttle_gpu_idle": 1, "throttle_hw_power_brake": 1}


def _gpus(*uuids: str) -> list[Gpu]:
    return list(ScriptedNvml.of({"devices": [{"uuid": uuid} for uuid in uuids]}).gpus())


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ["GPU-aa", "GPU-ab", "GPU-b"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, []),
        ({"CUDA_VISIBLE_DEVICES": "GPU-b,GPU-aa"}, ["GPU-b", "GPU-aa"]),
        ({"CUDA_VISIBLE_DEVICES": "gpu-ab"}, ["GPU-ab"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-a"}, []),  # two begin so
        ({"CUDA_VISIBLE_DEVICES": "GPU-b,GPU-zz,GPU-aa"}, ["GPU-b"]),  # reading ends at the first unknown
        ({"CUDA_VISIBLE_DEVICES": "GPU-b,GPU-b"}, ["GPU-b"]),
        ({"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, ["GPU-ab"]),
        ({"CUDA_VISIBLE_DEVICES": "2,9,0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, ["GPU-b"]),
        ({"CUDA_VISIBLE_DEVICES": "02", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, ["GPU-b"]),
        ({"CUDA_VISIBLE_DEVICES": "\N{SUPERSCRIPT TWO}", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, []),
        ({"CUDA_VISIBLE_DEVICES": "9" * 5000, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, []),
        ({"CUDA_VISIBLE_DEVICES": "1"}, ["GPU-aa", "GPU-ab", "GPU-b"]),  # CUDA's order is not known
    ],
)
def test_devices_are_those_that_cuda_shows(environ: Mapping[str, str], expected: list[str]) -> None:
    assert [gpu.uuid for gpu in visible(_gpus("GPU-aa", "GPU-ab", "GPU-b"), environ)] == expected


def test_a_number_means_the_only_device_and_parts_are_found_by_name() -> None:
    assert [gpu.uuid for gpu in visible(_gpus("GPU-a"), {"CUDA_VISIBLE_DEVICES": "0"})] == ["GPU-a"]
    assert [gpu.uuid for gpu in visible(_gpus("MIG-1", "MIG-2"), {"CUDA_VISIBLE_DEVICES": "MIG-2"})] == ["MIG-2"]


def test_uuids_of_torch_and_nvml_compare() -> None:
    assert bare("GPU-AB12") == bare("ab12") == bare("MIG-ab12")


def test_records_never_call_a_device_by_its_uuid() -> None:
    assert identity("GPU-AB12") == identity("ab12") == identity("MIG-ab12")
    assert "ab12" not in identity("GPU-AB12")


def test_a_script_that_cannot_be_read_is_an_error_and_not_the_real_device() -> None:
    with pytest.raises(NvmlError, match=r"nothing\.json cannot be used"):
        open_nvml({"HARNESS_FAKE_NVML": "nothing.json"})


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("garbage{", "Expecting value"),
        ("[]", 'no mapping with a list of "devices"'),
        ('{"devices": [{}]}', 'needs a "uuid"'),
        ('{"devices": [{"uuid": "1"}, {"uuid": "1"}]}', "the same uuid"),
        ('{"devices": [{"uuid": "1", "temprature": 9}]}', "did you mean 'temperature'"),
        ('{"devices": [{"uuid": "1", "power": []}]}', "power is neither"),
        ('{"devices": [{"uuid": "1", "memory": [[2, 1], [1, 1]]}]}', "memory is neither"),
        ('{"devices": [{"uuid": "1", "power": null}]}', "power is neither"),
        ('{"devices": [{"uuid": "1", "power": NaN}]}', "power is neither"),
        ('{"devices": [{"uuid": "1", "power": [[0, Infinity]]}]}', "power is neither"),
        (f'{{"devices": [{{"uuid": "1", "power": 1{"0" * 400}}}]}}', "too large"),
        ('{"devices": [{"uuid": "1", "processes": [[0, 1, Infinity, 1]]}]}', "infinity"),
        ('{"devices": [{"uuid": "1", "memory": -1}]}', "memory is below 0"),
        ('{"devices": [{"uuid": "1", "name": null}]}', "no text"),
        ("[" * 100_000, "recursion"),
        ('{"devices": [{"uuid": "1", "processes": [[0, 1]]}]}', "processes is no list of entries of 4 parts"),
        ('{"devices": [{"uuid": "1", "throttle": [[0, 1, "heat"]]}]}', "as a reason to throttle"),
        ('{"devices": [{"uuid": "1", "errors": [[0, 1, "memry", "x"]]}]}', "did you mean 'memory'"),
    ],
)
def test_a_script_that_says_what_there_is_not_is_refused(script: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "gpu.json").write_text(script)
    with pytest.raises(NvmlError, match=why):
        open_nvml({"HARNESS_FAKE_NVML": str(tmp_path / "gpu.json")})
