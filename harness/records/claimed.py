"""What was measured of a claim, as people read it beside what was claimed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.records.amounts import figure, times
from harness.records.claims import ClaimVerdict

if TYPE_CHECKING:  # reports need no pydantic
    from harness.records.suite import Claim


def claimed(claim: Claim) -> str:
    """`at least 2×`, `0.2× to 0.3×`, `at most −5.0 pt`."""
    low, high = (None if bound is None else _bound(claim, bound) for bound in (claim.low, claim.high))
    if low is not None and high is not None:
        return low if low == high else f"{_without_unit(low, high)} to {high}"
    return f"at least {low}" if high is None else f"at most {high}"


def measured(one: ClaimVerdict) -> str:
    """`2.31× [2.20, 2.42]`; the value alone where nothing varies, empty where nothing was measured."""
    if one.measured is None:
        return ""
    figures = (one.measured.value, one.measured.low, one.measured.high)
    middle, low, high = (_said(one.claim, value) for value in figures)
    if low == middle == high:
        return middle
    return f"{middle} [{_without_unit(low, middle)}, {_without_unit(high, middle)}]"


def runs(one: ClaimVerdict) -> str:
    """`3 vs 3 runs`, `6 vs 6 runs in 2 pairs of cells`; empty where nothing was measured."""
    if one.measured is None:
        return ""
    if one.claim.kind == "value":
        counts, many = str(one.measured.n[1]), "cells"
    else:
        counts, many = f"{one.measured.n[0]} vs {one.measured.n[1]}", "pairs of cells"
    return f"{counts} runs" if one.measured.pairs == 1 else f"{counts} runs in {one.measured.pairs} {many}"


def _bound(claim: Claim, value: float) -> str:
    return f"{value:g}×" if claim.kind == "ratio" else _said(claim, value)


def _said(claim: Claim, value: float) -> str:
    return times(value) if claim.kind == "ratio" else figure(claim.metric, value, signed=claim.kind == "difference")


def _without_unit(text: str, like: str) -> str:
    """The figure alone, where another that is told beside it has the same unit."""
    unit = "×" if like.endswith("×") else like[like.index(" ") :] if " " in like else ""
    return text.removesuffix(unit) if unit else text
