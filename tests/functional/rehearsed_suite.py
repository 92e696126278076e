"""Runs a suite of rehearsals in real worker processes: `python rehearsed_suite.py RESULTS TRIALS.json`.

TRIALS.json maps each trial's name to the `train` of `harness.worker.rehearsal`; `needs` in it names a stage. Prints one
JSON line per attempt and per shown step, and ends with the exit code the CLI would end with.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.execute import Limits, LocalEngine, execute
from harness.records.outcome import Outcome
from harness.records.plan import Cell, Plan, Trial
from harness.records.progress import Live, Silent
from harness.records.spec import Spec
from harness.records.suite import Setup, Suite


class Printing(Silent):
    """Tells who started this what happens."""

    def started(self, trial: Trial, attempt: int) -> None:
        print(json.dumps({"started": trial.name, "attempt": attempt}), flush=True)

    def live(self, state: Live) -> None:
        if state.step:
            print(json.dumps({"step": state.step, "trial": state.trial.name}), flush=True)

    def finished(self, trial: Trial, outcome: Outcome, *, will_retry: bool) -> None:
        print(json.dumps({"finished": trial.name, "outcome": outcome.outcome}), flush=True)


def make_trial(name: str, needs: str | None) -> Trial:
    cell = Cell(id=f"c-{name}", name=name, kind="cell", levels={}, config={})
    return Trial(id=name, name=name, cell=cell, seed=0, needs=needs)


def make_spec(trial: Trial, train: dict[str, Any]) -> Spec:
    return Spec(
        suite="rehearsed",
        suite_file="rehearsed.yaml",
        trial_id=trial.id,
        cell_id=trial.cell.id,
        name=trial.name,
        cell_name=trial.name,
        kind="cell",
        levels={},
        seed=0,
        method="sft",
        model={},
        data={},
        train=train,
        lora=None,
        start=None,
        warmup_steps=0,
        timeout_s=float(train.get("timeout_s", 60)),
        host_memory=None,
        retries=1,
        checkpoint="keep",
    )


def main() -> int:
    results, described = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    trials = tuple(make_trial(name, train.get("needs")) for name, train in described.items())
    suite = Suite(name="rehearsed", question="?", file=Path("rehearsed.yaml"), base=Setup())
    try:
        execute(
            Plan(suite=suite, cells=tuple(trial.cell for trial in trials), trials=trials),
            {trial.id: make_spec(trial, described[trial.name]) for trial in trials},
            results,
            engine=LocalEngine(preload="none", train="harness.worker.rehearsal:train"),
            observer=Printing(),
            limits=Limits(poll_s=0.02, grace_s=1.0),
        )
    except HarnessError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
