"""Memory beyond the means: where the peak fell, what ran out of memory, and how near the plan's figures came."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.models.memory import predict_forwarded
from harness.records.results import CellSummary, OutOfMemory, Prediction, TrialResult

PARTS = {
    "weights": "weight_memory",
    "reference": "reference_memory",
    "gradients": "gradient_memory",
    "optimizer": "optimizer_memory",
    "activations": "activation_memory",
    "peak": "peak_allocated",
    "device": "peak_device_memory",
}
"""Parts of memory as plans and pictures name them, and the metrics that measure them."""

_IN_A_STEP = ("train", "forward", "backward", "optimizer")


def peak_phases(trials: Iterable[TrialResult]) -> tuple[str, ...]:
    """The phases in which the peaks of these trials fell, the most frequent first."""
    phases = Counter(str(phase) for trial in trials if (phase := trial.facts.get("peak_phase")))
    return tuple(phase for phase, _ in phases.most_common())


def out_of_memory(trials: Sequence[TrialResult]) -> tuple[OutOfMemory, ...]:
    """Trials that ended for want of memory, by cell and phase, in the order of the trials."""
    groups: dict[tuple[str, str, str | None], list[TrialResult]] = {}
    for trial in trials:
        if trial.outcome == "oom":
            phase = _facts(trial).get("phase") or trial.phase
            groups.setdefault((trial.kind, trial.cell_id, phase), []).append(trial)
    return tuple(_one(phase, found) for (_, _, phase), found in groups.items())


def _one(phase: str | None, trials: Sequence[TrialResult]) -> OutOfMemory:
    device = next((str(found) for trial in trials if (found := _facts(trial).get("device")) is not None), None)
    requested = _largest(_facts(trial).get("requested_bytes") for trial in trials)
    own = "peak_allocated" if any("peak_allocated" in trial.metrics for trial in trials) else "peak_host_memory"
    return OutOfMemory(
        cell=trials[0].cell_name,
        kind=trials[0].kind,
        seeds=tuple(trial.seed for trial in trials),
        phase=phase,
        device=device,
        requested=requested,
        free=_largest(found.get("free") for found in map(_facts, trials) if found.get("requested_bytes") == requested),
        peak=_largest(trial.metrics.get(own) for trial in trials),
    )


def _facts(trial: TrialResult) -> Mapping[str, Any]:
    found = trial.facts.get("oom")
    return found if isinstance(found, Mapping) else {}


def _largest(values: Iterable[Any]) -> float | None:
    return max((float(value) for value in values if isinstance(value, int | float)), default=None)


def predictions(trials: Sequence[TrialResult], cells: Sequence[CellSummary]) -> tuple[Prediction, ...]:
    """Cells whose plan predicted memory, beside what was measured; those that ended neither ok nor oom are left out."""
    planned: dict[tuple[str, str], list[TrialResult]] = {}
    for trial in trials:
        if trial.outcome in ("ok", "oom") and isinstance(trial.config.get("predicted_memory"), Mapping):
            planned.setdefault((trial.kind, trial.cell_id), []).append(trial)
    found = (_prediction(cell, planned.get((cell.kind, cell.cell_id), [])) for cell in cells)
    return tuple(prediction for prediction in found if prediction is not None)


def _prediction(cell: CellSummary, trials: Sequence[TrialResult]) -> Prediction | None:
    """What was predicted for a cell, by its first trial's plan and for the largest batch of all that finished."""
    carried = trials[0].config["predicted_memory"] if trials else {}
    parts = _numbers(carried)
    measured = {part: cell.metrics[name].mean for part, name in PARTS.items() if name in cell.metrics}
    if not parts or not (cell.outcomes.get("oom") or set(parts) & set(measured)):
        return None
    batch = max(filter(None, map(_largest_batch, trials)), key=math.prod, default=None)
    again = predict_forwarded(trials[0].config, *batch).to_json() if batch and "peak" in measured else {}
    return Prediction(
        cell=cell.name,
        kind=cell.kind,
        predicted=parts,
        measured=measured,
        loose=bool(carried.get("loose")),
        batch=batch,
        forwarded=_numbers(again),
        outside=_outside(trials),
    )


def _outside(trials: Sequence[TrialResult]) -> str | None:
    """The phase outside of training steps in which the allocator's peak of some trial fell."""
    found = [trial.facts.get("peak_phases") for trial in trials if trial.outcome == "ok"]
    phases = [
        str(places["peak_allocated"]) for places in found if isinstance(places, Mapping) and "peak_allocated" in places
    ]
    return next((phase for phase in phases if phase not in _IN_A_STEP), None)


def _largest_batch(trial: TrialResult) -> tuple[int, int] | None:
    """Rows and length of the largest batch that an attempt which ended well forwarded."""
    found = trial.facts.get("largest_batch")
    if trial.outcome != "ok" or not isinstance(found, Mapping):
        return None
    rows, length = found.get("rows"), found.get("length")
    return (rows, length) if isinstance(rows, int) and isinstance(length, int) else None


def _numbers(parts: Mapping[str, Any]) -> dict[str, float]:
    found = {part: parts[part] for part in PARTS if isinstance(parts.get(part), int | float)}
    return {part: float(value) for part, value in found.items() if math.isfinite(value)}
