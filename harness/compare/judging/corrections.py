"""Many verdicts at once: what is found by chance among them is kept to 5%."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from harness.records.verdict import Verdict

LEVEL = 0.05

Correction = Literal["benjamini-hochberg", "holm"]
"""Benjamini & Hochberg, J. R. Stat. Soc. B 57 (1995): of what is found, at most 5% is expected to be false; for the
many figures of a matrix. Holm, Scand. J. Stat. 6 (1979): any false finding at all at most 5%; for the few tasks of a
score."""


def corrected(verdicts: Sequence[Verdict], correction: Correction = "benjamini-hochberg") -> list[Verdict]:
    """The same verdicts in the same order; `improved` and `regressed` that do not survive are `inconclusive` then.

    Those without a test (memory, what is missing) are left as they are and do not count among the others.
    """
    tested = [number for number, verdict in enumerate(verdicts) if verdict.p is not None]
    adjust = _benjamini_hochberg if correction == "benjamini-hochberg" else _holm
    adjusted = dict(zip(tested, adjust([verdicts[number].p or 0.0 for number in tested]), strict=True))
    return [_with(verdict, adjusted.get(number), len(tested)) for number, verdict in enumerate(verdicts)]


def _with(verdict: Verdict, p: float | None, asked: int) -> Verdict:
    if p is None:
        return verdict
    if verdict.ruling in ("improved", "regressed") and p > LEVEL:
        why = f"seen, but among {asked} figures at once it may be chance (adjusted p {p:.2g})"
        whole = f"{why}; {verdict.why}" if verdict.why else why
        return replace(verdict, p_adjusted=p, ruling="inconclusive", why=whole)
    return replace(verdict, p_adjusted=p)


def adjusted(ps: Sequence[float]) -> list[float]:
    """p values corrected for how many they are, in the same order (Benjamini & Hochberg)."""
    return _benjamini_hochberg(ps)


def _benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """As scipy.stats.false_discovery_control, which takes most of a second to import: from the largest p downwards the
    least of p × n ÷ rank."""
    adjusted = [1.0] * len(ps)
    least = 1.0
    for rank, place in reversed(list(enumerate(sorted(range(len(ps)), key=ps.__getitem__), start=1))):
        least = min(least, ps[place] * len(ps) / rank)
        adjusted[place] = least
    return adjusted


def _holm(ps: Sequence[float]) -> list[float]:
    """As statsmodels' multipletests(method="holm"), which brings pandas along: from the smallest p upwards the most of
    p × those that are left."""
    adjusted = [0.0] * len(ps)
    most = 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        most = max(most, min(1.0, ps[place] * (len(ps) - rank)))
        adjusted[place] = most
    return adjusted
