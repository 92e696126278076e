"""What is asked of NVML goes through the real nvidia-ml-py, down to a library that stands in for the driver's."""

from __future__ import annotations

import re
from pathlib import Path

import pynvml
import pytest

from harness.cli.machine import nvml_devices
from harness.measure import device
from harness.measure.fakes.pynvml import FakePynvml
from harness.measure.gpu import gpu
from harness.measure.nvml import READINGS, RealNvml, bare
from tests.unit.measure import libnvml

GIB = 2**30
NO_PERMISSION = 4  # nvml.h, nvmlReturn_t


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlLib", libnvml.library())
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setattr(pynvml, "_nvmlLib_refcount", 0)


def test_a_device_is_sampled_in_the_units_of_the_readings() -> None:
    (found,) = RealNvml().gpus()
    assert (found.uuid, found.name) == (libnvml.UUID.decode(), "NVIDIA H200")
    values = {name: value for what in READINGS for name, value in found.read(what).items()}
    assert values == {
        "memory_used": 2 * GIB,
        "memory_total": 141 * GIB,
        "energy": (2**33 + 1_500) / 1000,
        "power": 350.5,
        "utilization": 0.97,
        "memory_utilization": 0.4,
        "sm_clock": 1980,
        "memory_clock": 3201,
        "temperature": 55,
        "throttle": 1,
        "throttle_sw_power_cap": 1,
    }
    assert found.processes() == {4711: 3 * GIB, 4712: None}


def test_the_environment_and_the_memory_probe_find_the_device_by_torchs_uuid() -> None:
    uuid = bare(libnvml.UUID.decode())
    told, why = gpu(pynvml, uuid)
    assert why is None
    assert (told["driver"], told["driver_cuda"], told["vbios"]) == ("570.124.06", "12.8", "96.00.99.00.01")
    assert (told["power_limit_w"], told["mig"], told["ecc"], told["nvlinks"]) == (700.0, False, True, libnvml.LINKS)
    assert told["pcie"] == {"generation": 5, "width": 16, "max_generation": 5, "max_width": 16}
    assert device.RealNvml().used() == {uuid: 2 * GIB}


def test_the_memory_probe_knows_the_devices_that_cuda_may_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-0a1b")
    assert device.RealNvml().listed() == [bare(libnvml.UUID.decode())]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-0a1b")
    assert (device.RealNvml().listed(), device.RealNvml().used()) == ([], {})


def test_the_doctor_names_driver_and_device() -> None:
    found = nvml_devices()
    assert found["driver"] == "570.124.06"
    assert [(each["name"], each["memory"], each["used"]) for each in found["devices"]] == [
        ("NVIDIA H200", 141 * GIB, 2 * GIB)
    ]


def test_a_device_that_this_process_may_not_ask_hides_none_that_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML counts all of the machine's, also those that a container or a scheduler keeps from it (nvml.h)."""
    library = libnvml.library()
    monkeypatch.setitem(vars(library), "nvmlDeviceGetCount_v2", libnvml._numbers((3,)))
    library.nvmlDeviceGetHandleByIndex_v2 = lambda index, handle: 0 if index.value == 1 else NO_PERMISSION
    monkeypatch.setattr(pynvml, "nvmlLib", library)
    assert device.RealNvml().used() == {bare(libnvml.UUID.decode()): 2 * GIB}
    assert [each["name"] for each in nvml_devices()["devices"]] == ["NVIDIA H200"]
    library.nvmlDeviceGetMemoryInfo = lambda handle, memory: NO_PERMISSION
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    with pytest.raises(RuntimeError, match="Insufficient Permissions"):
        device.RealNvml().used()
    assert nvml_devices() == {"absent": "Insufficient Permissions"}


def test_nothing_is_asked_that_nvidia_ml_py_does_not_have() -> None:
    """A name that it lacks would be one figure less, and nothing else: no answer is an answer."""
    measure = Path(device.__file__).parent
    asked = {
        name
        for file in (measure / "gpu.py", measure / "nvml.py", measure / "device.py")
        for name in re.findall(r"\bnvml[A-Z]\w+", file.read_text(encoding="utf-8"))
        if not name.startswith("nvmlClock") and not name.endswith("_t")  # of nvml.h, in comments
    }
    assert len(asked) > 20
    assert {name for name in asked if not hasattr(pynvml, name)} == set()


def test_the_stand_in_for_nvidia_ml_py_answers_in_its_types() -> None:
    made_up = FakePynvml()
    for name, answer in made_up.answers.items():
        arguments = () if name.startswith("nvmlSystem") else (None,)
        assert type(getattr(pynvml, name)(*arguments)) is type(answer), name
    with pytest.raises(pynvml.NVMLError, match="Not Supported"):
        made_up.nvmlDeviceGetFanSpeed(1)
    with pytest.raises(AttributeError):
        made_up.nvmlDeviceGetNothing(1)
