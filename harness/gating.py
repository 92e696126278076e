"""The story of a gate: a suite's trials beside a baseline, and where that leaves doubt, some more trials.

It stands beside `fitting`, above `replicating` and `pipeline`. Here is also how trials become a baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.compare.gate import gate, suspicious
from harness.compare.naming import named
from harness.compare.sides import sides_of
from harness.compare.summary import measured
from harness.errors import InputError, SelectionError, did_you_mean
from harness.records.asked import metrics_asked
from harness.records.baseline import Baseline
from harness.records.chosen import chosen, narrowed
from harness.records.document_scores import DocumentProvider
from harness.records.gate import Gate, Rules
from harness.records.metrics import Margin
from harness.records.plan import Plan
from harness.records.progress import Observer
from harness.records.request import Choice, Places
from harness.records.results import SuiteResults, TrialResult
from harness.records.run_folder import run_folders
from harness.store import Baselines, Ingesting, Store
from harness.store.baselines import Kept

if TYPE_CHECKING:  # what plans and trains is imported where it is needed: most checks only read
    from harness import execute

_SUFFIXES = (".yaml", ".yml")
_SAID_NOTHING = (None, "interrupted", "skipped")
"""Outcomes of trials that are no part of a baseline."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is checked, and how: `suite` is a file, a name of stored results, or None for the baseline's own.

    `across`: also where the machines differ; `confirm`: how many more replicates a doubtful cell may get.
    """

    baseline: str
    suite: str | None = None
    choice: Choice = field(default_factory=Choice)
    metrics: Sequence[str] = ()
    rules: Rules = field(default_factory=Rules)
    across: bool = False
    confirm: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What is known of a suite: its plan, where its file was looked at, and its results in the store."""

    plan: Plan | None
    results: SuiteResults
    documents: DocumentProvider
    margins: Mapping[str, Margin]

    @property
    def trials(self) -> Sequence[TrialResult]:
        """Those of the plan, or all that are stored."""
        return measured(self.results, self.plan) if self.plan is not None else self.results.trials


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """A baseline that was just saved, and sentences that its owner should know."""

    kept: Kept
    findings: Sequence[str]


def shelf(places: Places) -> Baselines:
    """The baselines kept beside the results."""
    return Baselines(places.results / "baselines")


def save(name: str, suite: str, choice: Choice, places: Places, observer: Observer, *, replace_: bool) -> Saved:
    """Keeps a suite's trials that have ended as a baseline; of a suite file those of its plan, of a name all.

    Raises:
        InputError: nothing of it has ended, the name is taken or cannot be one; or the suite file is wrong.
        StoreError: the store cannot be used.
    """
    found = _looked_up(suite, places, observer)
    whole = replace(Store(places.database).results(found.results.suite), trials=tuple(chosen(found.trials, choice)))
    ended = tuple(trial for trial in whole.trials if trial.outcome not in _SAID_NOTHING)
    if not ended:
        what = f"no trial of suite {whole.suite!r} has ended in {places.results}"
        raise InputError.of(what, why="a baseline is made of results", hint="run it first: harness run SUITE")
    kept = shelf(places).save(name, _only(whole, ended), found.documents, replace=replace_)
    return Saved(kept=kept, findings=_weak(ended, len(whole.trials)))


def _only(results: SuiteResults, trials: tuple[TrialResult, ...]) -> SuiteResults:
    """What is known of these trials."""
    known = {trial.trial_id for trial in trials}
    return replace(
        results,
        trials=trials,
        scores=tuple(score for score in results.scores if score.trial_id in known),
        curves=tuple(curve for curve in results.curves if curve.trial_id in known),
    )


def check(asked: Asked, places: Places, *, engine: Callable[[], execute.Engine], observer: Observer) -> Gate:
    """Judges a suite's trials beside a baseline, after more replicates of doubtful cells where these are asked for.

    `engine` makes what trains them.

    Raises:
        NoBaseline: there is none of this name, it is of another machine, or has no cell in common.
        InputError: the baseline's file is damaged, a metric is unknown, or the suite's file is wrong.
        SelectionError: nothing is chosen.
        StoreError: there is no store, or it cannot be used.
        Interrupted: the user stopped the replicates; what has run is kept, and the same command goes on.
    """
    baseline = shelf(places).load(asked.baseline, curves=False)
    found = _looked_up(asked.suite or baseline.results.suite, places, observer, own=asked.suite is None)
    present = {name for trial in (*baseline.results.trials, *found.results.trials) for name in trial.metrics}
    asked = replace(asked, metrics=metrics_asked(asked.metrics, present))
    if not asked.confirm:
        return _gate(asked, baseline, chosen(found.trials, asked.choice), found)
    if found.plan is None:
        what = f"--confirm needs the file of suite {found.results.suite!r}, to train more of it"
        raise InputError.of(what, hint="name it: harness check --baseline NAME suite.yaml")
    return _confirmed(asked, baseline, found, places, engine=engine(), observer=observer)


def _looked_up(suite: str, places: Places, observer: Observer, *, own: bool = False) -> _Found:
    """What is known of a suite, by its file or its name.

    Of a name that was given all that is stored counts. Without one (`own`) it is that of the baseline, and its file is
    looked at where it is still there.
    """
    store = Store(places.database)
    plan = _planned(Path(suite), places) if _is_file(suite) else None
    name = plan.suite.name if plan else suite
    folders = run_folders(places.results, name)
    if folders:
        Ingesting(store, observer).now(*folders)
    results = replace(store.figures(name), folder=str(places.results))
    if plan is None and not results.trials:
        known = store.suites()
        hint = did_you_mean(name, known) if known else "run it first: harness run SUITE"
        raise SelectionError.of(f"no results of a suite {name!r} in {places.results}", hint=hint)
    if own and plan is None and results.suite_file and Path(results.suite_file).is_file():
        plan = _planned(Path(results.suite_file), places)
    return _Found(
        plan=plan, results=results, documents=store.documents(name), margins=_margins(plan, results, observer)
    )


def _margins(plan: Plan | None, results: SuiteResults, observer: Observer) -> Mapping[str, Margin]:
    from harness import suite

    return plan.suite.margins if plan is not None else suite.margins_stored(results, observer)


def _planned(file: Path, places: Places) -> Plan:
    from harness import pipeline

    return pipeline.planned(file, Choice(), places)


def _is_file(suite: str) -> bool:
    return suite.endswith(_SUFFIXES) or "/" in suite


def _gate(asked: Asked, baseline: Baseline, trials: Sequence[TrialResult], found: _Found) -> Gate:
    kept = narrowed(baseline.results.trials, asked.choice)
    sides = sides_of(baseline, kept, found.results, trials, across=asked.across)
    told = gate(replace(sides, documents=found.documents), asked.rules, metrics=asked.metrics, margins=found.margins)
    return replace(told, suite_file=str(found.plan.suite.file)) if found.plan else told


def _confirmed(
    asked: Asked,
    baseline: Baseline,
    found: _Found,
    places: Places,
    *,
    engine: execute.Engine,
    observer: Observer,
) -> Gate:
    """The gate after each doubtful cell has had replicates until it was decided, or as many as it may have.

    Only what has run already is a part of it: trials that never ran are told as such rather than run now.
    """
    from harness import execute, replicating

    plan = found.plan
    assert plan is not None
    store, known = Store(places.database), {trial.id for trial in plan.trials}
    matrix = {cell.id for cell in plan.cells if cell.kind == "cell"}
    looks: list[Gate] = []

    def look(now: Plan) -> Collection[str]:
        results = replace(store.figures(plan.suite.name), folder=str(places.results))
        trials = chosen(measured(results, plan), asked.choice)
        cells = {trial.cell_id for trial in trials}
        more = tuple(trial for trial in now.trials if trial.id not in known and trial.cell.id in cells)
        trials += measured(results, replace(now, trials=more))
        looks.append(_gate(asked, baseline, trials, replace(found, results=results)))
        return suspicious(looks[-1], looks[-2] if len(looks) > 1 else None) & matrix

    done = {trial.trial_id for trial in found.results.trials if trial.outcome not in _SAID_NOTHING}
    ran = replace(plan, trials=tuple(trial for trial in plan.trials if trial.id in done))
    if plan.warnings:
        observer.warned(plan.warnings)
    with execute.session(places.results, plan.suite.name) as session, closing(engine):
        train = replicating.training(
            ran, places, session=session, engine=engine, observer=observer, scoring=_judges_scores(asked, found.results)
        )
        replicated = replicating.until(ran, look, most=asked.confirm, train=train)
    names = {cell.id: cell.name for cell in plan.cells}
    return replace(looks[-1], added={names[cell]: seeds for cell, seeds in replicated.added.items()})


def _judges_scores(asked: Asked, results: SuiteResults) -> bool:
    """Whether more trials are to be scored: not where these never were."""
    present = {name for trial in results.trials for name in trial.metrics}
    return any(name.startswith("score.") for name in asked.metrics or present)


def _weak(trials: Sequence[TrialResult], planned: int) -> list[str]:
    """What makes these trials a poor baseline, in sentences."""
    found = []
    if len(trials) < planned:
        found.append(f"{planned - len(trials)} of {planned} trials have not ended and are no part of it.")
    runs: dict[str, int] = {}
    for trial in trials:
        if trial.kind == "cell" and trial.outcome == "ok":
            runs[trial.cell_name] = runs.get(trial.cell_name, 0) + (not trial.disturbed)
    single = [cell for cell, count in runs.items() if count < 2]
    if single:
        found.append(
            f"Fewer than two undisturbed runs: {named(single, 0)}. A change of speed, time or host memory takes "
            "two runs a side to be told from noise: ask for more with `replicates`."
        )
    bad = [f"{trial.name} ({trial.outcome})" for trial in trials if trial.failed]
    if bad:
        found.append(f"Part of it as they ended: {named(bad, 0)}.")
    environments = {trial.environment for trial in trials if trial.environment}
    if len(environments) > 1:
        found.append(f"Its trials ran in {len(environments)} different environments.")
    return found
