"""An effect and a margin → a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.compare.judging.effects import CONFIDENCE, below, effect, quantile, seeds_alone
from harness.records.metrics import Direction, Margin, Metric, metric, varies
from harness.records.verdict import Effect, Ruling, Run, Verdict

POWER = 0.80
_GOES_WRONG = ("final_loss", "final_eval_loss")
"""Metrics whose not being a number is a result: the training diverged."""
_WIDE = "the most is within the margin, yet runs of one side lie further apart than that"


def judge(
    name: str,
    reference: Sequence[Run],
    candidate: Sequence[Run],
    *,
    margin: Margin | None = None,
    better: Direction | None = None,
) -> Verdict:
    """What the candidate's runs say beside the reference's, of one metric.

    Disturbed runs and figures that are no finite numbers are left out, and the verdict says so. `margin` and `better`
    are the metric's own unless given.

    Raises:
        KeyError: there is no metric of this name.
        ValueError: neither more nor less of it is better, and `better` does not say either.
    """
    known, direction = judged_by(name, better)
    sides = (_counted(reference), _counted(candidate))
    left_out = (*_left_out("reference", reference), *_left_out("candidate", candidate))
    values = ([run.value for run in sides[0]], [run.value for run in sides[1]])

    def verdict(ruling: Ruling, why: str) -> Verdict:
        return Verdict(metric=name, ruling=ruling, better=direction, why=why, left_out=left_out, values=values)

    absent = [side for side, runs in (("reference", reference), ("candidate", candidate)) if not runs]
    if absent:
        return verdict("missing", f"the {' and the '.join(absent)} has no such figure")
    if name in _GOES_WRONG and (told := _diverged(reference, candidate)):
        return verdict(*told)
    found = effect(known.judged, *sides, varies=known.varies)
    if isinstance(found, str):
        return verdict("insufficient", found)
    if found.pairs is not None:
        left_out = (*left_out, *seeds_alone(*({run.seed for run in side} for side in sides)))
    return ruled(name, found, margin or known.margin, direction, left_out=left_out, values=values)


def judged_by(name: str, better: Direction | None) -> tuple[Metric, Direction]:
    """The metric of this name, and which way it is judged: its own unless given.

    Raises:
        KeyError: there is no metric of this name.
        ValueError: neither more nor less of it is better, and `better` does not say either.
    """
    known = metric(name)
    if known is None:
        raise KeyError(name)
    direction = known.better if better is None else better
    if direction == "none":
        raise ValueError(f"neither more nor less {name} is better")
    return known, direction


def _counted(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if math.isfinite(run.value) and not run.disturbed]


def _left_out(side: str, runs: Sequence[Run]) -> list[str]:
    kinds = {
        "not finite": [run.seed for run in runs if not math.isfinite(run.value)],
        "disturbed": [run.seed for run in runs if math.isfinite(run.value) and run.disturbed],
    }
    return [
        f"{len(seeds)} {kind} of the {side} (seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))})"
        for kind, seeds in kinds.items()
        if seeds
    ]


def _diverged(reference: Sequence[Run], candidate: Sequence[Run]) -> tuple[Ruling, str] | None:
    before, after = (sum(not math.isfinite(run.value) for run in runs) for runs in (reference, candidate))
    if not before and not after:
        return None
    why = f"the loss is not finite in {before} of {len(reference)} and {after} of {len(candidate)} runs"
    one, other = before * len(candidate), after * len(reference)  # as shares, of sides that may differ in number
    return "regressed" if other > one else "improved" if one > other else "inconclusive", why


def ruled(
    name: str,
    found: Effect,
    margin: Margin,
    better: Direction,
    *,
    left_out: Sequence[str] = (),
    values: tuple[Sequence[float], Sequence[float]] = ((), ()),
) -> Verdict:
    """The verdict on an effect: `equivalent` where its interval lies within the margin, `improved` or `regressed` where
    it clears it, else `inconclusive`.

    That the 95% interval lies within is the test of two one-sided tests at 2.5% each (Schuirmann, J. Pharmacokinet.
    Biopharm. 15, 1987); that it clears the margin is a test against the nearer bound rather than against no change.
    """
    tolerance = margin.of(found.reference) / abs(found.reference) if found.kind == "ratio" else None
    amount = margin.of(found.reference) if tolerance is None else tolerance
    value, low, high, bound = _on_a_line(found, amount)
    ruling, why = _ruling(found, (value, low, high), bound, better, varies=varies(name))
    return Verdict(
        metric=name,
        ruling=ruling,
        better=better,
        effect=found,
        margin=amount,
        detectable=_detectable(found, bound),
        p=_p(found, value, bound),
        why=why,
        left_out=left_out,
        values=values,
    )


def _on_a_line(found: Effect, margin: float) -> tuple[float, float, float, float]:
    """Value, interval and margin where no change is 0 and both directions weigh alike: logarithms of ratios.

    So a verdict does not depend on which side is called the reference.
    """
    if found.kind == "difference":
        return found.value, found.low, found.high, margin
    value, low, high = (math.log(one) if one > 0 else -math.inf for one in (found.value, found.low, found.high))
    return value, low, high, math.log1p(margin)


def _ruling(
    found: Effect, line: tuple[float, float, float], bound: float, better: Direction, *, varies: bool
) -> tuple[Ruling, str]:
    value, low, high = line
    more: Ruling = "improved" if better == "higher" else "regressed"
    less: Ruling = "regressed" if better == "higher" else "improved"
    if found.error is None:  # the most over runs: deterministic but for its range
        widest = max(value - low, high - value)  # of the candidate's range and the reference's
        if abs(value) <= bound:
            return ("inconclusive", _WIDE) if varies and widest > bound else ("equivalent", "")
        # How far the ranges lie apart beside how wide they are: of two runs a side of one thing, they lie further apart
        # than either is wide in fewer than 5% (by simulation); where nothing varies any distance will do.
        apart = max(low, -high)
        if apart <= widest and widest > 0:
            why = "overlap" if apart <= 0 else "lie no further apart than runs of one side do"
            return "inconclusive", f"the most is beyond the margin, yet the ranges over runs {why}"
        return (more if value > 0 else less), ""
    if low > bound:
        return more, ""
    if high < -bound:
        return less, ""
    if -bound <= low and high <= bound:
        return "equivalent", ""
    return "inconclusive", ""


def _detectable(found: Effect, bound: float) -> float | None:
    """The margin plus (t of 97.5% + t of 80%) standard errors (H. S. Bloom, Evaluation Review 19, 1995), as the effect
    counts; None without a test.
    """
    if found.error is None or found.degrees is None:
        return None
    line = bound
    if found.error:
        line += (quantile((1 + CONFIDENCE) / 2, found.degrees) + quantile(POWER, found.degrees)) * found.error
    return math.expm1(line) if found.kind == "ratio" else line


def _p(found: Effect, value: float, bound: float) -> float | None:
    """Twice the probability of a change so large, were the true one at the nearer margin; at most 1."""
    if found.error is None or found.degrees is None:
        return None
    beyond = abs(value) - bound
    if not found.error:
        return 0.0 if beyond > 0 else 1.0
    return min(1.0, 2 * below(-beyond / found.error, found.degrees))
