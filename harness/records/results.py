"""Results as the store gives them and as comparison turns them into an answer; reports only render these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from harness.records import commands
from harness.records.claims import ClaimVerdict
from harness.records.effects import AxisEffects
from harness.records.metrics import Direction
from harness.records.overlap import Overlap
from harness.records.plan import Excluded, Kind

if TYPE_CHECKING:  # verdicts are made of results
    from harness.records.verdict import CellComparison


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something a training's health shows: `name` is its kind (loss_spike, …), `step` where it began."""

    name: str
    step: int | None
    level: Literal["info", "warning"]
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialResult:
    """One trial as finished: its outcome, its metrics (summary and `score.<task>.<metric>` alike), its attempts."""

    trial_id: str
    cell_id: str
    name: str
    cell_name: str
    kind: Kind
    levels: Mapping[str, str]
    seed: int
    method: str | None
    outcome: str | None  # None: never attempted, or running
    phase: str | None
    cause: str | None
    attempts: int
    environment: str | None
    metrics: Mapping[str, float]
    stderr: Mapping[str, float] = field(default_factory=dict)  # of `score.…` metrics
    config: Mapping[str, Any] = field(default_factory=dict)  # spec.json
    notes: Sequence[str] = ()
    counted: int | None = None  # number of the attempt whose outcome and figures these are
    last_outcome: str | None = None  # of the latest attempt that ended
    active: Mapping[str, Any] = field(default_factory=dict)  # what was really active, as the worker recorded it
    facts: Mapping[str, Any] = field(default_factory=dict)  # outcome.json's: peak_phase, oom, …
    disturbed: Sequence[str] = ()  # why its figures are not to be trusted
    findings: Sequence[Finding] = ()  # of its health
    surroundings: Mapping[str, Any] = field(default_factory=dict)  # its own environment.json, without what is installed

    @property
    def expect(self) -> str:
        """The outcome it is meant to have."""
        return str(self.config.get("expect") or "ok")

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than it is meant to."""
        return self.outcome not in (None, self.expect)

    @property
    def stale(self) -> bool:
        """Whether its figures are not of its latest attempt: to tell them as tonight's would be wrong."""
        return self.counted is not None and self.counted < self.attempts


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskScore:
    """How one trial was scored on one task, as `harness.records.score.Score` tells it besides the metrics.

    `step` is None for the weights that training ended with.
    """

    trial_id: str
    task: str
    backend: str
    step: int | None = None
    n_documents: int | None = None
    task_hash: str | None = None
    task_version: str | None = None
    template_hash: str | None = None
    served: str = "loaded"
    flags: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)  # empty: the harness's own
    canary: Mapping[str, Any] = field(default_factory=dict)  # empty: none was asked
    parity: Mapping[str, Any] = field(default_factory=dict)  # empty: none was asked
    notes: Sequence[str] = ()
    members: Sequence[str] = ()  # of a group: the tasks whose scores its figures are means of


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One metric of one trial over optimizer steps. A score's is named `score.<task>.<metric>`; `ended`: its last point
    is that of the weights training ended with."""

    trial_id: str
    cell_name: str
    seed: int
    metric: str
    steps: Sequence[int]
    values: Sequence[float]
    ended: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """One metric of one trial over time: `times` are seconds after the attempt's start."""

    trial_id: str
    metric: str
    times: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class SuiteResults:
    """Everything the store knows of one suite."""

    suite: str
    question: str
    suite_file: str
    trials: Sequence[TrialResult]
    curves: Sequence[Curve]
    environments: Mapping[str, Mapping[str, Any]]  # hash → environment.json
    score_backends: Sequence[str] = ()
    timelines: Sequence[Timeline] = ()
    scores: Sequence[TaskScore] = ()  # those that count, of the end and of steps on the way
    overlaps: Mapping[str, Sequence[Overlap]] = field(default_factory=dict)  # by trial id
    folder: str = ""  # of the run folders, where more can be run there: not of a baseline or another store

    @property
    def again(self) -> str:
        """The command that measures disturbed trials again; empty where none does."""
        return commands.again(self.suite_file, self.folder) if self.folder and self.suite_file else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """A metric over the replicates of one cell. `sd` is the sample standard deviation, None below two values."""

    n: int
    mean: float
    sd: float | None
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CellSummary:
    """One row of the report's table."""

    cell_id: str
    name: str
    kind: Kind
    levels: Mapping[str, str]
    seeds: Sequence[int]
    outcomes: Mapping[str, int]  # outcome → count; "missing" for trials that never ran
    metrics: Mapping[str, Spread]
    config: Mapping[str, Any] = field(default_factory=dict)
    disturbed: Sequence[int] = ()  # seeds whose figures are not to be trusted; they are in `metrics` all the same
    diverged: Sequence[int] = ()  # seeds whose training went wrong and on to its end; they are in `metrics` too
    peak_phases: Sequence[str] = ()  # in which the peak of memory fell, the most frequent over seeds first


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The answer of the suite's `decide`: which cell, by how much, and what stood out of bounds."""

    metric: str
    better: Direction
    winner: str | None  # cell name
    value: Spread | None
    runner_up: str | None
    difference: float | None  # winner − runner-up
    clear: bool  # the winner's and the runner-up's ranges over seeds do not overlap, and they were scored alike
    out_of_bounds: Mapping[str, str] = field(default_factory=dict)  # cell name → which bound it breaks
    unlike: str | None = None  # a sentence: cells that are judged by this were not scored alike


@dataclass(frozen=True, kw_only=True, slots=True)
class CellFinding:
    """A finding of health, folded over the seeds of one cell. `text` is that of the first of `seen`; others differ in
    their numbers alone."""

    cell: str
    kind: Kind
    name: str
    level: Literal["info", "warning"]
    text: str
    seen: Sequence[tuple[int, int | None]]  # seed, and the step where it began


@dataclass(frozen=True, kw_only=True, slots=True)
class Unlike:
    """Scores of the same metrics that were not made alike, in a sentence.

    `grave`: by other backends or versions, or they were asked something else, so that a difference may be due to that.
    What is not is a template of each model's own.
    """

    metrics: Sequence[str]
    text: str
    grave: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class HowScored:
    """How trials were scored on one task. `how`: aspect (backend, documents, few-shot, …) → value in words → trials."""

    task: str
    trials: int
    how: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scoring:
    """How the answer's scores came about. All but `tasks` are sentences."""

    tasks: Sequence[HowScored] = ()
    backends: Sequence[str] = ()  # what scored, in which versions, and why that backend
    proofs: Sequence[str] = ()  # whether the weights that a score names answered, and as transformers would
    overlaps: Sequence[str] = ()  # of tasks with what was trained on
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityRow:
    """A cell's score over steps of its training, each over the seeds that have it; `end`: of the end's weights."""

    cell: str
    kind: Kind
    steps: Mapping[int, Spread]
    end: Spread | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutOfMemory:
    """Trials of one cell that ran out of memory in the same phase. `requested` is the largest request, bytes."""

    cell: str
    kind: Kind
    seeds: Sequence[int]
    phase: str | None
    device: str | None  # host, device, device 0, …
    requested: float | None
    free: float | None  # of the device, when it was asked for
    peak: float | None  # the highest peak of the device (on CPU: of the host) before it, bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """Memory by part as planned and as measured, bytes.

    Parts: weights, reference, gradients, optimizer, activations, peak (torch's), device. `measured` has the means over
    seeds of the parts that were measured; it is empty for a cell that ran out of memory. `loose`: nothing cuts its
    rows, and what depends on the batch is a bound far above what real batches take. `batch` is the largest that was
    forwarded (rows, length), and `forwarded` what the same formulas give for it. `outside`: the phase in which the peak
    fell where that was in no training step, as in an evaluation: predictions are of steps alone.
    """

    cell: str
    kind: Kind
    predicted: Mapping[str, float]
    measured: Mapping[str, float]
    loose: bool = False
    batch: tuple[int, int] | None = None
    forwarded: Mapping[str, float] = field(default_factory=dict)
    outside: str | None = None

    def error(self, part: str, *, forwarded: bool = False) -> float | None:
        """(predicted − measured) ÷ measured; None where either is missing."""
        predicted, measured = (self.forwarded if forwarded else self.predicted).get(part), self.measured.get(part)
        return (predicted - measured) / measured if predicted is not None and measured else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A whole report, computed: rendering adds nothing to it."""

    suite: str
    question: str
    suite_file: str
    headline: str
    decision: Decision | None
    columns: Sequence[str]  # metric names of the main table, in order
    directions: Mapping[str, Direction]  # of each column
    best: Mapping[str, Sequence[str]]  # metric → cell names that are best on it
    cells: Sequence[CellSummary]
    trials: Sequence[TrialResult]
    curves: Sequence[Curve]
    excluded: Sequence[Excluded]
    environments: Mapping[str, Mapping[str, Any]]
    findings: Sequence[str] = ()  # sentences: things a reader must know (mixed environments, few seeds, …)
    score_backends: Sequence[str] = ()
    baseline: Sequence[str] = ()  # names of the cells that the others are compared with
    against: Sequence[CellComparison] = ()  # the other cells of the matrix, in its order, beside a baseline cell each
    what_else: Sequence[str] = ()  # sentences: what changed with an axis besides what it sets
    health: Sequence[CellFinding] = ()  # warnings first
    out_of_memory: Sequence[OutOfMemory] = ()
    predictions: Sequence[Prediction] = ()
    timelines: Sequence[Timeline] = ()
    scoring: Scoring = field(default_factory=Scoring)
    unlike: Sequence[Unlike] = ()  # scores of one column that were not made alike
    quality: Mapping[str, Sequence[QualityRow]] = field(default_factory=dict)  # by score, where steps were scored
    quality_unlike: Sequence[str] = ()  # sentences: scores over steps that were not made alike
    effects: AxisEffects = field(default_factory=AxisEffects)  # of the matrix' axes
    claims: Sequence[ClaimVerdict] = ()
    results: str = "results"  # folder of the run folders
    reports: str = "reports"  # folder of the reports of all suites
