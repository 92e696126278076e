"""The story of more replicates: cells that are undecided get another one each, interleaved, until all are decided.

It stands above `pipeline`, whose trials it adds to, and below the stories that ask for more: a gate that looks again, a
suite whose replicates depend on how sure it is. The loop itself knows neither suites nor engines:

    done = until(plan, undecided, most=5, train=training(plan, places, session=…, engine=…, observer=…))
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from harness import execute, pipeline
from harness import plan as planning
from harness.records.plan import Plan
from harness.records.progress import Observer
from harness.records.run_folder import RunFolder, run_folders, suite_folder
from harness.score import ScoreReport

Undecided = Callable[[Plan], Collection[str]]
"""The ids of the cells that need another replicate, given the plan with all replicates so far, which have run."""

Train = Callable[[Plan], None]
"""Brings a plan to its end: trials that are finished do not run again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Replicated:
    """What it came to: the plan with all that was added, and the seeds that were added to each cell, by id.

    `undecided`: cells for which `most` was not enough.
    """

    plan: Plan
    added: Mapping[str, tuple[int, ...]]
    rounds: int
    undecided: tuple[str, ...]


def until(plan: Plan, undecided: Undecided, *, most: int, train: Train) -> Replicated:
    """Asks which cells are undecided, gives each of them one more replicate, trains these, and asks again.

    Each round is one replicate of every cell that is asked for, in the plan's order, with the cell's next seed, so
    cells that are compared run A B A B. It ends when no cell is undecided, or each of those has had `most` more.
    Called again after an interrupt it goes the same way, and what has run is not run again.
    """
    added: dict[str, tuple[int, ...]] = {}
    rounds = 0
    while True:
        asked = set(undecided(plan))
        left = tuple(cell.id for cell in plan.cells if cell.kind == "cell" and cell.id in asked)
        open_ = [cell for cell in left if len(added.get(cell, ())) < most]
        if not open_:
            return Replicated(plan=plan, added=added, rounds=rounds, undecided=left)
        added |= {cell: (*added.get(cell, ()), planning.next_seed(plan, cell)) for cell in open_}
        plan = planning.with_next(plan, open_)
        train(plan)
        rounds += 1


def training(
    plan: Plan,
    places: pipeline.Places,
    *,
    session: execute.Session,
    engine: execute.Engine,
    observer: Observer,
    scoring: bool = True,
    scored: Callable[[ScoreReport], None] = lambda report: None,
) -> Train:
    """Trains, scores and stores what is added to `plan`, by an engine that stays warm: whoever made it closes it.

    `scored` is told what each round scored. A replicate that ran before its cell's own trials (of an earlier night,
    whose trials ran anew since) runs again. Raises what `pipeline.carry_out` does.
    """
    from harness.store import Ingesting, Store

    kept = execute.Kept(engine)
    own = {trial.id for trial in plan.trials}
    here = suite_folder(places.results, plan.suite.name)

    def carry_out(chosen: Plan, choice: pipeline.Choice) -> None:
        _, report = pipeline.carry_out(
            chosen, choice, places, session=session, engine=kept, observer=observer, scoring=scoring
        )
        if report is not None:
            scored(report)

    def train(more: Plan) -> None:
        old = _of_earlier(more, own, {trial.id: RunFolder(here / trial.id) for trial in more.trials})
        if old:  # without the stages they start from, which need not run again
            again = tuple(trial for trial in more.trials if trial.id in old)
            carry_out(replace(more, trials=again), pipeline.Choice(force=True))
        carry_out(more, pipeline.Choice())
        Ingesting(Store(places.database), observer).now(*(RunFolder(here / trial.id) for trial in more.trials))

    return train


def run(
    file: Path,
    choice: pipeline.Choice,
    places: pipeline.Places,
    *,
    engine: execute.Engine,
    observer: Observer,
    scoring: bool = True,
) -> pipeline.Finished:
    """`pipeline.run`, and before its report as many more replicates as the suite's `replicates.until` takes.

    Cells of which not all seeds were chosen get none: what they lack is their own.
    """
    chosen = pipeline.planned(file, choice)
    if chosen.suite.replicates.until is None:
        return pipeline.run(file, choice, places, engine=engine, observer=observer, scoring=scoring)

    def more(plan: Plan, session: execute.Session) -> tuple[Plan, ScoreReport | None]:
        reports: list[ScoreReport] = []
        train = training(
            plan, places, session=session, engine=engine, observer=observer, scoring=scoring, scored=reports.append
        )
        whole = {cell.id for cell in plan.cells if _has_all_seeds(plan, cell.id)}
        ask = functools.partial(_not_known_well_enough, places=places, observer=observer, cells=whole)
        done = until(plan, ask, most=plan.suite.replicates.most, train=train)
        _tell(done, observer)
        return done.plan, functools.reduce(ScoreReport.and_, reports) if reports else None

    with closing(engine):
        return pipeline.run(
            file, choice, places, engine=execute.Kept(engine), observer=observer, scoring=scoring, more=more
        )


def _has_all_seeds(plan: Plan, cell: str) -> bool:
    return set(plan.suite.replicates.seeds) <= set(planning.seeds_of(plan, cell))


def _not_known_well_enough(
    plan: Plan, *, places: pipeline.Places, observer: Observer, cells: Collection[str]
) -> Collection[str]:
    """Ids of cells that may have more replicates, and need them."""
    from harness.compare import undecided
    from harness.store import Ingesting, Store

    replicates = plan.suite.replicates
    assert replicates.until is not None
    store = Store(places.database)
    Ingesting(store, observer).now(*run_folders(places.results, plan.suite.name))
    open_ = undecided(store.results(plan.suite.name), plan, replicates.until)
    return [cell for cell in open_ if cell in cells and len(planning.seeds_of(plan, cell)) < replicates.most]


def _tell(done: Replicated, observer: Observer) -> None:
    if done.added:
        names = {cell.id: cell.name for cell in done.plan.cells}
        told = ", ".join(f"{names[cell]} {len(seeds)}" for cell, seeds in done.added.items())
        observer.message(f"replicates added until the figures were known well enough: {told}")


def _of_earlier(more: Plan, own: Collection[str], folders: Mapping[str, RunFolder]) -> set[str]:
    """Ids of added trials that count with an attempt older than every own trial of their cell."""
    began = {trial: _began(folder) for trial, folder in folders.items()}
    since: dict[str, datetime] = {}
    for trial in more.trials:
        moment = began[trial.id]
        if trial.id in own and moment is not None:
            since[trial.cell.id] = min(moment, since.get(trial.cell.id, moment))
    return {
        trial.id
        for trial in more.trials
        if trial.id not in own
        and (moment := began[trial.id]) is not None
        and trial.cell.id in since
        and moment < since[trial.cell.id]
    }


def _began(folder: RunFolder) -> datetime | None:
    """When the attempt that counts began."""
    outcome = folder.outcome()
    return datetime.fromisoformat(outcome.started_at) if outcome is not None else None
