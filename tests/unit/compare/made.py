"""Plans and results made by hand: only what comparing and reporting look at."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.records.plan import Cell, Excluded, Kind, Plan, Trial
from harness.records.results import Curve, Finding, SuiteResults, Timeline, TrialResult
from harness.records.suite import Decide, Replicates, Score, Setup, Suite

ACC = "score.arithmetic_mc.acc"
ENVIRONMENT: dict[str, Any] = {
    "hash": "e1",
    "python": "3.11.7",
    "device": None,
    "cpu": {"model": "Some CPU", "count": 2, "usable": 2},
    "memory_bytes": 8 * 2**30,
    "platform": {"system": "Linux", "release": "6.1", "machine": "x86_64"},
    "packages": {"torch": "2.13.0", "transformers": "5.19.0", "trl": "1.16.0", "peft": "0.21.2", "lm-eval": "0.4.13"},
}


def suite(*, decide: Decide | None = None, tasks: Sequence[str] = ("arithmetic_mc",), seeds: int = 2) -> Suite:
    """A suite; its matrix is of no interest here, since the plan says what came of it."""
    return Suite(
        name="quick",
        question="SFT, DPO or ORPO?",
        file=Path("suites/quick.yaml"),
        base=Setup(),
        replicates=Replicates(seeds=list(range(seeds))),
        score=Score(tasks=list(tasks)) if tasks else None,
        decide=decide,
    )


def cell(name: str, *, kind: Kind = "cell", levels: Mapping[str, str] | None = None, **config: Any) -> Cell:
    """A cell whose method is the first part of its name."""
    method = None if kind == "floor" else "sft" if kind == "stage" else name.partition("-")[0]
    made = {"method": method, "model": {"shape": "tiny"}, "data": {"source": "arithmetic"}, **config}
    return Cell(id=f"{name}-id", name=name, kind=kind, levels=levels or {"recipe": name}, config=made)


def plan(cells: Sequence[Cell], *, of: Suite | None = None, seeds: int = 2, excluded: Sequence[Excluded] = ()) -> Plan:
    """Every cell with its seeds; stages and floors have one."""
    trials = [
        Trial(id=f"{one.name}-{seed}", name=f"{one.name}-s{seed}", cell=one, seed=seed)
        for one in cells
        for seed in range(seeds if one.kind == "cell" else 1)
    ]
    return Plan(suite=of or suite(seeds=seeds), cells=tuple(cells), trials=tuple(trials), excluded=tuple(excluded))


def result(trial: Trial, metrics: Mapping[str, float], **changes: Any) -> TrialResult:
    """A finished trial."""
    fields: dict[str, Any] = {
        "trial_id": trial.id,
        "cell_id": trial.cell.id,
        "name": trial.name,
        "cell_name": trial.cell.name,
        "kind": trial.cell.kind,
        "levels": trial.cell.levels,
        "seed": trial.seed,
        "method": trial.cell.config["method"],
        "outcome": "ok",
        "phase": None,
        "cause": None,
        "attempts": 1,
        "environment": "e1",
        "metrics": dict(metrics),
    }
    return TrialResult(**(fields | changes))


def results(trials: Sequence[TrialResult], **changes: Any) -> SuiteResults:
    """What the store would say."""
    fields: dict[str, Any] = {
        "suite": "quick",
        "question": "SFT, DPO or ORPO?",
        "suite_file": "suites/quick.yaml",
        "trials": tuple(trials),
        "curves": (),
        "environments": {"e1": ENVIRONMENT},
        "score_backends": ("hf",),
    }
    return SuiteResults(**(fields | changes))


def figures_of(values: Mapping[str, Sequence[float]], metric: str = ACC) -> tuple[Plan, SuiteResults]:
    """Cells by name with one figure per seed, and their plan."""
    cells = [cell(name) for name in values]
    made = plan(cells, seeds=max(len(found) for found in values.values()))
    found = [
        result(trial, {metric: values[trial.cell.name][trial.seed]})
        for trial in made.trials
        if trial.seed < len(values[trial.cell.name])
    ]
    return made, results(found)


def whole(steps: int = 60) -> tuple[Plan, SuiteResults]:
    """Something like the quickstart: a floor, a stage, three methods with and without LoRA; one trial went oom."""
    cells = [cell("floor", kind="floor"), cell("base", kind="stage")]
    cells += [cell(name) for name in ("sft", "sft-lora8", "dpo", "dpo-lora8", "orpo", "orpo-lora8")]
    excluded = [Excluded(name="dpo-packing", levels={"recipe": "dpo"}, reason="TRL has no packing for DPO")]
    made = plan(cells, excluded=excluded)
    found, curves = [], []
    for trial in made.trials:
        chance = random.Random(trial.name)
        method, lora = trial.cell.config["method"], "lora" in trial.cell.name
        if trial.name == "orpo-s1":
            changes = {"phase": "train", "cause": "out of memory: 1.50 GiB asked for | 0.2 GiB free"}
            found.append(result(trial, {}, outcome="oom", **changes))
            continue
        found.append(result(trial, _metrics(trial, chance), notes=("data.rows asks for 4000 rows; there are 3500",)))
        if trial.cell.kind != "floor":
            curves += _curves(trial, steps, chance, preference=method != "sft", slow=lora)
    return made, results(found, curves=tuple(curves))


def on_a_device() -> tuple[Plan, SuiteResults]:
    """Something like a memory suite on one GPU: batch sizes with and without checkpointing, the largest without is oom.

    Its figures were predicted; one trial was disturbed, and the health of another gives reason to look.
    """
    cells = [
        cell(f"sft-gc_{checkpointing}-batch{batch}", levels={"gc": checkpointing, "batch": str(batch)})
        for checkpointing in ("on", "off")
        for batch in (1, 4, 16)
    ]
    made = plan(cells)
    found, timelines = [], []
    for trial in made.trials:
        chance = random.Random(trial.name)
        batch, off = int(trial.cell.levels["batch"]), trial.cell.levels["gc"] == "off"
        activations = batch * (6.1 if off else 1.9) * GIB
        config = {"predicted_memory": {**PARTS, "activations": 0.9 * activations, "peak": HELD + 0.9 * activations}}
        if off and batch == 16:
            facts = {"oom": {"phase": "forward", "requested_bytes": 3 * GIB, "device": "device 0", "free": GIB}}
            metrics = {"peak_allocated": 75.4 * GIB, "peak_reserved": 78 * GIB}
            found.append(result(trial, metrics, outcome="oom", phase="train", cause="out", facts=facts, config=config))
            timelines.append(_timeline(trial, [HELD, 70 * GIB, 75.4 * GIB]))
            continue
        kernel = {"attention": "flash" if off else "sdpa", "gradient_checkpointing": not off}
        changes: dict[str, Any] = {
            "active": kernel,
            "facts": {"peak_phase": "backward" if off else "optimizer"},
            "config": config,
        }
        if trial.name == "sft-gc_on-batch4-s1":
            changes["disturbed"] = ("throttled: sw_thermal in 31% of the window", "another process was on the device")
        if off:
            spike = f"the loss jumped to {4 + trial.seed}.21, from a median of 1.13 in the logs before"
            changes["findings"] = (
                Finding(name="loss_spike", step=40 + trial.seed, level="warning", text=spike),
                Finding(name="loss_spike", step=90, level="warning", text=spike.replace("1.13", "1.02")),
            )
        if batch < 16:
            text = "the gradient norm is below 0.1 in 20 of 95 logs after warm-up; 0.02 at step 61"
            changes["findings"] = (
                *changes.get("findings", ()),
                Finding(name="gradient_norm", step=7, level="info", text=text),
            )
        found.append(result(trial, _on_a_device(batch, activations, chance, off=off), **changes))
        timelines.append(_timeline(trial, [HELD, *[HELD + activations] * 4]))
    return made, results(found, timelines=tuple(timelines), score_backends=())


GIB = 2.0**30
PARTS = {"weights": 0.92 * GIB, "gradients": 0.92 * GIB, "optimizer": 1.84 * GIB}
HELD = sum(PARTS.values())


def _on_a_device(batch: int, activations: float, chance: random.Random, *, off: bool) -> dict[str, float]:
    rate = 41000 * batch / (batch + 3) * (1.25 if off else 1) * chance.uniform(0.99, 1.01)
    return {
        "tokens_per_second": rate,
        "tokens_per_second_per_device": rate,
        "step_seconds_p50": 0.021 * batch,
        "step_seconds_p90": 0.022 * batch,
        "step_seconds_p99": 0.031 * batch,
        "device_step_seconds_p50": 0.0205 * batch,
        "data_share": 0.0123,
        "train_seconds": 61.0,
        "startup_seconds": 2.4,
        "import_seconds": 0.02,
        "model_seconds": 1.1,
        "data_seconds": 0.4,
        "trainer_seconds": 0.5,
        "first_step_seconds": 0.38,
        "weight_memory": PARTS["weights"],
        "gradient_memory": PARTS["gradients"],
        "optimizer_memory": PARTS["optimizer"],
        "activation_memory": activations,
        "peak_allocated": HELD + activations + 0.5 * GIB,
        "peak_reserved": 1.07 * (HELD + activations),
        "peak_device_memory": 1.07 * (HELD + activations) + 0.5 * GIB,
        "peak_host_memory": 3.2 * GIB,
        "model_flops_per_second": rate * 3.1e9,
        "mfu": rate * 3.1e9 / 989e12,
        "hfu": rate * (3.1e9 if off else 4.1e9) / 989e12,
        "energy": 24000.0 * chance.uniform(0.98, 1.02),
        "energy_per_token": 390 / rate * chance.uniform(0.98, 1.02),
        "mean_power": 391.0,
        "mean_device_utilization": 0.93,
        "mean_sm_clock": 1890.0,
        "max_temperature": 61.0,
        "final_loss": 1.1,
    }


def _timeline(trial: Trial, values: Sequence[float]) -> Timeline:
    times = [2.0 * (place + 1) for place in range(len(values))]
    return Timeline(trial_id=trial.id, metric="device_allocated_peak", times=times, values=tuple(values))


def _metrics(trial: Trial, chance: random.Random) -> dict[str, float]:
    accuracy = {"floor": 0.252, "base": 0.93, "sft": 0.955, "sft-lora8": 0.94, "dpo": 0.985, "dpo-lora8": 0.97}
    metrics = {ACC: accuracy.get(trial.cell.name, 0.962) + chance.uniform(-0.008, 0.008)}
    if trial.cell.kind == "floor":
        return metrics
    lora = "lora" in trial.cell.name
    slow = {"sft": 1.0, "dpo": 1.9, "orpo": 1.4}[str(trial.cell.config["method"])]
    metrics |= {
        "final_loss": 0.4 * slow * chance.uniform(0.95, 1.05),
        "tokens_per_second": 21000 / slow * (1.15 if lora else 1) * chance.uniform(0.97, 1.03),
        "peak_host_memory": (620 + 90 * slow - 110 * lora) * 2**20 * chance.uniform(0.995, 1.005),
        "train_seconds": 9.5 * slow * (0.9 if lora else 1) * chance.uniform(0.97, 1.03),
        "startup_seconds": 0.6 + 0.1 * slow,
    }
    if slow > 1:
        metrics["final_reward_margin"] = 1.2 * slow * chance.uniform(0.9, 1.1)
    return metrics


def _curves(trial: Trial, steps: int, chance: random.Random, *, preference: bool, slow: bool) -> list[Curve]:
    def curve(metric: str, values: Sequence[float]) -> Curve:
        return Curve(
            trial_id=trial.id,
            cell_name=trial.cell.name,
            seed=trial.seed,
            metric=metric,
            steps=tuple(range(1, steps + 1)),
            values=tuple(values),
        )

    rate = (2 if slow else 4) / steps
    top = 0.69 if trial.cell.config["method"] == "dpo" else 5.4 if trial.cell.kind == "stage" else 2.1
    made = [curve("loss", [top * (0.1 + math.exp(-rate * s)) * chance.uniform(0.94, 1.06) for s in range(steps)])]
    if preference:
        margins = [2 * (1 - math.exp(-rate * s)) + chance.uniform(-0.1, 0.1) for s in range(steps)]
        made.append(curve("rewards/margins", margins))
    return made
