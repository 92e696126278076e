"""How well a cell's figure is known, and which cells need more replicates."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.compare.comparison import runs_of
from harness.compare.judging.effects import CONFIDENCE, LEAST, quantile
from harness.compare.summary import measured
from harness.records.figures import said, title
from harness.records.metrics import metric
from harness.records.plan import Plan
from harness.records.results import SuiteResults, TrialResult
from harness.records.suite import Until
from harness.records.units import Amount, parse_amount


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """How well one cell's figure is known.

    `half` is half the width of its mean's 95% interval, in the metric's unit, None below two runs that count; `wanted`
    is how wide it may be at most. `mean` is geometric where changes of the metric are ratios.
    """

    cell_id: str
    cell: str
    n: int
    mean: float | None
    half: float | None
    wanted: float | None

    @property
    def enough(self) -> bool:
        return self.half is not None and self.wanted is not None and self.half <= self.wanted

    @property
    def needs_more(self) -> bool:
        """Whether more replicates could help: some run has the figure."""
        return self.n > 0 and not self.enough


def precisions(trials: Sequence[TrialResult], until: Until) -> tuple[Precision, ...]:
    """One per cell of the matrix, in the order of the trials. Disturbed runs and what is no number do not count.

    A cell none of whose trials has the figure is there with `n` 0: more of the same would not give it one.
    """
    cells: dict[str, list[TrialResult]] = {}
    for trial in trials:
        if trial.kind == "cell":
            cells.setdefault(trial.cell_id, []).append(trial)
    wanted = parse_amount(until.ci)
    return tuple(_precision(cell_id, found, until.metric, wanted) for cell_id, found in cells.items())


def undecided(results: SuiteResults, plan: Plan, until: Until) -> tuple[str, ...]:
    """Ids of the cells whose figure is not known well enough, and that more replicates can help."""
    return tuple(found.cell_id for found in precisions(measured(results, plan), until) if found.needs_more)


def not_reached(plan: Plan, trials: Sequence[TrialResult]) -> Iterable[str]:
    """A finding: which figures are not known as well as the suite wants them to be."""
    until = plan.suite.replicates.until
    if until is None:
        return
    for found in precisions(trials, until):
        if found.half is not None and found.wanted is not None and not found.enough:
            yield (
                f"{title(until.metric)} of {found.cell} is known to ±{said(until.metric, found.half)} after "
                f"{found.n} runs that count; ±{said(until.metric, found.wanted)} ({until.ci}) was asked for."
            )


def _precision(cell_id: str, trials: Sequence[TrialResult], name: str, wanted: Amount) -> Precision:
    values = [run.value for run in runs_of(trials, name) if math.isfinite(run.value) and not run.disturbed]
    known = metric(name)
    in_logs = known is not None and known.judged == "ratio" and bool(values) and min(values) > 0
    line = [math.log(value) for value in values] if in_logs else values
    middle = statistics.fmean(line) if line else None
    half = _half(line)
    mean = math.exp(middle) if in_logs and middle is not None else middle
    if in_logs and half is not None and mean is not None:
        half = mean * math.expm1(half)  # the wider side of an interval that is even in logarithms
    return Precision(
        cell_id=cell_id,
        cell=trials[0].cell_name,
        n=len(values),
        mean=mean,
        half=half,
        wanted=None if mean is None else wanted.share * abs(mean) + wanted.absolute,
    )


def _half(values: Sequence[float]) -> float | None:
    """Student's t: t of 97.5% × the standard error; 0 where all are equal."""
    if len(values) < LEAST:
        return None
    error = statistics.stdev(values) / math.sqrt(len(values))
    return quantile((1 + CONFIDENCE) / 2, len(values) - 1) * error if error else 0.0
