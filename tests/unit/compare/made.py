"""Plans and results made by hand: only what comparing and reporting look at."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.records.plan import Cell, Excluded, Kind, Plan, Trial
from harness.records.results import Curve, SuiteResults, TrialResult
from harness.records.suite import Decide, Replicates, Score, Setup, Suite

ACC = "score.arithmetic_mc.acc"
ENVIRONMENT = {
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


def cell(name: str, *, kind: Kind = "cell", **config: Any) -> Cell:
    """A cell whose method is the first part of its name."""
    method = None if kind == "floor" else "sft" if kind == "stage" else name.partition("-")[0]
    made = {"method": method, "model": {"shape": "tiny"}, "data": {"source": "arithmetic"}, **config}
    return Cell(id=f"{name}-id", name=name, kind=kind, levels={"recipe": name}, config=made)


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
