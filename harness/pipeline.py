"""The story: a suite file becomes a plan, a plan becomes run folders, run folders become an answer.

This is the only file that knows the order of the stages; each of them does its part and knows no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import data, score, suite
from harness import plan as planning
from harness.errors import Problem, SelectionError, SuiteError, did_you_mean, in_order
from harness.methods import METHODS, catalog
from harness.records.outcome import Outcome
from harness.records.plan import Plan
from harness.records.progress import Observer
from harness.records.refusal import try_writing
from harness.records.request import Choice, Places
from harness.records.run_folder import RunFolder, run_folders, suite_folder

__all__ = [
    "Choice",
    "Finished",
    "Places",
    "carry_out",
    "devices_asked",
    "planned",
    "preview",
    "rebuild",
    "report_plan",
    "run",
    "score_suite",
    "states",
    "status",
]

if TYPE_CHECKING:  # what runs, stores and reports is imported when the story gets there: `plan` and `validate` never do
    from harness import execute
    from harness.records.claims import Device
    from harness.records.results import Answer
    from harness.store import Ingested


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What a run came to: how every chosen trial ended, what was scored, the answer and its report.

    `counting` holds the outcomes that count: an attempt that ended `ok` counts before a later one that did not.
    """

    plan: Plan
    outcomes: Mapping[str, Outcome]
    counting: Mapping[str, Outcome]
    scores: score.ScoreReport | None
    answer: Answer
    report: Path

    @property
    def failed(self) -> list[str]:
        """Ids of trials that ended otherwise than they are meant to, which is `ok` unless the suite says so."""
        meant = {trial.id: trial.expect for trial in self.plan.trials}
        return [trial for trial, outcome in self.outcomes.items() if outcome.outcome != meant.get(trial, "ok")]

    @property
    def disturbed(self) -> list[str]:
        """Ids of trials that count with an attempt whose figures something disturbed."""
        return [trial for trial, outcome in self.counting.items() if outcome.disturbed]


More = Callable[[Plan, "execute.Session"], tuple[Plan, score.ScoreReport | None]]
"""Trains and scores what a finished plan still lacks: the plan with it, and what was scored."""


def planned(file: Path, choice: Choice, places: Places | None = None) -> Plan:
    """The plan of a suite file: read, checked, expanded, and narrowed to the chosen trials.

    With `places` the replicates that a run added there are part of it, where the suite leaves their number open. It
    warns of what this machine is not made for, too.

    Raises:
        SuiteError: everything that is wrong with the file, the combinations it comes to, and the files it names.
        SelectionError: there is no such trial.
    """
    return _chosen(_whole(file, places), choice)


def _whole(file: Path, places: Places | None) -> Plan:
    """The plan of all trials."""
    reading = suite.read(file, catalog=catalog.load(), scoring=score)
    found = list(reading.problems)
    attempt = planning.Attempt(plan=None)
    if reading.suite is not None:
        attempt = planning.attempt(reading.suite, reading.catalog, reading.doubts)
        found += [*attempt.problems, *planning.unready(reading.suite, attempt.cells)]
    if attempt.plan is None or found:
        raise SuiteError(problems=in_order(found, file))
    plan = attempt.plan
    if places is not None:
        here = suite_folder(places.results, plan.suite.name)
        plan = planning.grown(plan, lambda trial: RunFolder(here / trial).spec_file.exists())
    return plan


def _chosen(whole: Plan, choice: Choice) -> Plan:
    """The chosen part of a plan, with what `unfit` says of it, and what its GPU is too small for."""
    plan = planning.select(whole, choice.only, choice.skip)
    return replace(plan, warnings=(*plan.warnings, *unfit(plan), *_too_small(plan)))


def _too_small(plan: Plan) -> list[Problem]:
    """The warning of its cells that no device here may hold."""
    from harness.measure.present import gpus_here, models_here

    known = [gpu for gpu in gpus_here() if gpu.memory_bytes] if models_here() else []
    largest = max(known, key=lambda gpu: gpu.memory_bytes or 0, default=None)
    found = planning.beyond_device(plan.suite, plan.cells, catalog.load(), largest) if largest else None
    return [found] if found else []


def unfit(plan: Plan) -> list[Problem]:
    """Warnings of its cells that this machine, without a GPU, is not made for."""
    from harness.measure import host
    from harness.measure.present import models_here

    if models_here():
        return []
    stranded, halved, memory = planning.stranded(plan.cells), planning.halved(plan.cells), host.usable_memory()
    found = [planning.cannot_train(plan.suite, stranded)] if stranded else []
    found += [planning.without_gpu(plan.suite, halved)] if halved else []
    large = planning.too_large(plan.suite, plan.cells, catalog.load(), memory) if memory else None
    return [*found, *([large] if large else [])]


def prepared(
    file: Path, choice: Choice, engine: execute.Engine, observer: Observer, places: Places | None = None
) -> tuple[Plan, Plan]:
    """The plan of the whole suite and the chosen one, with the environments built that the chosen trials are to be
    trained in, but for those that `places` holds finished; raises as `planned` does.

    What `train` says is checked again by each environment's own TRL once that is there. An environment that cannot be
    built is an obstacle to its trials alone, and told.
    """
    grown = None if choice.force else places
    whole = _whole(file, grown)
    plan = _chosen(whole, choice)
    if not any(trial.cell.config.get("environment") for trial in plan.trials):
        return whole, plan
    _build(plan, choice, places, engine, observer)
    whole = _whole(file, grown)
    return whole, _chosen(whole, choice)


def _build(plan: Plan, choice: Choice, places: Places | None, engine: execute.Engine, observer: Observer) -> None:
    """Has the environments built of trials that are not finished."""
    from harness.execute import resume

    finished: Mapping[str, Outcome] = {}
    if places is not None:
        folders = dict(zip((trial.id for trial in plan.trials), _folders(plan, places), strict=True))
        finished = resume.finished(plan, folders, retry=choice.retry, force=choice.force)
    names = dict.fromkeys(trial.cell.config.get("environment") for trial in plan.trials if trial.id not in finished)
    declared = [suite.declaration(name, plan.suite.environments[name]) for name in names if name is not None]
    if declared:
        engine.prepare(declared, observer.message)


def states(plan: Plan, places: Places) -> dict[str, Outcome]:
    """How each trial of the plan ended so far, by trial id; trials without an outcome are left out."""
    found = {folder.path.name: folder.outcome() for folder in _folders(plan, places)}
    return {trial: outcome for trial, outcome in found.items() if outcome is not None}


def status(places: Places, name: str | None = None) -> list[execute.SuiteStatus]:
    """How far one suite is, or every suite with results; reads folders only, so it works while another run goes on."""
    from harness import execute

    return execute.status(places.results, name)


def run(
    file: Path,
    choice: Choice,
    places: Places,
    *,
    engine: execute.Engine,
    observer: Observer,
    scoring: bool = True,
    more: More | None = None,
) -> Finished:
    """Trains what is not finished, scores it, and reports on the whole suite, chosen trials and others alike.

    The suite is held from the first trial to the report. `more` is called before the report, for what the plan turns
    out to lack. What else may be raised: see `execute.execute`.

    Raises:
        HeldError: another process runs or scores this suite; nothing was done.
        Interrupted: the user stopped it; what is finished is kept, and running again goes on.
        OSError: the report's folder cannot be written; nothing was done.
        StoreError: the store cannot be used. At the end: all is trained and scored, and lies in the run folders.
    """
    from harness import execute

    whole, plan = prepared(file, choice, engine, observer, places)
    if plan.warnings:
        observer.warned(plan.warnings)
    reports = places.reports / plan.suite.name
    reports.mkdir(parents=True, exist_ok=True)
    try_writing(reports)  # rather than learning of it after hours of training
    with execute.session(places.results, plan.suite.name) as session:
        outcomes, scores = carry_out(
            plan, choice, places, session=session, engine=engine, observer=observer, scoring=scoring
        )
        if more is not None:
            plan, added = more(plan, session)
            outcomes = {**states(plan, places), **outcomes}
            scores = scores.and_(added) if scores and added else scores
            whole = planned(file, Choice(), places)
        session.check()
        session.doing("writing the report")
        answer, rendered = report_plan(whole, places, observer)
    return Finished(
        plan=plan,
        outcomes=outcomes,
        counting=states(plan, places),
        scores=scores,
        answer=answer,
        report=rendered,
    )


def carry_out(
    plan: Plan,
    choice: Choice,
    places: Places,
    *,
    session: execute.Session,
    engine: execute.Engine,
    observer: Observer,
    scoring: bool = True,
) -> tuple[dict[str, Outcome], score.ScoreReport | None]:
    """Trains, scores and stores what of a plan is not finished; `session` holds its suite. Raises as `run` does.

    Of `choice` only what to do with finished trials counts: the plan is chosen already.
    """
    from harness import execute
    from harness.store import Ingesting, Store

    _build(plan, choice, places, engine, observer)  # of replicates that were not asked for at first
    known = suite.catalog_of(plan.suite)
    specs = {trial.id: planning.spec_of(trial, plan, known) for trial in plan.trials}
    ingest = Ingesting(Store(places.database), observer)
    rounds = _rounds(plan, observer, session, force=choice.force, scoring=scoring)
    ingest.at_first(*run_folders(places.results, plan.suite.name))  # a damaged store shows before hours of training
    with rounds.beside() as beside:
        if rounds.devices.training is not None:
            engine.restrict(rounds.devices.training)

        def ended(folder: RunFolder) -> None:
            beside(folder)
            ingest.when_it_can(folder)

        outcomes = execute.execute(
            plan,
            specs,
            places.results,
            engine=engine,
            observer=observer,
            retry=choice.retry,
            force=choice.force,
            on_finished=ended,
            within=session,
        )
    scores = rounds.rest(_folders(plan, places))
    if scoring:
        _drop_checkpoints(plan, places, scores)
    return outcomes, scores


def score_suite(
    file: Path, choice: Choice, places: Places, observer: Observer, *, asked: Mapping[str, Any] | None = None
) -> score.ScoreReport | None:
    """Scores what lacks a score and stores it; None where the suite asks for no scores. Raises as `run` does.

    `asked` are fields of the suite's `score` section to be taken instead of its own.
    """
    from harness import execute
    from harness.store import Ingesting, Store

    plan = planned(file, choice, places)
    if plan.suite.score is None:
        return None
    wanted = plan.suite.score.model_copy(update=dict(asked or {}))
    plan = replace(plan, suite=plan.suite.model_copy(update={"score": wanted}))
    with execute.session(places.results, plan.suite.name) as session:
        rounds = _rounds(plan, observer, session, force=choice.force)
        scores = rounds.rest(_folders(plan, places))
        Ingesting(Store(places.database), observer).now(*run_folders(places.results, plan.suite.name))
    return scores


def _rounds(
    plan: Plan, observer: Observer, session: execute.Session, *, force: bool, scoring: bool = True
) -> score.Rounds:
    return score.Rounds(
        wanted=plan.suite.score if scoring else None,
        root=plan.suite.file.parent,
        observer=observer,
        doing=session.doing,
        meanwhile=session.meanwhile,
        check=session.check,
        force=force,
        environment=score.environment_of(plan.suite) if scoring else None,
    )


def _drop_checkpoints(plan: Plan, places: Places, scores: score.ScoreReport | None) -> None:
    """Deletes the checkpoints that the suite wants dropped, except those whose scoring failed."""
    unscored = {failure.folder for failure in scores.failed} if scores else set()
    for trial, folder in zip(plan.trials, _folders(plan, places), strict=True):
        if trial.cell.config["checkpoint"] == "drop" and folder.path not in unscored:
            folder.drop_checkpoint()


def report_plan(plan: Plan, places: Places, observer: Observer) -> tuple[Answer, Path]:
    """Brings the store up to date with the run folders, computes the answer, and renders it."""
    from harness import compare, report
    from harness.store import Ingesting, Store

    store, name = Store(places.database), plan.suite.name
    Ingesting(store, observer).now(*run_folders(places.results, name))
    answer = compare.answer(
        store.results(name),
        plan,
        places=places,
        devices=devices_asked(plan),
        documents=store.documents(name),
    )
    return answer, report.render(answer, places.reports / plan.suite.name)


def devices_asked(plan: Plan) -> Sequence[Device] | None:
    """The GPUs of this machine, where a claim asks for one; None where none does, or nobody can tell."""
    from harness.measure.present import gpus_here

    asked = any(one.claim.needs.device or one.claim.needs.device_memory for one in plan.claims)
    return gpus_here() if asked else None


def _folders(plan: Plan, places: Places) -> list[RunFolder]:
    here = suite_folder(places.results, plan.suite.name)
    return [RunFolder(here / trial.id) for trial in plan.trials]


def preview(file: Path, choice: Choice, *, rows: int, method: str | None = None) -> list[dict[str, Any]]:
    """Rows as the suite's methods see them: one entry for each combination of data, method, model and arguments.

    Raises:
        SelectionError: no cell trains, or none by this method.
        DataError: the rows cannot be shown.
    """
    plan = planned(file, choice)
    trained = {cell.name: cell.config for cell in plan.cells if cell.config["method"]}
    shown = {name: config for name, config in trained.items() if method in (None, config["method"])}
    if not trained:
        raise SelectionError.of(f"no chosen cell of suite {plan.suite.name!r} trains: there are no rows to show")
    if not shown:
        what = f"no chosen cell of suite {plan.suite.name!r} trains by {method!r}"
        raise SelectionError.of(what, hint=did_you_mean(str(method), {config["method"] for config in trained.values()}))
    return data.ask_previews(
        shown,
        takes={
            name: {"formats": known.formats, "template_columns": known.template_columns}
            for name, known in METHODS.items()
        },
        root=plan.suite.file.parent.resolve(),
        rows=rows,
    )


def rebuild(places: Places) -> Ingested:
    """The store made anew from the run folders alone."""
    from harness.store import Store

    return Store(places.database).rebuild(places.results)
