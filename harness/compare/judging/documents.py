"""A score's values on single documents, of two sides → a verdict."""

from __future__ import annotations

import math
from dataclasses import replace

from harness.compare.judging.components import Components, components
from harness.compare.judging.corrections import LEVEL
from harness.compare.judging.judge import judged_by, ruled
from harness.compare.judging.pairing import Paired
from harness.compare.judging.resampling import FEWEST, MOST, correlation, interval, mcnemar, p_beyond, resampled
from harness.records.document_scores import OverDocuments
from harness.records.metrics import Direction, Margin
from harness.records.verdict import Effect, Verdict

LEAST = 2
"""Documents, or clusters of them, below which nothing can be said of how much they vary."""
ALONE = "of these two checkpoints: with one seed a side nothing is known of other trainings"


def judge_documents(
    name: str,
    pair: Paired,
    *,
    margin: Margin | None = None,
    better: Direction | None = None,
    trained: bool = True,
) -> Verdict:
    """What the candidate's documents say beside the reference's, of one score.

    Several seeds a side: the interval holds for other seeds and other documents, see `Components.half_width`. One seed
    a side: for other documents, and of 0/1 metrics the exact test of McNemar must agree before anything is `improved`
    or `regressed`; other metrics have a paired bootstrap. `trained`: the sides are trainings, of which other seeds
    would have come out otherwise, and the verdict says so where there is one seed. `margin` and `better` are the
    metric's own unless given.

    Raises:
        KeyError: there is no metric of this name.
        ValueError: neither more nor less of it is better, and `better` does not say either.
    """
    known, direction = judged_by(name, better)
    values = tuple([float(mean) for mean in side.mean(axis=1)] for side in (pair.reference, pair.candidate))
    if pair.n_clusters < LEAST:
        why = f"an interval takes {LEAST} documents that vary by themselves: there {_are(pair.n_clusters)}"
        return Verdict(
            metric=name,
            ruling="insufficient",
            better=direction,
            why=why,
            left_out=pair.left_out,
            values=values,  # type: ignore[arg-type]
        )
    parts = components(pair)
    means = None
    if _is_resampled(pair, parts):
        means = resampled(parts.units)
    drawn = None if means is None else interval(means, len(parts.units), parts.document_degrees)
    found = _effect(pair, parts, drawn)
    verdict = ruled(
        name,
        found,
        margin or known.margin,
        direction,
        left_out=pair.left_out,
        values=values,  # type: ignore[arg-type]
    )
    if means is not None:
        beyond = {"value": found.value, "bound": verdict.margin or 0.0}
        p = p_beyond(means, len(parts.units), parts.document_degrees, **beyond)
        verdict = replace(verdict, p=p)
    verdict = replace(verdict, documents=_over(pair, parts))
    return _told(_exact(verdict), pair, trained=trained)


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count or 'none'}"


def _is_resampled(pair: Paired, parts: Components) -> bool:
    fits = FEWEST <= len(parts.units) <= MOST and parts.over_documents > 0
    return fits and parts.over_seeds is None and not pair.binary


def _effect(pair: Paired, parts: Components, resampled_interval: tuple[float, float] | None) -> Effect:
    half = parts.half_width
    low, high = resampled_interval or (parts.value - half, parts.value + half)
    if pair.binary:
        low, high = max(low, -1.0), min(high, 1.0)
    return Effect(
        kind="difference",
        value=parts.value,
        low=low,
        high=high,
        n=(len(pair.reference), len(pair.candidate)),
        reference=float(pair.reference.mean()),
        how=_how(pair, parts, resampled_interval is not None),
        pairs=pair.documents,
        error=parts.error,
        degrees=parts.effective_degrees,
    )


def _how(pair: Paired, parts: Components, is_resampled: bool) -> str:
    over = "documents" if pair.clusters is None else f"{pair.n_clusters} clusters of documents"
    if parts.over_seeds is not None:
        seeds = "seeds, both paired" if pair.by_seed else "seeds, documents paired"
        return f"variance over {over} and {seeds}"
    if is_resampled:
        return f"paired bootstrap over {over}"
    exact = " and McNemar's exact test" if _has_mcnemar(pair) else ""
    return f"paired t over {over}{exact}"


def _has_mcnemar(pair: Paired) -> bool:
    return len(pair.reference) == len(pair.candidate) == 1 and pair.binary and pair.clusters is None


def _over(pair: Paired, parts: Components) -> OverDocuments:
    before, after = pair.reference.mean(axis=0), pair.candidate.mean(axis=0)
    fixed = broken = exact = None
    if pair.binary:
        turned = after - before
        fixed, broken = float(turned[turned > 0].sum()), abs(float(turned[turned < 0].sum()))
        if _has_mcnemar(pair):
            exact = mcnemar(round(fixed), round(broken))
    known = parts.over_seeds is not None
    return OverDocuments(
        documents=pair.documents,
        clusters=pair.n_clusters,
        seeds=(len(pair.reference), len(pair.candidate)),
        document_error=math.sqrt(parts.over_documents),
        seed_error=math.sqrt(parts.seed_part) if known else None,
        document_sd=float((after - before).std(ddof=1)),
        seed_sd=math.sqrt(parts.seed_variance) if known else None,
        correlation=correlation(before, after),
        gain=parts.apart / float(parts.units.var(ddof=1) / len(parts.units)) if parts.units.var() else None,
        duplicates=pair.duplicates,
        without_value=pair.without_value,
        fixed=fixed,
        broken=broken,
        mcnemar=exact,
    )


def _exact(verdict: Verdict) -> Verdict:
    """What McNemar's exact test does not confirm is not found."""
    exact = verdict.documents.mcnemar if verdict.documents else None
    if exact is None or verdict.p is None:
        return verdict
    verdict = replace(verdict, p=max(verdict.p, exact))
    if verdict.ruling in ("improved", "regressed") and exact > LEVEL:
        why = f"the interval clears the margin, but so few documents turn that it may be chance (exact p {exact:.2g})"
        return replace(verdict, ruling="inconclusive", why=why)
    return verdict


def _told(verdict: Verdict, pair: Paired, *, trained: bool) -> Verdict:
    told = [verdict.why] if verdict.why else []
    if trained and verdict.documents and verdict.documents.seed_error is None:
        told.append(ALONE)
    if pair.duplicates:
        copies = "document is" if pair.duplicates == 1 else "documents are"
        told.append(f"{pair.duplicates} {copies} there already: counted, and taken to vary as one with the first")
    return replace(verdict, why="; ".join(told))
