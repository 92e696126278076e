"""What an earlier run left: attempts nobody closed, trials that are finished, and what is to run now."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from harness.errors import HeldError, Problem
from harness.execute import disk
from harness.execute.record import abandoned, write_spec
from harness.records.outcome import Outcome
from harness.records.plan import Plan, Trial
from harness.records.run_folder import Attempt, RunFolder
from harness.records.spec import Spec

Retry = Literal["none", "failed", "disturbed"]

_RESULTS = frozenset({"oom", "diverged", "timeout", "crashed"})
"""Bad ends that are results: kept, and tried again only when asked. `interrupted` and `skipped` say nothing."""

_PATIENCE_S = 3.0
"""How long a killed run's worker may take to disappear."""


def close_abandoned(folder: RunFolder) -> bool:
    """Closes attempts without a readable outcome as `interrupted`; whether there were any.

    Raises:
        HeldError: such an attempt is still being trained by another process.
        FolderError: the outcome could not be written.
    """
    found = [attempt for attempt in folder.attempts() if attempt.outcome() is None]
    for attempt in found:
        if _alive(attempt):
            raise _being_trained(folder, attempt)
        with disk.writing(attempt.outcome_file):
            attempt.close(abandoned(attempt, damaged=attempt.set_damaged_aside()))
    if found:
        folder.unpublished().clear()
    return bool(found)


def _alive(attempt: Attempt) -> bool:
    """Whether a worker still has this attempt's log locked, after giving a dying one time to go."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with attempt.log.open("rb") as log:
                fcntl.flock(log, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return True
            time.sleep(0.05)
        except OSError:
            return False
        else:
            return False


def _being_trained(folder: RunFolder, attempt: Attempt) -> HeldError:
    return HeldError(
        problems=(
            Problem(
                what=f"trial {folder.path.name} is being trained by another process",
                why=f"{attempt.path} has no outcome and its log is in use (its command.sh, in another terminal?)",
                hint="wait until it has ended, or stop it; then run the same command again",
            ),
        )
    )


def finished(plan: Plan, folders: Mapping[str, RunFolder], *, retry: Retry, force: bool) -> dict[str, Outcome]:
    """The trials of the plan that need not run, with the outcome that counts, by trial id.

    A trial runs when it was never attempted, or ended `interrupted` or `skipped`; with `retry="failed"` also when it
    ended otherwise than it is meant to, with `retry="disturbed"` also when the attempt that counts was disturbed,
    however it ended; with `force` always. A finished trial whose checkpoint is gone runs again only if another one that
    is to run starts from it: its figures stand without the weights.
    """
    if force:
        return {}
    kept: dict[str, Outcome] = {}
    wanted: set[str] = set()  # trials whose checkpoint a trial that runs starts from
    for trial in reversed(plan.trials):
        outcome = folders[trial.id].outcome()
        if _stands(trial, outcome, retry) and not _lost(trial, outcome, folders[trial.id].checkpoint, wanted):
            assert outcome is not None
            kept[trial.id] = outcome
        elif trial.needs is not None:
            wanted.add(trial.needs)
    return {trial.id: kept[trial.id] for trial in plan.trials if trial.id in kept}


def mend(folder: RunFolder, spec: Spec) -> bool:
    """Writes spec.json anew where it is damaged, missing or of another trial; whether it was.

    Raises:
        FolderError: it could not be written.
    """
    if (folder.spec() or {}).get("trial_id") == spec.trial_id:
        return False
    with disk.writing(folder.path):
        write_spec(folder, spec)
    return True


def _stands(trial: Trial, outcome: Outcome | None, retry: Retry) -> bool:
    if outcome is None or (retry == "disturbed" and outcome.disturbed):
        return False
    kept = outcome.outcome == trial.expect or retry != "failed"
    return kept and (outcome.outcome == "ok" or (outcome.outcome in _RESULTS and not outcome.killed))


def _lost(trial: Trial, outcome: Outcome | None, checkpoint: Path, wanted: set[str]) -> bool:
    fine = outcome is not None and outcome.outcome == "ok"
    return fine and trial.id in wanted and not checkpoint.is_dir()
