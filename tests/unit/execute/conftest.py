"""Small plans with their specs, for engines that do not train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.execute import DebugEngine, Engine, Limits, execute
from harness.records.outcome import Outcome
from harness.records.plan import Cell, Kind, Plan, Trial
from harness.records.progress import Silent
from harness.records.run_folder import RunFolder
from harness.records.spec import Spec
from harness.records.suite import Setup, Suite


@dataclass
class Bench:
    """A results folder, a plan that grows by `trial`, and one call to run it."""

    results: Path
    trials: list[Trial] = field(default_factory=list)
    specs: dict[str, Spec] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)

    def trial(
        self,
        name: str,
        *,
        kind: Kind = "cell",
        needs: str | None = None,
        train: Mapping[str, Any] | None = None,
        method: str | None = "sft",
        retries: int = 1,
        timeout_s: float = 60.0,
        host_memory: int | None = None,
        checkpoint: str = "keep",
        save_every: float | None = None,
        seed: int = 0,
    ) -> Trial:
        cell = Cell(id=f"c-{name}", name=name, kind=kind, levels={}, config={})
        trial = Trial(id=f"t-{name}", name=name, cell=cell, seed=seed, needs=f"t-{needs}" if needs else None)
        self.trials.append(trial)
        self.specs[trial.id] = Spec(
            suite="bench",
            suite_file="bench.yaml",
            trial_id=trial.id,
            cell_id=cell.id,
            name=name,
            cell_name=name,
            kind=kind,
            levels={},
            seed=seed,
            method=method,
            model={"shape": "tiny"},
            data={"source": "arithmetic"},
            train={"max_steps": 8} if train is None else train,
            lora=None,
            start=f"../t-{needs}/checkpoint" if needs else None,
            warmup_steps=2,
            timeout_s=timeout_s,
            host_memory=host_memory,
            retries=retries,
            checkpoint=checkpoint,
            save_every=save_every,
        )
        return trial

    @property
    def plan(self) -> Plan:
        suite = Suite(name="bench", question="?", file=Path("bench.yaml"), base=Setup())
        return Plan(suite=suite, cells=tuple(trial.cell for trial in self.trials), trials=tuple(self.trials))

    def folder(self, name: str) -> RunFolder:
        return RunFolder(self.results / "bench" / f"t-{name}")

    def run(
        self, engine: Engine | None = None, *, observer: Any = None, limits: Limits | None = None, **options: Any
    ) -> dict[str, Outcome]:
        """Executes the plan; outcomes by trial name."""
        self.changed.clear()
        outcomes = execute(
            self.plan,
            self.specs,
            self.results,
            engine=engine or DebugEngine(),
            observer=observer or Silent(),
            on_finished=lambda folder: self.changed.append(folder.path.name.removeprefix("t-")),
            limits=limits or Limits(poll_s=0.02, grace_s=0.2),
            **options,
        )
        return {trial.name: outcomes[trial.id] for trial in self.trials if trial.id in outcomes}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(results=tmp_path / "results")


@pytest.fixture
def make_bench() -> Callable[[Path], Bench]:
    return lambda results: Bench(results=results)
