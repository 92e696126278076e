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

from harness import environments, execute, pipeline, replicating, suite
from harness import plan as planning
from harness.compare import compare
from harness.compare.summary import measured
from harness.environments import Declaration
from harness.environments.releases import between, listed, releases, with_release
from harness.errors import InputError, Problem, TrialsFailed
from harness.plan.bisection import Found, Narrowed, narrowed, next_release
from harness.plan.side_by_side import Both, Key, in_environment, key_of, side
from harness.records import commands
from harness.records.asked import metrics_asked
from harness.records.outcome import Outcome
from harness.records.plan import Plan
from harness.records.progress import Observer
from harness.records.request import Choice, Places
from harness.records.run_folder import BISECT, run_folders
from harness.records.suite import Suite
from harness.records.verdict import Selected, Verdict

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
    metrics_asked([wanted.metric])
    plan = pipeline.planned(file, choice)
    _check_suite(plan.suite)
    cells = {key_of(trial.cell): trial.cell.name for trial in plan.trials if trial.cell.kind == "cell"}
    if not cells:
        raise InputError.of("no cell of the matrix is chosen", hint="see `harness plan` for their names")
    if plan.warnings:
        observer.warned(plan.warnings)
    known = (
        between(releases(wanted.package), wanted.good, wanted.bad)
        if wanted.versions is None
        else listed(wanted.good, wanted.bad, wanted.versions)
    )
    count = len(known) - 2
    observer.message(
        f"{count} release{'' if count == 1 else 's'} of {wanted.package} between {wanted.good} and {wanted.bad}"
    )
    with execute.session(places.results, _name(plan.suite)) as session, closing(engine):
        search = _Search(
            suite=plan.suite,
            cells=cells,
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


def _check_suite(declared: Suite) -> None:
    levels = [level.sets for axis in declared.matrix for level in axis.levels]
    if any("environment" in sets for sets in (*levels, *(include.sets for include in declared.include))):
        raise InputError.of(
            "the suite varies its environment itself",
            why="a bisection trains every chosen cell in environments of its own",
            hint="take `environment` out of its matrix and include; that of `base` is what the others are made like",
        )


def _name(declared: Suite) -> str:
    return f"{declared.name}{BISECT}"


class _Unusable(Exception):
    """A release of which nothing can be said; its text is why."""


@dataclass(kw_only=True, slots=True)
class _Search:
    """The tries of one bisection. `cells` are the chosen cells' names."""

    suite: Suite
    cells: Mapping[Key, str]
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
            made = self._try(self.releases[number])
            self.tries.append(made)
            self.known[number] = made.found
            why = f" ({made.why})" if made.why else ""
            self.observer.message(f"{self.wanted.package} {made.version}: {made.found}{why}")

    def _try(self, version: str) -> Try:
        good, other = self._environment(self.wanted.good), self._environment(version)
        self.engine.prepare([good, other], self._tell)
        self.session.check()
        try:
            both = self._both(version, good, other)
            done = self._trained(both)
        except _Unusable as error:
            return Try(version=version, found="unusable", why=str(error))
        verdicts, refused = self._verdicts(done, both)
        found, why = _ruled(verdicts)
        return Try(
            version=version,
            found=found,
            why=why or "; ".join(refused) or ("" if verdicts else "no cell has the metric"),
            verdicts=verdicts,
            replicates=max(len(planning.seeds_of(done, cell)) for cell in both.side(0)),
            besides=_besides(good, other, self.wanted.package),
        )

    def _environment(self, version: str) -> Declaration:
        own = self.suite.base.environment
        like = suite.declaration(own, self.suite.environments[own]) if own is not None else None
        return with_release(self.wanted.package, version, like)

    def _tell(self, line: str) -> None:
        """A line of a build; the place where it can be stopped."""
        self.session.check()
        self.observer.message(line)

    def _both(self, version: str, good: Declaration, other: Declaration) -> Both:
        """The cells of both sides, side by side.

        Raises:
            _Unusable: the other environment is not there, or its packages cannot train these cells.
            InputError: the same of the good one.
        """
        one = self._side(self.wanted.good, good)
        try:
            two = self._side(version, other)
        except InputError as error:
            said = (f"{problem.what}: {problem.why}" if problem.why else problem.what for problem in error.problems)
            raise _Unusable("; ".join(said)) from error
        return Both.of(one, two, self.cells)

    def _side(self, version: str, environment: Declaration) -> Plan:
        """The chosen cells in one environment, called by its release.

        Raises:
            InputError: it is not there, or its packages cannot train these cells.
        """
        declared = in_environment(
            self.suite,
            environment.name,
            environment.model_dump(mode="json", exclude={"name"}),
            called=_name(self.suite),
            seeds=[BLOCK * len(self.tries) + number for number in range(self.wanted.replicates)],
            scored=self.wanted.metric.startswith("score."),
        )
        plan = side(declared, suite.catalog_of(declared), self.cells, f"@{version}")
        first = next(trial for trial in plan.trials if trial.cell.kind == "cell")
        why = self.engine.obstacle(planning.spec_of(first, plan, None))
        if why is not None:
            raise InputError.of(why)
        return plan

    def _trained(self, both: Both) -> Plan:
        """The plan with as many replicates as it took, all of them run.

        Raises:
            _Unusable: a trial of the other release failed.
            TrialsFailed: one of the good release did, or of a stage.
        """
        plan = both.plan
        train = replicating.training(
            plan,
            self.places,
            session=self.session,
            engine=self.engine,
            observer=self.observer,
            scoring=plan.suite.score is not None,
        )

        def checked(more: Plan) -> None:
            train(more)
            self._check_trials(more, both)

        first = min(trial.seed for trial in plan.trials if trial.cell.kind == "cell")
        begun = tuple(trial for trial in plan.trials if trial.cell.kind != "cell" or trial.seed == first)
        checked(replace(plan, trials=begun))  # a release that cannot train costs one trial a side, not all
        checked(plan)
        ask = functools.partial(self._undecided, both=both)
        return replicating.until(plan, ask, most=self.wanted.confirm, train=checked).plan

    def _check_trials(self, plan: Plan, both: Both) -> None:
        ended = pipeline.states(plan, self.places)
        failed = [
            trial for trial in plan.trials if trial.id in ended and ended[trial.id].outcome not in ("ok", trial.expect)
        ]
        for trial in sorted(failed, key=lambda trial: trial.cell.id in both.side(1)):
            what = f"{trial.name} ended {_end(ended[trial.id])}"
            if trial.cell.id in both.side(1):
                raise _Unusable(what)
            hint = f"harness show {trial.id}{commands.within(str(self.places.results))} tells more"
            raise TrialsFailed(problems=(Problem(what=what, why="the good release must train", hint=hint),))

    def _undecided(self, plan: Plan, *, both: Both) -> Collection[str]:
        verdicts, _ = self._verdicts(plan, both)
        return both.ids([name for name, one in verdicts.items() if not one.decided and one.ruling != "missing"])

    def _verdicts(self, plan: Plan, both: Both) -> tuple[dict[str, Verdict], list[str]]:
        """Verdicts by the cells' own names, and why others have none."""
        from harness.store import Ingesting, Store

        store, asked = Store(self.places.database), self.wanted.metric
        Ingesting(store, self.observer).now(*run_folders(self.places.results, plan.suite.name))
        results = store.results(plan.suite.name)
        trials = measured(results, plan)
        sides = [
            Selected(label=label, results=results, trials=tuple(one for one in trials if one.cell_id in both.side(at)))
            for at, label in enumerate((self.wanted.good, "tried"))
        ]
        compared = compare(*sides, metrics=[asked], margins=plan.suite.margins, across=True)
        names = {cell.reference: cell for cell in compared.cells}
        verdicts = {n.partition("@")[0]: cell.verdicts[asked] for n, cell in names.items() if asked in cell.verdicts}
        return verdicts, [cell.refused[asked] for cell in names.values() if asked in cell.refused]


def _ruled(verdicts: Mapping[str, Verdict]) -> tuple[Found, str]:
    """What verdicts on all cells come to: one that regressed is enough, and all others must be decided."""
    regressed = [name for name, verdict in verdicts.items() if verdict.ruling == "regressed"]
    open_ = {name: verdict for name, verdict in verdicts.items() if not verdict.decided}
    if regressed:
        return "bad", ""
    if not verdicts:
        return "inconclusive", ""
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
