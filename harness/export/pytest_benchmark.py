"""pytest-benchmark's JSON, which `pytest-benchmark compare` and github-action-benchmark's tool `pytest` read.

The format is what pytest-benchmark 5.3 writes (its `plugin.py`, `stats.py`): durations in seconds, one round per run.
github-action-benchmark takes `fullname`, `stats.ops`, `stats.mean`, `stats.stddev` and `stats.rounds` of it.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import InputError
from harness.export.given import Figures, Files, Given, figures, nothing, usual
from harness.records.metrics import METRICS, Metric

USUAL = "step_seconds_p50"
_VERSION = "5.3.1"
"""Of pytest-benchmark whose format this is."""


def files(given: Given) -> Files:
    """One benchmark per cell and metric, each run a round; metrics must be durations.

    Raises:
        InputError: a metric that is no duration, or nothing to export.
    """
    metrics = usual(given) if given.asked else [METRICS[USUAL]]
    if wrong := [one.name for one in metrics if one.unit != "s"]:
        durations = ", ".join(one.name for one in METRICS.values() if one.unit == "s")
        raise InputError.of(
            f"pytest-benchmark knows durations alone, not {', '.join(wrong)}", hint=f"durations are: {durations}"
        )
    found = [one for one in figures(given, metrics) if one.value > 0]
    if not found:
        raise nothing(", ".join(one.name for one in metrics))
    environment = _commonest(given)
    document = {
        "machine_info": _machine(environment),
        "commit_info": _commit(environment, given.suite),
        "benchmarks": [_benchmark(given, one, metrics) for one in found],
        "datetime": given.measured_at,
        "version": _VERSION,
    }
    return {"": json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"}


def _benchmark(given: Given, one: Figures, metrics: Sequence[Metric]) -> dict[str, Any]:
    name = f"{one.label}[{one.metric.name}]"
    return {
        "group": one.metric.name,
        "name": name,
        "fullname": f"{given.suite}::{name}",
        "params": {**one.levels, "metric": one.metric.name},
        "param": one.metric.name,
        "extra_info": {"seeds": list(one.values), "says": one.metric.says},
        "options": {"disable_gc": False, "timer": "harness", "min_rounds": len(one.values), "warmup": False},
        "stats": _stats(list(one.values.values())),
    }


def _stats(data: Sequence[float]) -> dict[str, Any]:
    """The fields that pytest-benchmark's readers need. Of a single run the deviation is 0, as it writes it."""
    q1, median, q3 = statistics.quantiles(data, n=4, method="inclusive") if len(data) > 1 else [data[0]] * 3
    mean, deviation = statistics.fmean(data), statistics.stdev(data) if len(data) > 1 else 0.0
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    within = [value for value in data if low <= value <= high]
    far = (
        sum(abs(value - mean) > deviation for value in data),
        len(data) - len(within),
    )
    return {
        "min": min(data),
        "max": max(data),
        "mean": mean,
        "stddev": deviation,
        "rounds": len(data),
        "median": median,
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": far[1],
        "stddev_outliers": far[0],
        "outliers": f"{far[0]};{far[1]}",
        "ld15iqr": min(within),
        "hd15iqr": max(within),
        "ops": 1 / mean,
        "total": math.fsum(data),
        "data": list(data),
        "iterations": 1,
    }


def _commonest(given: Given) -> Mapping[str, Any]:
    counts = Counter(trial.environment for trial in given.trials if trial.environment)
    return given.environments.get(min(counts, key=lambda key: (-counts[key], key)), {}) if counts else {}


def _machine(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What is recorded of the machine; it has no host name, so `node` is empty."""
    platform, cpu, device = (_part(environment, name) for name in ("platform", "cpu", "device"))
    return {
        "node": "",
        "processor": str(platform.get("machine") or ""),
        "machine": str(platform.get("machine") or ""),
        "python_implementation": str(environment.get("implementation") or ""),
        "python_version": str(environment.get("python") or ""),
        "release": str(platform.get("release") or ""),
        "system": str(platform.get("system") or ""),
        "cpu": {"brand_raw": str(cpu.get("model") or ""), "count": cpu.get("usable")},
        "device": {name: device[name] for name in ("name", "count", "driver") if name in device},
        "environment": environment.get("hash"),
    }


def _commit(environment: Mapping[str, Any], suite: str) -> dict[str, Any]:
    """The harness's own commit, where it ran from a working copy."""
    own = _part(environment, "harness")
    return {"id": own.get("commit"), "dirty": own.get("dirty"), "project": suite, "branch": None}


def _part(environment: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = environment.get(name)
    return found if isinstance(found, Mapping) else {}
