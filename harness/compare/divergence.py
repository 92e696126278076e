"""Where two trainings with one seed part: the first logged step at which their losses are not the same any more.

With one seed, one machine and one version a loss is often the same to the last bit; a kernel or a rounding that
changed shows in the first steps, long before a mean over seeds would move.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from harness.records.metrics import Margin
from harness.records.results import Curve, TrialResult
from harness.records.verdict import Divergence

LOSS = "loss"


def divergences(
    reference: Sequence[TrialResult],
    candidate: Sequence[TrialResult],
    losses: tuple[Mapping[str, Curve], Mapping[str, Curve]],
    tolerance: Margin,
) -> tuple[Divergence, ...]:
    """One for each seed that both sides trained to their end, and of which both logged losses at shared steps.

    `losses` are the curves of the reference and of the candidate, by trial id.
    """
    before, after = losses
    others = {trial.seed: trial for trial in candidate if trial.outcome == "ok"}
    found = []
    for one in sorted(reference, key=lambda trial: trial.seed):
        other = others.get(one.seed)
        if one.outcome != "ok" or other is None or one.trial_id not in before or other.trial_id not in after:
            continue
        parted = first_divergence(before[one.trial_id], after[other.trial_id], tolerance)
        if parted is not None:
            found.append(parted)
    return tuple(found)


def first_divergence(one: Curve, other: Curve, tolerance: Margin) -> Divergence | None:
    """Where the other leaves the one; None without a step that both have.

    Of a step with several values (a resumed log) the last counts. Two values that are no numbers are the same.
    """
    mine, its = (dict(zip(curve.steps, curve.values, strict=True)) for curve in (one, other))
    shared = sorted(mine.keys() & its.keys())
    if not shared:
        return None
    exact = next((step for step in shared if not _same(mine[step], its[step])), None)
    beyond = next((step for step in shared if not _within(mine[step], its[step], tolerance)), None)
    return Divergence(seed=one.seed, steps=len(shared), last=shared[-1], exact=exact, beyond=beyond)


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _within(one: float, other: float, tolerance: Margin) -> bool:
    if not (math.isfinite(one) and math.isfinite(other)):
        return _same(one, other)
    return abs(other - one) <= tolerance.of(one)
