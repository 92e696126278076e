"""What was measured of a claim: in one pair of cells, and in several of them together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.compare.judging import effect
from harness.compare.judging.effects import CONFIDENCE, LEAST, quantile
from harness.records.claims import Measured
from harness.records.metrics import Metric
from harness.records.suite import ClaimKind
from harness.records.verdict import Effect, Run

TOO_FEW = "too few runs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What a pair of cells tells, on a line: of ratios and rates the logarithm. `error`, `degrees`: see `Effect`."""

    value: float
    low: float
    high: float
    n: tuple[int, int]
    how: str
    logs: bool = False
    error: float | None = None
    degrees: float | None = None

    def as_read(self) -> Told:
        """The same off the line, where there is no test."""
        value, low, high = (math.exp(one) if self.logs else one for one in (self.value, self.low, self.high))
        return replace(self, value=value, low=low, high=high, logs=False, error=None, degrees=None)

    def measured(self, pairs: int = 1) -> Measured:
        """The same as it is read."""
        read = self.as_read()
        return Measured(value=read.value, low=read.low, high=read.high, n=self.n, pairs=pairs, how=self.how)


def told_of(kind: ClaimKind, known: Metric, one: Sequence[Run], other: Sequence[Run]) -> Told | str:
    """What runs of a reference and a candidate tell, all of them to be counted; a sentence where they tell nothing.

    A figure itself is the candidate's.
    """
    if kind == "value":
        return _figure(known, other)
    if kind == "difference" and known.judged == "most":
        return _between_most(one, other)
    found = effect("most" if known.judged == "most" else kind, one, other, varies=known.varies)
    if isinstance(found, str):
        return f"{TOO_FEW}: {found}" if "interval takes" in found else found
    if found.kind != kind:
        return "the reference has none of it, and nothing is a multiple of nothing"
    return _of_effect(found)


def pooled(told: Sequence[Told]) -> Told:
    """The mean over pairs of cells, each counting alike, with an interval for just these cells.

    Variances of the pairs add up; degrees of freedom by Satterthwaite, Biometrics Bulletin 2 (1946). Where there is no
    test, the interval is the range over the pairs.
    """
    if len(told) == 1:
        return told[0]
    if len({one.logs for one in told}) > 1:  # some have no logarithm: a candidate holds nothing
        told = [one.as_read() for one in told]
    value = statistics.fmean(one.value for one in told)
    n = sum(one.n[0] for one in told), sum(one.n[1] for one in told)
    variances = [one.error**2 for one in told if one.error is not None]
    degrees = [one.degrees for one in told if one.degrees is not None]
    if len(variances) < len(told) or len(degrees) < len(told):
        low, high = min(one.low for one in told), max(one.high for one in told)
        return replace(told[0], value=value, low=low, high=high, n=n, error=None, degrees=None)
    total = math.fsum(variances)
    error = math.sqrt(total) / len(told)
    free = math.fsum(degrees)
    if total > 0:
        free = total**2 / math.fsum(part**2 / own for part, own in zip(variances, degrees, strict=True))
    half = quantile((1 + CONFIDENCE) / 2, free) * error if error else 0.0
    return replace(told[0], value=value, low=value - half, high=value + half, n=n, error=error, degrees=free)


def _of_effect(found: Effect) -> Told:
    ends = (found.value, found.low, found.high)
    logs = found.kind == "ratio"
    if logs and min(ends) <= 0:
        logs = False  # the most over runs of a candidate that holds nothing
    value, low, high = (math.log(end) for end in ends) if logs else ends
    return Told(
        value=value,
        low=low,
        high=high,
        n=found.n,
        how=found.how,
        logs=logs,
        error=found.error,
        degrees=found.degrees,
    )


def _between_most(one: Sequence[Run], other: Sequence[Run]) -> Told:
    before, after = ([run.value for run in side] for side in (one, other))
    return Told(
        value=max(after) - max(before),
        low=min(after) - max(before),
        high=max(after) - min(before),
        n=(len(one), len(other)),
        how="most over runs",
    )


def _figure(known: Metric, runs: Sequence[Run]) -> Told | str:
    """The figure of one cell: Student's t over its runs, on logs for what varies by factors."""
    values = [run.value for run in runs]
    if known.judged == "most":
        return Told(value=max(values), low=min(values), high=max(values), n=(0, len(runs)), how="most over runs")
    if len(values) < LEAST:
        return f"{TOO_FEW}: an interval takes {LEAST}"
    logs = known.judged == "ratio" and min(values) > 0
    scaled = [math.log(value) for value in values] if logs else values
    middle, error = statistics.fmean(scaled), statistics.stdev(scaled) / math.sqrt(len(scaled))
    half = quantile((1 + CONFIDENCE) / 2, len(scaled) - 1) * error if error else 0.0
    return Told(
        value=middle,
        low=middle - half,
        high=middle + half,
        n=(0, len(runs)),
        how="t over runs, on logs" if logs else "t over runs",
        logs=logs,
        error=error,
        degrees=float(len(scaled) - 1),
    )
