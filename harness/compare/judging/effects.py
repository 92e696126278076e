"""The change between two sides with its 95% interval, by the way its metric is judged.

The trial is the unit, never the step: steps of one run are correlated, and pooling them finds differences everywhere
(see docs/comparing.md for how often).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Sequence

from harness.records.metrics import Judged
from harness.records.verdict import Effect, Run

CONFIDENCE = 0.95
LEAST = 2
"""Runs a side below which nothing can be said of how much they vary."""


def effect(judged: Judged, reference: Sequence[Run], candidate: Sequence[Run], *, varies: bool = False) -> Effect | str:
    """The effect of runs that are all finite and to be counted; a sentence instead where there can be none.

    `difference` is paired where both sides share at least two seeds, and only those are counted then. `varies`: as of
    the metric.
    """
    if judged == "most" and not (varies and min(len(reference), len(candidate)) < LEAST):
        return _most(reference, candidate)
    if judged == "difference":
        shared = _shared(reference, candidate)
        if len(shared) >= LEAST:
            return _paired(shared)
    short = [side for side, runs in (("reference", reference), ("candidate", candidate)) if len(runs) < LEAST]
    if short:
        return f"an interval takes {LEAST} runs a side: {_counts(reference, candidate)}"
    if judged == "difference":
        return _welch(_values(reference), _values(candidate))
    if min(run.value for run in (*reference, *candidate)) <= 0:
        return "a ratio takes figures above 0"
    return _ratio(_values(reference), _values(candidate))


def _counts(reference: Sequence[Run], candidate: Sequence[Run]) -> str:
    return f"the reference has {len(reference)}, the candidate {len(candidate)}"


def _values(runs: Sequence[Run]) -> list[float]:
    return [run.value for run in runs]


def _shared(reference: Sequence[Run], candidate: Sequence[Run]) -> list[tuple[float, float]]:
    """Values of the seeds that both sides have, each once."""
    before = {run.seed: run.value for run in reference}
    after = {run.seed: run.value for run in candidate}
    return [(before[seed], after[seed]) for seed in sorted(before.keys() & after.keys())]


def seeds_alone(reference: Collection[int], candidate: Collection[int]) -> list[str]:
    """What pairs by seed leave out: seeds of one side alone, in words."""
    sides = (("reference", reference, candidate), ("candidate", candidate, reference))
    alone = [(name, sorted({*own} - {*others})) for name, own, others in sides]
    return [
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))} of the {name} alone"
        for name, seeds in alone
        if seeds
    ]


def _ratio(reference: Sequence[float], candidate: Sequence[float]) -> Effect:
    """Welch's t on the logarithms: the ratio of geometric means. Rates and times vary by factors, not by amounts.

    Kalibera & Jones, "Rigorous benchmarking in reasonable time" (ISMM 2013), take ratios of means with intervals over
    the highest level that varies, the execution; B. L. Welch, Biometrika 34 (1947), for unequal variances.
    """
    logs = _welch([math.log(value) for value in reference], [math.log(value) for value in candidate])
    return Effect(
        kind="ratio",
        value=math.exp(logs.value),
        low=math.exp(logs.low),
        high=math.exp(logs.high),
        n=logs.n,
        reference=math.exp(logs.reference),
        how="Welch's t on logs",
        error=logs.error,
        degrees=logs.degrees,
    )


def _welch(reference: Sequence[float], candidate: Sequence[float]) -> Effect:
    """Welch's t, with the degrees of freedom of Welch and Satterthwaite, as scipy.stats.ttest_ind(equal_var=False)."""
    parts = [statistics.variance(side) / len(side) for side in (reference, candidate)]
    before, after = statistics.fmean(reference), statistics.fmean(candidate)
    squared = sum(parts)
    if squared > 0:
        sizes = (len(reference), len(candidate))
        degrees = squared**2 / sum(part**2 / (n - 1) for part, n in zip(parts, sizes, strict=True))
    else:
        degrees = float(len(reference) + len(candidate) - 2)
    return _with_interval(
        after - before,
        math.sqrt(squared),
        degrees,
        n=(len(reference), len(candidate)),
        reference=before,
        how="Welch's t",
    )


def _paired(pairs: Sequence[tuple[float, float]]) -> Effect:
    """Student's t on the differences within seeds: what a seed brings to both sides cancels out."""
    differences = [after - before for before, after in pairs]
    return _with_interval(
        statistics.fmean(differences),
        statistics.stdev(differences) / math.sqrt(len(differences)),
        float(len(differences) - 1),
        n=(len(pairs), len(pairs)),
        reference=statistics.fmean(before for before, _ in pairs),
        how="paired t over seeds",
        pairs=len(pairs),
    )


def _with_interval(
    value: float,
    error: float,
    degrees: float,
    *,
    n: tuple[int, int],
    reference: float,
    how: str,
    pairs: int | None = None,
) -> Effect:
    half = quantile((1 + CONFIDENCE) / 2, degrees) * error if error else 0.0
    return Effect(
        kind="difference",
        value=value,
        low=value - half,
        high=value + half,
        n=n,
        reference=reference,
        how=how,
        pairs=pairs,
        error=error,
        degrees=degrees,
    )


def _most(reference: Sequence[Run], candidate: Sequence[Run]) -> Effect | str:
    """The most over runs beside the most over runs. Memory hardly varies, so there is no test: the interval is the
    range of all ratios that could be formed, one point where nothing varies.
    """
    before, after = _values(reference), _values(candidate)
    if not before or not after:
        return f"there must be a run a side: {_counts(reference, candidate)}"
    if min(before) <= 0:
        if max(before) == 0:
            return _amount(before, after)
        return "a ratio takes figures above 0"
    return Effect(
        kind="ratio",
        value=max(after) / max(before),
        low=min(after) / max(before),
        high=max(after) / min(before),
        n=(len(before), len(after)),
        reference=max(before),
        how="most over runs",
    )


def _amount(before: Sequence[float], after: Sequence[float]) -> Effect:
    """Beside nothing at all (no optimizer state, no reference model) only a difference can be told."""
    return Effect(
        kind="difference",
        value=max(after),
        low=min(after),
        high=max(after),
        n=(len(before), len(after)),
        reference=0.0,
        how="most over runs",
    )


def quantile(probability: float, degrees: float) -> float:
    """Student's t quantile. scipy.special is a third of scipy.stats to import."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def below(t: float, degrees: float) -> float:
    """The probability of a t below this one."""
    from scipy.special import stdtr

    return float(stdtr(degrees, t))
