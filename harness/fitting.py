"""The story of a fit: a suite's cells, each with one field varied, tried in short real trials until its limit is known.

It stands beside `pipeline`, which it takes the plan from; everything it runs lies in a suite of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness import execute, pipeline, suite
from harness.compare.frontier import Frontier, Probe, judge
from harness.errors import InputError, Problem
from harness.measure.present import gpus_here, models_here
from harness.methods.catalog import Catalog
from harness.plan import spec_of
from harness.plan.estimates import estimate
from harness.plan.probes import LEAST, MOST, Axis, Probed, axis_of, bounded, probe, probed
from harness.plan.search import Span, edge, next_value
from harness.records.outcome import Outcome
from harness.records.plan import Cell, Plan, Trial
from harness.records.progress import Observer
from harness.records.run_folder import FIT, RunFolder, run_folders, suite_folder
from harness.records.spec import Spec
from harness.records.units import format_size

if TYPE_CHECKING:
    from harness.store import Ingesting

_NO_DEVICE = ("cpu", "made up")
_SOLD_MORE = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is searched: the largest value of `axis` whose trials stay within `limit` bytes.

    Tried are multiples of `step` from `low` to `high`; each trial takes `steps` optimizer steps.
    """

    axis: str
    limit: int
    low: int = 1
    high: int | None = None
    step: int = 1
    steps: int = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """What came of it, by cell; `left_out` are cells without the axis, and why; `own_rows` those without a bound.

    `made_up`: the debug engine trained nothing, so the figures mean nothing.
    """

    suite: str
    question: Wanted
    frontiers: Sequence[Frontier]
    left_out: Mapping[str, str]
    own_rows: Sequence[str] = ()
    made_up: bool = False


def fit(
    file: Path,
    choice: pipeline.Choice,
    wanted: Wanted,
    places: pipeline.Places,
    *,
    engine: execute.Engine,
    observer: Observer,
) -> Fit:
    """Searches for every chosen cell, one after the other. Values that were tried before are not tried again.

    What else may be raised: see `pipeline.planned` and `execute.execute`.

    Raises:
        InputError: the axis or its bounds make no sense for the chosen cells; nothing was tried.
        Interrupted: the user stopped it; what was tried is kept, and the same command goes on.
    """
    from harness.store import Ingesting, Store

    axis, span = axis_of(wanted.axis), _span(wanted)
    _, plan = pipeline.prepared(file, choice, engine, observer)
    known = suite.catalog_of(plan.suite)
    if unfit := pipeline.unfit(plan):  # what else the plan warns of are trainings of full length
        observer.warned(unfit)
    cells, left = probed(plan, axis, known, steps=wanted.steps, low=span.lowest)
    here = "made up" if isinstance(engine, execute.DebugEngine) else machine()
    if beyond := _beyond(wanted.limit, here):
        observer.warned([beyond])
    name = f"{plan.suite.name}{FIT}"
    with execute.session(places.results, name) as session, closing(engine):
        ingest = Ingesting(Store(places.database), observer)
        ingest.at_first(*run_folders(places.results, name))
        search = _Search(
            plan=plan,
            known=known,
            axis=axis,
            wanted=wanted,
            span=span,
            places=places,
            name=name,
            session=session,
            observer=observer,
            engine=execute.Kept(engine),
            machine=here,
            ingest=ingest,
            retry=choice.retry,
        )
        frontiers = [search.cell(one) for one in cells]
        ingest.now(*run_folders(places.results, name))
    return Fit(
        suite=plan.suite.name,
        question=wanted,
        frontiers=frontiers,
        left_out=left,
        made_up=isinstance(engine, execute.DebugEngine),
        own_rows=[one.name for one in cells if bounded(one.config(span.lowest), known) is None],
    )


def machine() -> str:
    """What trials run on here, without waking it: the models of the NVIDIA devices that may be used, or `cpu`."""
    return ", ".join(models_here()) or "cpu"


def _beyond(limit: int, here: str) -> Problem | None:
    """The warning of a limit that this machine has not so much memory for; None where it has, or nobody can tell.

    Devices are sold by a little more than they have.
    """
    from harness.measure import host

    on_host = here in _NO_DEVICE
    where = "this machine" if on_host else here
    told = [host.usable_memory()] if on_host else [device.memory_bytes for device in gpus_here()]
    most = max((size for size in told if size), default=None)
    if here == "made up" or most is None or limit <= most * (1 + _SOLD_MORE):
        return None
    taken = "the kernel kills it, or the machine stands still" if on_host else "it ends oom"
    return Problem(
        what=f"--limit {format_size(limit)} is more than {where} has: {format_size(most)}",
        why=f"a trial that takes all there is does not fit, whatever the limit; {taken}",
        hint="lower --limit" + (", or set limits.host_memory, which ends such a trial in time" if on_host else ""),
    )


def lowest(axis: str, high: int | None) -> int:
    """The smallest value to try where nobody says: what is less may not train at all. No more than `high`."""
    least = LEAST.get(axis, 1)
    return least if high is None else min(least, high)


def _span(wanted: Wanted) -> Span:
    high = MOST if wanted.high is None else wanted.high
    if wanted.low > high:
        raise InputError.of(f"--from {wanted.low} is above --to {high}", hint="turn them round, or leave one out")
    span = Span(low=wanted.low, high=high, step=wanted.step)
    if span.lowest > span.highest:
        what = f"no multiple of {wanted.step} lies between --from {wanted.low} and --to {high}"
        raise InputError.of(what, hint="give a smaller --multiple-of, or a larger --to")
    return span


@dataclass(kw_only=True, slots=True)
class _Search:
    """The trials of one fit."""

    plan: Plan
    known: Catalog
    axis: Axis
    wanted: Wanted
    span: Span
    places: pipeline.Places
    name: str
    session: execute.Session
    observer: Observer
    engine: execute.Engine
    machine: str
    ingest: Ingesting
    retry: str  # `disturbed`: what was disturbed is tried again

    def cell(self, one: Probed) -> Frontier:
        """Tries values until the cell's limit is known, or a trial ends in a way that says nothing about it."""
        span = self._guessed(one)
        probes: dict[int, Probe] = {}
        stopped = None
        while stopped is None:
            known = {value: found.fits for value, found in probes.items() if found.fits is not None}
            value = next_value(known, span)
            if value is None:
                break
            self.session.check()
            found = probes[value] = self._try(one, value)
            if found.fits is None:
                cause = f" ({found.cause})" if found.cause else ""
                stopped = f"{value} ended {found.outcome}{cause}"
        edges = edge({value: found.fits for value, found in probes.items() if found.fits is not None})
        return Frontier(
            cell=one.name,
            alike=one.alike,
            axis=self.axis.path,
            limit=self.wanted.limit,
            highest=span.highest,
            probes=[probes[value] for value in sorted(probes)],
            largest=edges.fits,
            fails=edges.fails,
            stopped=stopped,
        )

    def _try(self, one: Probed, value: int) -> Probe:
        plan = probe(one, value, self.plan, self.known, self._here(), machine=self.machine)
        (trial,) = plan.trials
        spec = spec_of(trial, plan, self.known)
        folder = RunFolder(self._here() / trial.id)
        outcome = _said_before(folder, spec)
        if outcome is None or (outcome.disturbed and self.retry == "disturbed"):
            outcome = self._run(plan, trial, spec, retry="failed" if outcome is None else "disturbed")
        folder.drop_checkpoint()
        predicted = estimate(trial.cell, plan.suite.file.parent, self.known)
        on_device = None if predicted.loose else predicted.device
        limit, short = self.wanted.limit, _unfilled(folder)
        return judge(value, trial.id, outcome, limit, on_device, host=spec.host_memory, unfilled=short)

    def _run(self, plan: Plan, trial: Trial, spec: Spec, retry: Literal["failed", "disturbed"]) -> Outcome:
        outcomes = execute.execute(
            plan,
            {trial.id: spec},
            self.places.results,
            engine=self.engine,
            observer=self.observer,
            retry=retry,
            within=self.session,
            on_finished=self.ingest.when_it_can,
        )
        return outcomes[trial.id]

    def _guessed(self, one: Probed) -> Span:
        """The span, beginning where the prediction sees the limit; at its low end where no device is trained on."""
        if self.machine in _NO_DEVICE or one.cell.config["train"].get("use_cpu"):
            return self.span
        known: dict[int, bool] = {}
        while (value := next_value(known, self.span)) is not None:
            predicted = self._predicted(one, value)
            if predicted is None:
                return self.span
            known[value] = predicted <= self.wanted.limit
        found, most = edge(known).fits, self.span.highest
        if found is None:
            return self.span
        if found == most > self.span.lowest and self._flat(one, most):
            self.observer.message(f"{one.name}: no more memory is predicted for larger {self.axis.path}")
            return self.span  # a trial of the largest may take for ever, and nothing speaks for beginning there
        return Span(low=self.span.low, high=self.span.high, step=self.span.step, guess=found)

    def _flat(self, one: Probed, most: int) -> bool:
        return self._predicted(one, self.span.nearest(most // 2)) == self._predicted(one, most)

    def _predicted(self, one: Probed, value: int) -> int | None:
        """Bytes of the device; None where nothing is, or a bound so loose that it would have it begin far too low."""
        cell = Cell(id="", name="", kind="cell", levels={}, config=one.config(value))
        predicted = estimate(cell, self.plan.suite.file.parent, self.known)
        return None if predicted.loose else predicted.device

    def _here(self) -> Path:
        return suite_folder(self.places.results, self.name)


def _said_before(folder: RunFolder, spec: Spec) -> Outcome | None:
    """The outcome of a trial that was tried before and told something; None where it is to be tried (again)."""
    outcome = folder.outcome()
    if outcome is None or outcome.killed:
        return None
    same_bound = (folder.spec() or {}).get("host_memory") == spec.host_memory
    return outcome if outcome.outcome == "ok" or (outcome.outcome == "oom" and same_bound) else None


def _unfilled(folder: RunFolder) -> str | None:
    """That the rows were too few for a single batch, so that memory says nothing of one; None where they were enough.

    It happens to a cell's own rows alone: those that are made for a trial are enough.
    """
    attempt = folder.last_attempt()
    told = (event["values"] for event in attempt.readable_events() if event.get("kind") == "active") if attempt else ()
    first: Mapping[str, Any] = next((values for values in told if "batch" in values), {})
    rows, asked = first.get("train_rows"), first.get("batch", {}).get("rows")
    if rows is None or asked is None or rows >= asked:
        return None
    return f"no batch was full: it trained on {rows:,} rows; give the suite more"
