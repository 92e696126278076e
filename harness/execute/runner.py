"""Runs a plan: every trial that is not finished, in order, whatever happens to any of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError
from harness.execute import disk, record, resume
from harness.execute.engine import Engine
from harness.execute.interrupts import Interrupts
from harness.execute.session import Session, interrupted, session
from harness.execute.status import write_plan
from harness.execute.supervise import LAST_WORDS, Limits, Watch
from harness.records.figures import called
from harness.records.outcome import Outcome
from harness.records.plan import Plan, Trial
from harness.records.progress import Observer
from harness.records.run_folder import RunFolder, suite_folder
from harness.records.spec import Spec


def execute(
    plan: Plan,
    specs: Mapping[str, Spec],
    results: Path,
    *,
    engine: Engine,
    observer: Observer,
    retry: resume.Retry = "none",
    force: bool = False,
    on_finished: Callable[[RunFolder], None] | None = None,
    limits: Limits | None = None,
    within: Session | None = None,
) -> dict[str, Outcome]:
    """Trains what is not finished and returns how every trial of the plan ended, by trial id.

    `specs` holds the spec of every trial, by id. `on_finished` is called with each run folder that changed, once
    its trial has ended. Finished trials do not run again (see `resume.finished`); an attempt that `crashed` is
    repeated up to `spec.retries` times, unless it is certain to end so again; no other outcome is. Trials that start
    from a stage that failed are `skipped`.
    The engine is closed at the end, however it comes. To be called from the main thread, where signals arrive.
    `within` is the session that holds the suite already; without one it is held for the call.

    Raises:
        HeldError: another process runs this suite; nothing was done.
        FolderError: the results cannot be written (nothing ran), or the disk filled up (what was finished is kept).
        InputError: the engine cannot run attempts at all.
        Interrupted: the user stopped the run; the running attempt is recorded, and running again resumes.
    """
    here = suite_folder(results, plan.suite.name)
    run = _Run(
        plan=plan,
        results=results,
        specs=specs,
        folders={trial.id: RunFolder(here / trial.id) for trial in plan.trials},
        engine=engine,
        observer=observer,
        changed=on_finished or (lambda folder: None),
        limits=limits or Limits(),
    )
    held = nullcontext(within) if within else session(results, plan.suite.name)
    with held as current, closing(engine):
        run.interrupts, run.id = current.interrupts, current.id
        run.all(retry=retry, force=force)
    return run.outcomes


@dataclass(kw_only=True, slots=True)
class _Run:
    """One call of `execute`."""

    plan: Plan
    results: Path
    specs: Mapping[str, Spec]
    folders: Mapping[str, RunFolder]
    engine: Engine
    observer: Observer
    changed: Callable[[RunFolder], None]
    limits: Limits
    interrupts: Interrupts = field(default_factory=Interrupts)
    id: str | None = None
    force: bool = False
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def all(self, *, retry: resume.Retry, force: bool) -> None:
        self.force = force
        for trial in self.plan.trials:
            if resume.close_abandoned(self.folders[trial.id]):
                self.changed(self.folders[trial.id])
        self.outcomes |= resume.finished(self.plan, self.folders, retry=retry, force=force)
        with disk.writing(self.results):
            write_plan(self.results, self.plan)
        self.observer.planned(self.plan.trials, dict(self.outcomes))
        self._mend_specs()
        self._tell_lost_checkpoints()
        self._tell_other_steps()
        to_run = [trial for trial in self.plan.trials if trial.id not in self.outcomes]
        if to_run:
            self.engine.warm(self.specs[to_run[0].id])
        for trial in to_run:
            self._check_interrupt()
            self.outcomes[trial.id] = self._one(trial)
            self.changed(self.folders[trial.id])
        self._check_interrupt()

    def _one(self, trial: Trial) -> Outcome:
        """The trial's last attempt in this run, or why there is none."""
        obstacle = self._obstacle(trial)
        if obstacle is not None:
            outcome = record.skipped(self.folders[trial.id], self.specs[trial.id], obstacle, self.id, again=self.force)
            self.observer.finished(trial, outcome, will_retry=False)
            return outcome
        left = self.specs[trial.id].retries
        while True:
            outcome = self._attempt(trial)
            again = outcome.outcome == "crashed" and not outcome.certain and left > 0 and not self.interrupts.stop
            again = again and self.engine.obstacle(self.specs[trial.id]) is None
            self.observer.finished(trial, outcome, will_retry=again)
            if not again:
                return outcome
            left -= 1

    def _attempt(self, trial: Trial) -> Outcome:
        spec, folder = self.specs[trial.id], self.folders[trial.id]
        attempt = record.prepare(folder, spec, self.id)
        self.observer.started(trial, attempt.number)
        try:
            watch = Watch(
                trial=trial,
                spec=spec,
                attempt=attempt,
                handle=self.engine.start(spec, folder, attempt),
                observer=self.observer,
                interrupts=self.interrupts,
                limits=self.limits,
            )
            return watch.outcome()
        except HarnessError as error:
            record.broken_off(attempt, error)
            with contextlib.suppress(HarnessError):  # a full disk is the store's too: the first error is to be told
                self.changed(folder)
            raise
        finally:
            folder.unpublished().clear()  # a worker that was killed could not

    def _obstacle(self, trial: Trial) -> str | None:
        """Why the trial cannot start: its environment cannot be had, the stage it starts from did not end well, or
        left no checkpoint.
        """
        unable = self.engine.obstacle(self.specs[trial.id])
        if unable is not None or trial.needs is None:
            return unable
        stage = self.folders.get(trial.needs) or RunFolder(self.folders[trial.id].path.parent / trial.needs)
        named = next((other.name for other in self.plan.trials if other.id == trial.needs), trial.needs)
        name = called("stage", named)
        outcome = self.outcomes.get(trial.needs) or stage.outcome()
        if outcome is None:
            return f"{name} has not been trained"
        if outcome.outcome != "ok":
            cause, _, _ = (outcome.cause or "").partition(LAST_WORDS)
            return f"{name} ended {outcome.outcome}" + (f": {cause}" if cause else "")
        return None if stage.checkpoint.is_dir() else f"{name} left no checkpoint"

    def _check_interrupt(self) -> None:
        if not self.interrupts.stop:
            return
        done = sum(outcome.outcome != "interrupted" for outcome in self.outcomes.values())
        count = len(self.plan.trials)
        raise interrupted(self.interrupts, f"{done} of {count} trials have ended" if count > 1 else None)

    def _mend_specs(self) -> None:
        """Finished trials whose spec.json is damaged keep what they came to; those that run get a new one anyway."""
        for trial in self.plan.trials:
            if trial.id in self.outcomes and resume.mend(self.folders[trial.id], self.specs[trial.id]):
                self.observer.message(f"spec.json of {trial.name} was damaged and is written anew; its results stand")
                self.changed(self.folders[trial.id])

    def _tell_lost_checkpoints(self) -> None:
        for trial in self.plan.trials:
            fine = trial.id in self.outcomes and self.outcomes[trial.id].outcome == "ok"
            if fine and self.specs[trial.id].checkpoint == "keep" and not self.folders[trial.id].checkpoint.is_dir():
                self.observer.message(
                    f"the checkpoint of {trial.name} is gone; its figures stand, and it cannot be scored again "
                    f"(`--only {trial.name} --force` trains it anew)"
                )

    def _tell_other_steps(self) -> None:
        """What is saved on the way is no part of a trial's identity: asking for it later trains nothing again."""
        for trial in self.plan.trials:
            asked, folder = self.specs[trial.id].save_every, self.folders[trial.id]
            fine = trial.id in self.outcomes and self.outcomes[trial.id].outcome == "ok"
            if asked is None or not fine or (folder.spec() or {}).get("save_every") == asked:
                continue
            steps = ", ".join(map(str, folder.step_hashes())) or "none"
            self.observer.message(
                f"{trial.name} was trained before its weights were to be saved every {_period(asked)}: of steps on the "
                f"way it has {steps} (`--only {trial.name} --force` trains it anew)"
            )


def _period(every: float | str) -> str:
    if isinstance(every, str):
        return every
    return f"{every:g} steps" if every >= 1 else f"{every:.3g} of all steps"
