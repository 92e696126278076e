"""The device below the trial, as NVML tells it: limits, links, modes. Each figure by itself: many devices lack some.

`library` is nvidia-ml-py's module, or a stand-in with the same functions (`fakes.pynvml.FakePynvml`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.measure.nvml import bare

Ask = Callable[..., Any]
"""Calls a function of the library by name; None where it has no answer."""

_COMPUTE_MODES = ("default", "exclusive_thread", "prohibited", "exclusive_process")  # nvml.h, nvmlComputeMode_t
_MOST_LINKS = 36  # nvml.h, NVML_NVLINK_MAX_LINKS of CUDA 13; 18 before
_SM_CLOCK, _MEMORY_CLOCK = 1, 2  # nvml.h, nvmlClockType_t


def gpu(library: Any, uuid: str) -> tuple[dict[str, Any], str | None]:
    """What NVML says of the device with torch's `uuid`; and why it says nothing, where it does.

    Watts, MHz; PCIe as it is now and at most (an idle link slows down). A part of a device (MIG) is told by the whole.
    """
    try:
        library.nvmlInit()
    except Exception as error:  # of the stand-in's making, or NVMLError, which cannot be named without the library
        return {}, str(error) or type(error).__name__

    def ask(name: str, *arguments: Any) -> Any:
        try:
            return getattr(library, name)(*arguments)
        except Exception:  # not supported, an older driver, a device lost in between: no answer is an answer too
            return None

    try:
        handle = _find(ask, uuid)
        if handle is None:
            return {}, "NVML does not list the device that torch uses"
        return {name: value for name, value in _figures(ask, handle).items() if value is not None}, None
    finally:
        ask("nvmlShutdown")


def _find(ask: Ask, uuid: str) -> Any:
    """The whole device's handle; NVML numbers devices in an order of its own."""
    for index in range(ask("nvmlDeviceGetCount") or 0):
        handle = ask("nvmlDeviceGetHandleByIndex", index)
        listed = None if handle is None else ask("nvmlDeviceGetUUID", handle)
        if listed is not None and bare(_text(listed) or "") == bare(uuid):
            return handle
    part = ask("nvmlDeviceGetHandleByUUID", f"MIG-{bare(uuid)}")
    return None if part is None else ask("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", part)


def _figures(ask: Ask, handle: Any) -> dict[str, Any]:
    return {
        "driver": _text(ask("nvmlSystemGetDriverVersion")),
        "driver_cuda": _cuda_version(ask("nvmlSystemGetCudaDriverVersion")),
        "power_limit_w": _thousandth(ask("nvmlDeviceGetEnforcedPowerLimit", handle)),
        "default_power_limit_w": _thousandth(ask("nvmlDeviceGetPowerManagementDefaultLimit", handle)),
        "pcie": _pcie(ask, handle),
        "nvlinks": _links(ask, handle),
        "mig": _flag(_first(ask("nvmlDeviceGetMigMode", handle))),
        "compute_mode": _compute_mode(ask("nvmlDeviceGetComputeMode", handle)),
        "persistence": _flag(ask("nvmlDeviceGetPersistenceMode", handle)),
        "ecc": _flag(_first(ask("nvmlDeviceGetEccMode", handle))),
        "max_sm_mhz": ask("nvmlDeviceGetMaxClockInfo", handle, _SM_CLOCK),
        "max_memory_mhz": ask("nvmlDeviceGetMaxClockInfo", handle, _MEMORY_CLOCK),
        "vbios": _text(ask("nvmlDeviceGetVbiosVersion", handle)),
    }


def _pcie(ask: Ask, handle: Any) -> dict[str, int] | None:
    answers = {
        "generation": ask("nvmlDeviceGetCurrPcieLinkGeneration", handle),
        "width": ask("nvmlDeviceGetCurrPcieLinkWidth", handle),
        "max_generation": ask("nvmlDeviceGetMaxPcieLinkGeneration", handle),
        "max_width": ask("nvmlDeviceGetMaxPcieLinkWidth", handle),
    }
    return {name: int(value) for name, value in answers.items() if value is not None} or None


def _links(ask: Ask, handle: Any) -> int | None:
    """NVLinks that are up; None where the device has none."""
    states = [ask("nvmlDeviceGetNvLinkState", handle, link) for link in range(_MOST_LINKS)]
    known = [state for state in states if state is not None]
    return sum(state == 1 for state in known) if known else None


def _compute_mode(mode: Any) -> str | None:
    return _COMPUTE_MODES[mode] if mode in range(len(_COMPUTE_MODES)) else None


def _cuda_version(version: Any) -> str | None:
    """12080 is 12.8."""
    return None if version is None else f"{version // 1000}.{version % 1000 // 10}"


def _thousandth(value: Any) -> float | None:
    return None if value is None else float(value) / 1000


def _first(value: Any) -> Any:
    """Of the pair (current, pending)."""
    return value[0] if value else None


def _flag(value: Any) -> bool | None:
    return None if value is None else bool(value == 1)


def _text(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
