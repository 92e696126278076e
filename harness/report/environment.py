"""The environments a report's trials ran in, shortened to what decides results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from harness.records.figures import said
from harness.records.results import Answer
from harness.report.format import NONE, text
from harness.report.tables import table

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes", "lm-eval", "trl-harness")


def environment_table(answer: Answer) -> str:
    """One column per environment; parts that none of them tells are left out. Empty without environments."""
    trials = Counter(trial.environment for trial in answer.trials)
    keys = sorted(answer.environments, key=lambda key: (-trials[key], key))
    if not keys:
        return ""
    columns = [{"trials": str(trials[key])} | _parts(answer.environments[key]) for key in keys]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [[name, *(text(column.get(name, NONE)) for column in columns)] for name in names]
    return table(["", *(f"`{key[:10]}`" for key in keys)], rows, ["left"] * (len(keys) + 1))


def _parts(content: Mapping[str, Any]) -> dict[str, str]:
    parts = {
        "environment": _declared(content.get("environment")),
        "engine": content.get("engine"),
        "device": _device(content),
        "processor": _processor(content.get("cpu")),
        "memory": said("peak_host_memory", memory) if isinstance(memory := content.get("memory_bytes"), int) else None,
        "system": _system(content.get("platform")),
        "python": content.get("python"),
    }
    packages = content.get("packages")
    if isinstance(packages, Mapping):
        parts |= {name: packages.get(name) for name in _PACKAGES}
    commit = _commit(content.get("editable"))
    return {name: str(value) for name, value in (parts | {"commit": commit}).items() if value}


def _device(content: Mapping[str, Any]) -> str | None:
    device = content.get("device")
    if isinstance(device, Mapping):
        count = device.get("count")
        many = f"{count} × " if isinstance(count, int) and count > 1 else ""
        driver = f", driver {device['driver']}" if device.get("driver") else ""
        return f"{many}{device.get('name', 'unknown')}{driver}"
    return str(device) if device else "CPU"


def _declared(told: Any) -> str | None:
    """The suite's environment by its name, and its lock by its first digits; None for the harness's own."""
    if not isinstance(told, Mapping):
        return None
    lock = told.get("lock_hash")
    return f"{told.get('name')}{f', lock {str(lock)[:10]}' if lock else ''}"


def _processor(cpu: Any) -> str | None:
    if not isinstance(cpu, Mapping):
        return None
    usable = cpu.get("usable") or cpu.get("count")
    return f"{cpu.get('model', 'unknown')}{f', {usable} usable' if usable else ''}"


def _system(platform: Any) -> str | None:
    if isinstance(platform, Mapping):
        return " ".join(str(platform[key]) for key in ("system", "release", "machine") if platform.get(key))
    return str(platform) if platform else None


def _commit(editable: Any) -> str | None:
    """The commit of the harness where it is installed from a folder, and whether that folder had changes."""
    found = editable.get("trl-harness") if isinstance(editable, Mapping) else None
    if not isinstance(found, Mapping) or not found.get("commit"):
        return None
    return f"{str(found['commit'])[:12]}{' with changes' if found.get('dirty') else ''}"
