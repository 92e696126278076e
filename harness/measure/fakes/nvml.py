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

The energy counter is the exact integral of the power. What an entry does not name has a quiet default.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.measure.nvml import NAMES, NvmlError

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
_START_ENERGY = 1000.0
"""J on the counter when the script is opened: no driver has counted from zero."""


@dataclass
class FakeNvml:
    """Bytes used on each device as told, by UUID; `broken` makes it fail as a lost driver does."""

    now: dict[str, int]
    broken: bool = False

    def used(self) -> Mapping[str, int]:
        if self.broken:
            raise RuntimeError("Driver/library version mismatch")
        return dict(self.now)


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
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NvmlError(f"the script {path} cannot be used: {error!r}") from error

    @classmethod
    def of(
        cls, script: Mapping[str, Any], *, clock: Callable[[], float] | None = None, made_up: str = "a script"
    ) -> ScriptedNvml:
        """The devices of a parsed script; `clock` replaces the one that starts now."""
        began = time.monotonic()
        now = clock or (lambda: time.monotonic() - began)
        return cls(devices=[_gpu(device, now) for device in script["devices"]], made_up=made_up)


def _gpu(device: Mapping[str, Any], clock: Callable[[], float]) -> ScriptedGpu:
    given = {**device, "memory_used": device.get("memory", 0.0)}
    return ScriptedGpu(
        uuid=device["uuid"],
        name=device.get("name", "Scripted device"),
        clock=clock,
        curves={name: _curve(given.get(name, quiet)) for name, quiet in _QUIET.items()},
        throttle=[(float(begin), float(end), str(reason)) for begin, end, reason in device.get("throttle", ())],
        listed=[(float(a), float(b), int(pid), int(size)) for a, b, pid, size in device.get("processes", ())],
        errors=[(float(a), float(b), str(of), str(text)) for a, b, of, text in device.get("errors", ())],
        capacity=float(device.get("memory_total", 80 * 2**30)),
    )


def _curve(given: Any) -> Curve:
    if isinstance(given, int | float):
        return ((0.0, float(given)),)
    return tuple((float(t), float(value)) for t, value in given)


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
