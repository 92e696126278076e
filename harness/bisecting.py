"""The story of a bisection: which release of one package made a suite's cells worse, by trials beside the good one.

Each release that is tried is trained side by side with the good one, in environments that differ in that package, with
seeds of its own, and judged as any comparison is. It stands beside `fitting`, above `replicating`; all it runs lies
in a suite of its own. Called again it goes the same way, and what has run is not run again.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import environments, execute, pipeline, replicating, suite
from harness import plan as planning
from harness.compare import compare
from harness.compare.summary import measured
from harness.environments import Declaration
from harness.environments.releases import between, listed, releases, with_release
from harness.errors import InputError, Problem, TrialsFailed, did_you_mean
from harness.plan.bisection import Found, Narrowed, narrowed, next_release
from harness.records.metrics import METRICS, metric
from harness.records.outcome import Outcome
from harness.records.plan import Cell, Plan, Trial
from harness.records.progress import Observer
from harness.records.request import Choice, Places
from harness.records.run_folder import run_folders
from harness.records.suite import Replicates, Suite
from harness.records.verdict import Selected, Verdict

SUITE_ENDS = ".bisect"
"""What the name of a bisection's own suite adds to the suite's."""
BLOCK = 100
"""Seeds of each release that is tried: the first has 0, 1, …, the second 100, 101, … So none reuses the good side's
runs of another hour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is searched: the first release of `package` after `good`, up to `bad`, that has `metric` regressed.

    `versions`: the releases between, oldest first; None asks the index. `replicates` of each side are run at once,
    up to `confirm` more where they do not tell.
    """

    package: str
    good: str
    bad: str
    metric: str = "tokens_per_second"
    versions: Sequence[str] | None = None
    replicates: int = 3
    confirm: int = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """One release that was tried. `verdicts` by cell; `besides`: packages that differ from the good environment's, its
    own aside, each `name old → new`.
    """

    version: str
    found: Found
    why: str = ""
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    replicates: int = 0
    besides: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Bisection:
    """What came of it: `tries` in the order they were made, and what they narrow `releases` down to."""

    suite: str
    question: Wanted
    releases: Sequence[str]
    tries: Sequence[Try]
    narrowed: Narrowed
    made_up: bool = False

    @property
    def first_bad(self) -> str | None:
        """The first bad release, where it is known."""
        return self.releases[self.narrowed.bad] if self.narrowed.exact and self.narrowed.bad is not None else None

    @property
    def suspects(self) -> tuple[int, ...]:
        """The releases, by number, of which one is the first bad one; empty where none is bad, or it is not known."""
        return (*self.narrowed.between, self.narrowed.bad) if self.narrowed.bad is not None else ()

    @property
    def decided(self) -> bool:
        """Whether the first bad release is known, or that there is none."""
        return self.narrowed.exact or self.tries[0].found == "good"

    @property
    def sentence(self) -> str:
        """The answer in one line."""
        asked, known = self.question, self.releases
        package = f"{asked.package} {asked.bad}"
        if self.tries[0].found == "good":
            return f"{asked.metric} did not regress from {asked.package} {asked.good} to {asked.bad}"
        if self.narrowed.bad is None:
            return f"whether {asked.metric} regressed in {package} is not known: {self.tries[0].why}"
        if self.narrowed.exact:
            good, bad = known[self.narrowed.good], known[self.narrowed.bad]
            return f"{asked.package} {bad} is the first release in which {asked.metric} regressed ({good} was good)"
        silent = [known[number] for number in self.suspects]
        return (
            f"the first release of {asked.package} in which {asked.metric} regressed is one of {', '.join(silent)}: "
            "those before the last could not be judged"
        )


def bisect(
    file: Path, choice: Choice, wanted: Wanted, places: Places, *, engine: execute.Engine, observer: Observer
) -> Bisection:
    """Tries releases until the first bad one is known, or none that is left would tell more.

    What else may be raised: see `pipeline.planned` and `execute.execute`.

    Raises:
        InputError: the metric, the releases or the suite cannot be bisected; nothing was tried.
        BuildError: the good environment cannot be built.
        TrialsFailed: trials of the good release failed.
        Interrupted: the user stopped it; what has run is kept, and the same command goes on.
    """
    _check_metric(wanted.metric)
    plan = pipeline.planned(file, choice)
    _check_suite(plan.suite)
    known = (
        between(releases(wanted.package), wanted.good, wanted.bad)
        if wanted.versions is None
        else listed(wanted.good, wanted.bad, wanted.versions)
    )
    observer.message(f"{len(known) - 2} releases of {wanted.package} between {wanted.good} and {wanted.bad}")
    with execute.session(places.results, _name(plan.suite)) as session, closing(engine):
        search = _Search(
            suite=plan.suite,
            choice=choice,
            wanted=wanted,
            releases=known,
            places=places,
            session=session,
            engine=execute.Kept(engine),
            observer=observer,
        )
        search.run()
    return Bisection(
        suite=plan.suite.name,
        question=wanted,
        releases=known,
        tries=search.tries,
        narrowed=narrowed(search.known),
        made_up=isinstance(engine, execute.DebugEngine),
    )


def _check_metric(name: str) -> None:
    known = metric(name)
    if known is None:
        raise InputError.of(f"unknown metric {name!r}", hint=did_you_mean(name, METRICS))
    if known.better == "none":
        raise InputError.of(f"{name} cannot regress", why="neither more nor less of it is better")


def _check_suite(declared: Suite) -> None:
    levels = [level.sets for axis in declared.matrix for level in axis.levels]
    if any("environment" in sets for sets in (*levels, *(include.sets for include in declared.include))):
        raise InputError.of(
            "the suite varies its environment itself",
            why="a bisection trains every chosen cell in environments of its own",
            hint="take `environment` out of its matrix and include; that of `base` is what the others are made like",
        )


def _name(declared: Suite) -> str:
    return f"{declared.name}{SUITE_ENDS}"


class _Unusable(Exception):
    """A release of which nothing can be said; its text is why."""


@dataclass(kw_only=True, slots=True)
class _Search:
    """The tries of one bisection."""

    suite: Suite
    choice: Choice
    wanted: Wanted
    releases: Sequence[str]
    places: Places
    session: execute.Session
    engine: execute.Engine
    observer: Observer
    known: dict[int, Found] = field(default_factory=dict)
    tries: list[Try] = field(default_factory=list)

    def run(self) -> None:
        while (number := next_release(self.known, len(self.releases) - 1)) is not None:
            self.session.check()
            made = self._try(number)
            self.tries.append(made)
            self.known[number] = made.found
            self.observer.message(
                f"{self.wanted.package} {made.version}: {made.found}{f' ({made.why})' * bool(made.why)}"
            )

    def _try(self, number: int) -> Try:
        version = self.releases[number]
        good, other = (self._environment(one) for one in (self.wanted.good, version))
        try:
            pair = self._pair(good, other)
            done = self._trained(pair)
        except _Unusable as error:
            return Try(version=version, found="unusable", why=str(error))
        verdicts = self._verdicts(done, pair)
        found, why = _ruled(verdicts)
        return Try(
            version=version,
            found=found,
            why=why,
            verdicts=verdicts,
            replicates=max(len(planning.seeds_of(done, cell)) for cell in pair.good),
            besides=_besides(good, other, self.wanted.package),
        )

    def _environment(self, version: str) -> Declaration:
        own = self.suite.base.environment
        like = suite.declaration(own, self.suite.environments[own]) if own is not None else None
        return with_release(self.wanted.package, version, like)

    def _pair(self, good: Declaration, other: Declaration) -> _Pair:
        """The cells of both sides, side by side, once both environments are there.

        Raises:
            _Unusable: the other environment cannot be built, or its packages cannot train these cells.
            BuildError, SuiteError: the same of the good one.
        """
        self.engine.prepare([good, other], self.observer.message)
        seeds = [BLOCK * len(self.tries) + number for number in range(self.wanted.replicates)]
        sides = [
            self._side(good, self.wanted.good, seeds),
            _or_unusable(self._side, other, self.releases_of(other), seeds),
        ]
        pair = _Pair.of(*sides)
        for plan, cells in zip(sides, (pair.good, pair.other), strict=True):
            first = next(trial for trial in plan.trials if trial.cell.id in cells)
            spec = planning.spec_of(first, plan, None)
            why = self.engine.obstacle(spec)
            if why is not None and plan is sides[0]:
                raise InputError.of(f"the good release cannot be tried: {why}")
            if why is not None:
                raise _Unusable(why)
        return pair

    def releases_of(self, declaration: Declaration) -> str:
        """The release that an environment is for."""
        return declaration.requirements[0].partition("==")[2]

    def _side(self, environment: Declaration, version: str, seeds: Sequence[int]) -> Plan:
        """The chosen cells in one environment, called by its release."""
        declared = _within(self.suite, environment, seeds, scored=self.wanted.metric.startswith("score."))
        plan = planning.select(
            planning.expand(declared, suite.catalog_of(declared)), self.choice.only, self.choice.skip
        )
        return _called(plan, f"@{version}")

    def _trained(self, pair: _Pair) -> Plan:
        """The plan with as many replicates as it took, all of them run.

        Raises:
            _Unusable: a trial of the other release failed.
            TrialsFailed: one of the good release did.
        """
        train = replicating.training(
            pair.plan,
            self.places,
            session=self.session,
            engine=self.engine,
            observer=self.observer,
            scoring=pair.plan.suite.score is not None,
        )

        def checked(plan: Plan) -> None:
            train(plan)
            self._check_trials(plan, pair)

        first = min(trial.seed for trial in pair.plan.trials if trial.cell.kind == "cell")
        begun = tuple(t for t in pair.plan.trials if t.cell.kind != "cell" or t.seed == first)
        checked(replace(pair.plan, trials=begun))  # a release that cannot train costs one trial a side, not all
        checked(pair.plan)
        ask = functools.partial(self._undecided, pair=pair)
        return replicating.until(pair.plan, ask, most=self.wanted.confirm, train=checked).plan

    def _check_trials(self, plan: Plan, pair: _Pair) -> None:
        ended = pipeline.states(plan, self.places)
        failed = {t.id: t for t in plan.trials if (one := ended.get(t.id)) is not None and one.outcome != "ok"}
        for trial in failed.values():
            if trial.cell.id not in pair.other:
                what = f"{trial.name} ended {_end(ended[trial.id])}"
                hint = f"harness show {trial.id} tells more"
                raise TrialsFailed(problems=(Problem(what=what, why="the good release must train", hint=hint),))
        for trial in failed.values():
            raise _Unusable(f"{trial.name} ended {_end(ended[trial.id])}")

    def _undecided(self, plan: Plan, *, pair: _Pair) -> Collection[str]:
        verdicts = self._verdicts(plan, pair)
        open_ = {name for name, verdict in verdicts.items() if not verdict.decided and verdict.ruling != "missing"}
        return [cell for name in open_ for cell in pair.by_name[name]]

    def _verdicts(self, plan: Plan, pair: _Pair) -> dict[str, Verdict]:
        from harness.store import Ingesting, Store

        store, name = Store(self.places.database), plan.suite.name
        Ingesting(store, self.observer).now(*run_folders(self.places.results, name))
        results = store.results(name)
        trials = measured(results, plan)
        sides = [
            Selected(label=label, results=results, trials=tuple(t for t in trials if t.cell_id in cells))
            for label, cells in ((self.wanted.good, pair.good), ("tried", pair.other))
        ]
        compared = compare(*sides, metrics=[self.wanted.metric], margins=plan.suite.margins, across=True)
        return {
            cell.reference.partition("@")[0]: cell.verdicts[self.wanted.metric]
            for cell in compared.cells
            if self.wanted.metric in cell.verdicts
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pair:
    """Both sides in one plan: ids of the good release's cells and of the other's, and both by the cell's own name."""

    plan: Plan
    good: frozenset[str]
    other: frozenset[str]
    by_name: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, good: Plan, other: Plan) -> _Pair:
        """Interleaves the trials of two plans of the same cells.

        Raises:
            _Unusable: they are not the same cells.
        """
        sides = [[cell for cell in plan.cells if cell.kind == "cell"] for plan in (good, other)]
        names = [[cell.name.partition("@")[0] for cell in side] for side in sides]
        if names[0] != names[1]:
            left = sorted({*names[0]} ^ {*names[1]})
            raise _Unusable(f"not the same cells can be trained: {', '.join(left)}")
        by_name = {name: (one.id, two.id) for name, one, two in zip(names[0], *sides, strict=True)}
        trials: dict[str, Trial] = {t.id: t for plan in (good, other) for t in plan.trials if t.cell.kind != "cell"}
        pairs = zip(*([t for t in plan.trials if t.cell.kind == "cell"] for plan in (good, other)), strict=True)
        trials |= {trial.id: trial for both in pairs for trial in both}
        cells: dict[tuple[str, str], Cell] = {
            (cell.kind, cell.id): cell for plan in (good, other) for cell in plan.cells if cell.kind != "cell"
        }
        cells |= {("cell", cell.id): cell for both in zip(*sides, strict=True) for cell in both}
        known: dict[str, Any] = {**good.suite.environments, **other.suite.environments}
        return cls(
            plan=Plan(
                suite=good.suite.model_copy(update={"environments": known}),
                cells=tuple(cells.values()),
                trials=tuple(trials.values()),
            ),
            good=frozenset(cell.id for cell in sides[0]),
            other=frozenset(cell.id for cell in sides[1]),
            by_name=by_name,
        )


def _or_unusable(side: Any, *arguments: Any) -> Plan:
    try:
        plan: Plan = side(*arguments)
    except InputError as error:
        raise _Unusable("; ".join(one.what for one in error.problems)) from error
    return plan


def _within(declared: Suite, environment: Declaration, seeds: Sequence[int], *, scored: bool) -> Suite:
    """The suite in one environment. Its stages stay where they are: both sides start from the same weights."""
    fields = environment.model_dump(mode="json", exclude={"name"})
    own = {"environment": declared.base.environment}
    stages = {
        name: stage if "environment" in stage.model_fields_set else stage.model_copy(update=own)
        for name, stage in declared.stages.items()
    }
    score = declared.score.model_copy(update={"floor": False, "every": "end"}) if declared.score and scored else None
    return declared.model_copy(
        update={
            "name": _name(declared),
            "base": declared.base.model_copy(update={"environment": environment.name}),
            "stages": stages,
            "environments": {**declared.environments, environment.name: fields},
            "replicates": Replicates(seeds=list(seeds)),
            "score": score,
            "baseline": None,
            "decide": None,
            "claims": (),
        }
    )


def _called(plan: Plan, ends: str) -> Plan:
    """The plan with its cells called otherwise: two sides of one name would not be told apart."""
    cells = {cell.id: replace(cell, name=f"{cell.name}{ends}") for cell in plan.cells if cell.kind == "cell"}
    trials = tuple(
        replace(trial, cell=cells[trial.cell.id], name=f"{cells[trial.cell.id].name}-s{trial.seed}")
        if trial.cell.kind == "cell"
        else trial
        for trial in plan.trials
    )
    chosen = {trial.cell.id for trial in trials}
    every = (cells.get(cell.id, cell) if cell.kind == "cell" else cell for cell in plan.cells)
    return replace(plan, trials=trials, cells=tuple(cell for cell in every if cell.id in chosen))


def _ruled(verdicts: Mapping[str, Verdict]) -> tuple[Found, str]:
    """What verdicts on all cells come to: one that regressed is enough, and all others must be decided."""
    regressed = [name for name, verdict in verdicts.items() if verdict.ruling == "regressed"]
    open_ = {name: verdict for name, verdict in verdicts.items() if not verdict.decided}
    if regressed:
        return "bad", ""
    if not verdicts:
        return "inconclusive", "no cell has the metric"
    if open_:
        told = "; ".join(f"{name}: {verdict.why or verdict.ruling}" for name, verdict in open_.items())
        return "inconclusive", told
    return "good", ""


def _besides(good: Declaration, other: Declaration, package: str) -> tuple[str, ...]:
    """What else differs between the environments; nothing is known where none was built."""
    locks = [found.lock.packages for one in (good, other) if (found := environments.find(one)) is not None]
    if len(locks) < 2:
        return ()
    names = sorted({*locks[0], *locks[1]} - {package})
    return tuple(
        f"{name} {locks[0].get(name, 'none')} → {locks[1].get(name, 'none')}"
        for name in names
        if locks[0].get(name) != locks[1].get(name)
    )


def _end(outcome: Outcome) -> str:
    return f"{outcome.outcome}: {outcome.cause}" if outcome.cause else outcome.outcome
