"""What the store knows of a suite, and its plan → the whole answer, ready to be rendered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from harness.compare.alike import Scores, comparable, members_of, scores_of, unlike_columns, unlike_goal
from harness.compare.axes import effects_of
from harness.compare.baseline import against, baseline_of
from harness.compare.claims import claims_of
from harness.compare.columns import (
    OF_THE_DEVICE,
    Goal,
    best_of,
    columns_of,
    directions_of,
    goal_of,
    of_several_methods,
)
from harness.compare.comparison import usual_metrics
from harness.compare.decision import decide
from harness.compare.differences import alongside
from harness.compare.findings import findings_of
from harness.compare.headline import headline_of
from harness.compare.health import health_of
from harness.compare.invented import made_up, made_up_devices
from harness.compare.memory import out_of_memory, predictions
from harness.compare.quality import quality_of, unlike_steps
from harness.compare.scoring import scoring_of
from harness.compare.summary import measured, summarise
from harness.records.claims import Device
from harness.records.document_scores import DocumentProvider
from harness.records.effects import AxisEffects
from harness.records.figures import title
from harness.records.plan import Plan
from harness.records.request import Places
from harness.records.results import Answer, CellSummary, Curve, SuiteResults, Timeline, TrialResult, Unlike

Line = TypeVar("Line", Curve, Timeline)
_USUAL = Places()


def answer(
    results: SuiteResults,
    plan: Plan,
    *,
    places: Places = _USUAL,
    devices: Sequence[Device] | None = None,
    documents: DocumentProvider | None = None,
) -> Answer:
    """The answer to the suite's question, from the trials of the plan.

    Results of trials that the plan does not have (an older state of the suite, or not chosen) are left out, and a
    finding says so. Cells come as the plan has them. `places`, the usual ones without, are for the commands a reader
    may copy; `devices` the GPUs of this machine, where known; without `documents` seeds alone compare scores.
    """
    trials = measured(results, plan)
    cells = summarise(trials, plan)
    members = members_of(results)
    goal = goal_of(plan.suite, cells, members)
    columns = columns_of(plan.suite, cells, goal, members)
    directions = directions_of(columns, cells, goal)
    scores = scores_of(results)
    unlike = unlike_columns(columns, trials, scores)
    decision = decide(plan.suite, cells, goal, unlike=_unlike(_judged_by(plan, goal), cells, trials, scores))
    beside = against(plan, results, trials, cells, directions, goal, documents)
    quality = quality_of(columns, cells, trials, results.curves)
    unlike_later = unlike_steps(quality, trials, results.scores)
    health = health_of(trials, cells)
    return Answer(
        suite=plan.suite.name,
        question=plan.suite.question,
        suite_file=str(plan.suite.file),
        headline=headline_of(cells, decision, goal, beside, made_up=_invented(results, trials, goal)),
        decision=decision,
        columns=columns,
        directions=directions,
        best=best_of(comparable(columns, trials, scores), directions, cells),
        cells=cells,
        trials=trials,
        curves=_of(trials, results.curves),
        excluded=plan.excluded,
        environments=_environments(results, trials),
        findings=findings_of(plan, results, trials, cells, columns, decision, health, _told(unlike, unlike_later)),
        score_backends=results.score_backends,
        baseline=tuple(cell.name for cell in baseline_of(plan, cells)),
        against=beside,
        what_else=alongside(trials, results.environments),
        health=health,
        out_of_memory=out_of_memory(trials),
        predictions=predictions(trials, cells),
        timelines=_of(trials, results.timelines),
        scoring=scoring_of(trials, results.scores, results.overlaps),
        unlike=unlike,
        quality=quality,
        quality_unlike=unlike_later,
        effects=effects_of(plan, trials, metrics=_of_the_answer(trials, columns), unlike=unlike),
        claims=claims_of(plan, trials, results.environments, devices=devices, places=places),
        results=str(places.results),
        reports=str(places.reports),
    )


def _told(unlike: Sequence[Unlike], unlike_later: Sequence[str]) -> tuple[str, ...]:
    return (*(one.text for one in unlike), *unlike_later)


def _invented(results: SuiteResults, trials: Sequence[TrialResult], goal: Goal) -> bool:
    """Whether what decides was made up."""
    devices = made_up_devices(trials) if goal.metric in OF_THE_DEVICE else ()
    return any((*made_up(results, trials), *devices))


def _of(trials: Sequence[TrialResult], lines: Sequence[Line]) -> tuple[Line, ...]:
    """Those of these trials."""
    known = {trial.trial_id for trial in trials}
    return tuple(line for line in lines if line.trial_id in known)


def _judged_by(plan: Plan, goal: Goal) -> tuple[str, ...]:
    """The metrics that the decision goes by."""
    return (goal.metric, *(plan.suite.decide.keep if plan.suite.decide else ()))


def _unlike(
    judged_by: Sequence[str], cells: Sequence[CellSummary], trials: Sequence[TrialResult], scores: Scores
) -> str | None:
    """Why what decides does not rank all cells, in sentences: other quantities, or scores that were not made alike."""
    several = [title(name) for name in judged_by if of_several_methods(name, cells)]
    told = [f"Cells train by several methods, and the {name} of each is another quantity." for name in several]
    return " ".join([*told, *filter(None, [unlike_goal(judged_by, trials, scores)])]) or None


def _environments(results: SuiteResults, trials: Sequence[TrialResult]) -> dict[str, Mapping[str, Any]]:
    shown = {trial.environment for trial in trials}
    return {key: value for key, value in results.environments.items() if key in shown}


def effects(results: SuiteResults, plan: Plan, *, metrics: Sequence[str] = ()) -> AxisEffects:
    """What the axes of the plan do to these metrics, or to those that are usually asked about; see `axes`."""
    trials = measured(results, plan)
    asked = tuple(metrics) or usual_metrics([trial for trial in trials if trial.kind == "cell"])
    told = effects_of(plan, trials, metrics=asked, unlike=unlike_columns(asked, trials, scores_of(results)))
    return replace(told, made_up=(*made_up(results, trials), *made_up_devices(trials)))


def _of_the_answer(trials: Sequence[TrialResult], columns: Sequence[str]) -> tuple[str, ...]:
    """What is usually compared, of the scores only those that the answer shows."""
    usual = usual_metrics([trial for trial in trials if trial.kind == "cell"])
    return tuple(name for name in usual if name in columns or not name.startswith("score."))
