"""How far suites are, told from their folders alone: no database, nothing but reading, from any terminal.

`results/<suite>/plan.json` is written when a run begins and says which trials it is about.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.execute.live import Tail
from harness.execute.lock import holder
from harness.execute.session import doing, in_trials
from harness.records.plan import Plan
from harness.records.run_folder import Attempt, RunFolder, read_json, run_folders, searched_by, suite_folder, write_json


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """The trial being trained at this moment; unknown figures are None."""

    name: str
    attempt: int
    phase: str | None
    step: int | None
    max_steps: int | None
    tokens_per_second: float | None
    loss: float | None
    host_memory: int | None  # bytes
    elapsed_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SuiteStatus:
    """One suite: who runs it, how many trials of its last run ended how, and which is running.

    Where a command searches in it (`search`), trials are all there are so far, and nobody knows how many there will be.
    """

    suite: str
    suite_file: str | None
    started_at: str | None  # of the last run, ISO 8601 UTC
    holder: dict[str, Any] | None  # {pid, host, started_at, command, user} while a run goes on
    total: int
    outcomes: dict[str, int]  # outcome → number of trials
    running: Running | None
    doing: str | None = None  # outside trials, or beside them: "scoring 3/15 …"
    disturbed: int = 0  # trials whose figures something disturbed
    made_up: int = 0  # trials of the debug engine, which trains nothing
    search: str | None = None  # the command that chooses its trials one after the other

    @property
    def done(self) -> int:
        """Trials that have ended; an interrupted one runs again."""
        return sum(self.outcomes.values()) - self.outcomes.get("interrupted", 0)


def write_plan(results: Path, plan: Plan) -> None:
    """Writes plan.json, so that `status` knows what the run is about."""
    write_json(
        _plan_file(results, plan.suite.name),
        {
            "suite": plan.suite.name,
            "suite_file": str(plan.suite.file),
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "trials": [{"id": trial.id, "name": trial.name, "kind": trial.cell.kind} for trial in plan.trials],
        },
    )


def status(results: Path, suite: str | None = None) -> list[SuiteStatus]:
    """The state of one suite or of every suite in `results`, by name; empty when there is none."""
    if suite is not None:
        return [_status(results, suite)] if suite_folder(results, suite).is_dir() else []
    if not results.is_dir():
        return []
    names = sorted(entry.name for entry in results.iterdir() if entry.is_dir())
    found = (_status(results, name) for name in names)
    return [one for one in found if one.total]


def _status(results: Path, suite: str) -> SuiteStatus:
    planned = read_json(_plan_file(results, suite)) or {}
    search = searched_by(suite)
    # Of a search the plan is the last trial's alone.
    names = {} if search else {str(trial["id"]): str(trial["name"]) for trial in planned.get("trials", [])}
    folders = {folder.path.name: folder for folder in run_folders(results, suite)}
    trials = names or {trial: str((folder.spec() or {}).get("name", trial)) for trial, folder in folders.items()}
    who = holder(results, suite)
    said = doing(results, suite) if who is not None else None
    training = who is not None and in_trials(results, suite)
    counts: dict[str, int] = {}
    disturbed = made_up = 0
    running = None
    for trial, name in trials.items():
        folder = folders.get(trial)
        attempt = folder.last_attempt() if folder else None
        outcome = folder.outcome() if folder else None
        if training and attempt and attempt.outcome() is None:
            running = _running(name, attempt)
        elif outcome:
            counts[outcome.outcome] = counts.get(outcome.outcome, 0) + 1
            disturbed += bool(outcome.disturbed)
            made_up += folder is not None and _made_up(folder)
    return SuiteStatus(
        suite=suite,
        suite_file=planned.get("suite_file"),
        started_at=planned.get("started_at"),
        holder=who,
        total=len(trials),
        outcomes=counts,
        running=running,
        doing=said,
        disturbed=disturbed,
        made_up=made_up,
        search=search,
    )


def _made_up(folder: RunFolder) -> bool:
    return (read_json(folder.environment_file) or {}).get("engine") == "debug"


def _running(name: str, attempt: Attempt) -> Running:
    tail = Tail(attempt.events)
    tail.read()
    return Running(
        name=name,
        attempt=attempt.number,
        phase=tail.phase,
        step=tail.step,
        max_steps=tail.max_steps,
        tokens_per_second=tail.tokens_per_second,
        loss=tail.loss,
        host_memory=tail.host_memory,
        elapsed_s=max(time.time() - attempt.path.parent.stat().st_mtime, 0.0),  # a new attempt touches its parent
    )


def _plan_file(results: Path, suite: str) -> Path:
    return suite_folder(results, suite) / "plan.json"
