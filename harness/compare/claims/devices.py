"""Whether a claim can be told of on a device: what it needs, and what trials ran on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.records.claims import Device
from harness.records.results import TrialResult
from harness.records.suite import Needs
from harness.records.units import format_size, parse_size

_CPU = "a machine without GPU"
_ALMOST = 0.9
"""Share of the memory asked for that will do: a GPU of 80 GB has 79.1 GiB or less to give."""


def device_of(trial: TrialResult, environments: Mapping[str, Mapping[str, Any]]) -> Device | None:
    """The GPU that a trial ran on; None: there was none."""
    told = environments.get(trial.environment or "", {}).get("device")
    if not isinstance(told, Mapping) or not told:
        return None
    memory = told.get("memory_bytes")
    return Device(name=str(told.get("name")), memory_bytes=float(memory) if isinstance(memory, int | float) else None)


def fits(needs: Needs, device: Device | None) -> bool:
    """Whether a device is one that the claim is about."""
    if needs.device is None and needs.device_memory is None:
        return True
    if device is None:
        return False
    if needs.device not in (None, "cuda") and needs.device.lower() not in device.name.lower():
        return False
    if needs.device_memory is None or device.memory_bytes is None:
        return True
    return device.memory_bytes >= _ALMOST * parse_size(needs.device_memory)


def named(device: Device | None) -> str:
    """The device for readers."""
    return device.name if device is not None else _CPU


def wanted(needs: Needs) -> str:
    """What a claim needs: `a CUDA GPU with 40 GiB`."""
    kind = "a CUDA GPU" if needs.device in (None, "cuda") else f"a GPU called {needs.device}"
    return kind if needs.device_memory is None else f"{kind} with {format_size(parse_size(needs.device_memory))}"


def lacking(needs: Needs, devices: Sequence[Device] | None) -> str:
    """What this machine lacks for a claim, in words; empty where it lacks nothing, or nothing is known of it."""
    if devices is None:
        return ""
    present: list[Device | None] = [*devices] or [None]
    if any(fits(needs, device) for device in present):
        return ""
    here = ", ".join(dict.fromkeys(device.name for device in devices)) or "no GPU"
    return f"it needs {wanted(needs)}, and here there is {here}"
