"""An NVML with known truth: what the sampling of a device must find is what its script says.

A script is JSON, times in seconds since the script was opened:

    {"devices": [{
        "uuid": "GPU-1", "name": "…",
        "memory_total": bytes,
        "memory": 1000 or [[t, bytes], …]     also power (W), utilization, memory_utilization (of 1), sm_clock,
                                              memory_clock (MHz), temperature (°C): straight lines between the points
        "throttle": [[from, to, "hw_thermal"], …]
        "processes": [[from, to, pid, bytes], …]
        "errors": [[from, to, "energy" or "all", "GPU is lost"], …]
    }]}

The energy counter is the exact integral of the power. What an entry does not name has a quiet default; a name, a reason
or a reading that there is not is refused, so that no script means less than it says.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from harness.errors import did_you_mean
from harness.measure.nvml import NAMES, READINGS, THROTTLES, NvmlError

Curve = tuple[tuple[float, float], ...]

_QUIET: dict[str, float] = {
    "memory_used": 0.0,
    "power": 100.0,
    "utilization": 0.0,
    "memory_utilization": 0.0,
    "sm_clock": 1500.0,
    "memory_clock": 2000.0,
    "temperature": 40.0,
}
_NAMED = ("uuid", "name", "memory_total", "memory", "throttle", "processes", "errors")
_KEYS = (*_NAMED, *(name for name in _QUIET if name != "memory_used"))
_FAILING = (*READINGS, "processes", "all")
_START_ENERGY = 1000.0
"""J on the counter when the script is opened: no driver has counted from zero."""


@dataclass
class FakeNvml:
    """Bytes used on each device as told, by UUID, less the `silent` ones; `broken`: fails as a lost driver does."""

    now: dict[str, int]
    broken: bool = False
    silent: Collection[str] = ()

    def listed(self) -> Sequence[str]:
        return list(self.now)

    def used(self) -> Mapping[str, int]:
        if self.broken:
            raise RuntimeError("Driver/library version mismatch")
        return {uuid: used for uuid, used in self.now.items() if uuid not in self.silent}


@dataclass
class ScriptedGpu:
    """One device of a script; `clock` gives seconds since the script was opened."""

    uuid: str
    name: str
    clock: Callable[[], float]
    curves: Mapping[str, Curve]
    throttle: Sequence[tuple[float, float, str]] = ()
    listed: Sequence[tuple[float, float, int, int]] = ()
    errors: Sequence[tuple[float, float, str, str]] = ()
    capacity: float = 80 * 2**30

    def read(self, what: str) -> Mapping[str, float]:
        t = self.clock()
        self._fail(what, t)
        if what == "energy":
            return {"energy": _START_ENERGY + integral(self.curves["power"], t)}
        if what == "capacity":
            return {"memory_total": self.capacity}
        if what == "throttle":
            reasons = {reason for begin, end, reason in self.throttle if begin <= t < end}
            return {"throttle": len(reasons), **{f"throttle_{reason}": 1.0 for reason in sorted(reasons)}}
        return {name: at(self.curves[name], t) for name in NAMES[what]}

    def processes(self) -> Mapping[int, int | None]:
        t = self.clock()
        self._fail("processes", t)
        return {pid: size for begin, end, pid, size in self.listed if begin <= t < end}

    def _fail(self, what: str, t: float) -> None:
        for begin, end, of, text in self.errors:
            if begin <= t < end and of in (what, "all"):
                raise NvmlError(text, unsupported=text == "Not Supported", lost=text == "GPU is lost")


@dataclass
class ScriptedNvml:
    """Devices that behave as a script says."""

    devices: Sequence[ScriptedGpu]
    made_up: str | None = "a script"

    def gpus(self) -> Sequence[ScriptedGpu]:
        return self.devices

    @classmethod
    def read(cls, path: str | Path) -> ScriptedNvml:
        """The script in a file; its clock starts now.

        Raises:
            NvmlError: it cannot be read, or is no script.
        """
        try:
            return cls.of(json.loads(Path(path).read_text(encoding="utf-8")), made_up=str(path))
        except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise NvmlError(f"the script {path} cannot be used: {error}") from error

    @classmethod
    def of(
        cls, script: Mapping[str, Any], *, clock: Callable[[], float] | None = None, made_up: str = "a script"
    ) -> ScriptedNvml:
        """The devices of a parsed script; `clock` replaces the one that starts now.

        Raises:
            ValueError, TypeError: it is no script.
        """
        began = time.monotonic()
        now = clock or (lambda: time.monotonic() - began)
        if not isinstance(script, Mapping) or not isinstance(script.get("devices"), Sequence):
            raise ValueError('it is no mapping with a list of "devices"')
        devices = [_gpu(device, now) for device in script["devices"]]
        if len({device.uuid for device in devices}) < len(devices):
            raise ValueError("two of its devices have the same uuid")
        return cls(devices=devices, made_up=made_up)


def _gpu(device: Mapping[str, Any], clock: Callable[[], float]) -> ScriptedGpu:
    if not isinstance(device, Mapping) or not isinstance(device.get("uuid"), str):
        raise ValueError('each of its devices needs a "uuid"')
    if not isinstance(device.get("name", ""), str):
        raise ValueError(f"the name of a device is no text: {device['name']!r}")
    _known(device, _KEYS, "of a device")
    given = {**device, "memory_used": device.get("memory", 0.0)}
    throttle = _entries(device, "throttle", (float, float, str))
    errors = _entries(device, "errors", (float, float, str, str))
    _known([entry[2] for entry in throttle], THROTTLES.values(), "as a reason to throttle")
    _known([entry[2] for entry in errors], _FAILING, "as a reading that fails")
    return ScriptedGpu(
        uuid=device["uuid"],
        name=device.get("name", "Scripted device"),
        clock=clock,
        curves={name: _curve(name, given.get(name, quiet)) for name, quiet in _QUIET.items()},
        throttle=throttle,
        listed=_entries(device, "processes", (float, float, int, int)),
        errors=errors,
        capacity=float(device.get("memory_total", 80 * 2**30)),
    )


def _known(names: Iterable[Any], known: Iterable[str], where: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"it knows no {name!r} {where}; {did_you_mean(str(name), known)}")


def _entries(device: Mapping[str, Any], name: str, kinds: Sequence[Callable[[Any], Any]]) -> list[Any]:
    """The entries of a list of the script, each with its parts of these kinds."""
    try:
        return [tuple(kind(part) for kind, part in zip(kinds, entry, strict=True)) for entry in device.get(name, ())]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no list of entries of {len(kinds)} parts: {device[name]!r}") from error


def _curve(name: str, given: Any) -> Curve:
    """A level, or points in order of time."""
    try:
        points = [(0, given)] if isinstance(given, int | float) else given
        curve = tuple((float(t), float(value)) for t, value in points)
    except (TypeError, ValueError):
        curve = ()
    times = [t for t, _ in curve]
    named = name.removesuffix("_used")
    if not curve or times != sorted(times) or not all(map(math.isfinite, chain.from_iterable(curve))):
        raise ValueError(f"{named} is neither a number nor points [t, value] in time: {given!r}")
    if name != "temperature" and min(value for _, value in curve) < 0:
        raise ValueError(f"{named} is below 0: {given!r}")
    return curve


def at(curve: Curve, t: float) -> float:
    """The curve's value: straight between its points, level before the first and after the last."""
    if t <= curve[0][0]:
        return curve[0][1]
    for (t0, v0), (t1, v1) in pairwise(curve):
        if t < t1:
            return v0 + (v1 - v0) * (t - t0) / (t1 - t0)
    return curve[-1][1]


def integral(curve: Curve, t: float) -> float:
    """∫ of the curve from 0 to `t`, exact."""
    edges = sorted({0.0, t, *(point for point, _ in curve if 0 < point < t)})
    # Two points at one time make a jump: what lies before it goes up to the value just before.
    total = 0.0
    for a, b in pairwise(edges):
        total += (at(curve, a) + at(curve, b - 1e-9)) / 2 * (b - a)
    return total
