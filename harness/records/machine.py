"""The machine of an environment.json in words, as far as speed and memory belong to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.records.results import SuiteResults, TrialResult


def machine(environment: Mapping[str, Any]) -> str | None:
    """`2 × NVIDIA H100 80GB HBM3`, or `AMD EPYC 7763, 8 usable` where there is no device; None where neither is told.

    Two machines of one description are taken for the same; power limits, drivers and packages are told as what else
    differs.
    """
    device = environment.get("device")
    if isinstance(device, Mapping) and device.get("name"):
        count = device.get("count")
        return f"{count} × {device['name']}" if isinstance(count, int) and count > 1 else str(device["name"])
    cpu = environment.get("cpu")
    if not isinstance(cpu, Mapping) or not cpu.get("model"):
        return None
    usable = cpu.get("usable")
    return f"{cpu['model']}, {usable} usable" if usable else str(cpu["model"])


def machine_of(trial: TrialResult, results: SuiteResults) -> str | None:
    """That of one trial; None where nothing is known of its environment."""
    return machine(results.environments.get(trial.environment or "", {}))


def machines_of(trials: Iterable[TrialResult], results: SuiteResults) -> tuple[str, ...]:
    """Those of several trials, each once, sorted."""
    return tuple(sorted({name for trial in trials if (name := machine_of(trial, results)) is not None}))
