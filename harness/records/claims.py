"""Claims as the trials of a suite bear them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # reports need no pydantic
    from harness.records.suite import Claim

ClaimRuling = Literal["confirmed", "refuted", "inconclusive", "untested"]
"""`confirmed`: the interval lies wholly within what the claim says; `refuted`: wholly outside; `inconclusive`: neither.
`untested`: the machine cannot run it, or what it compares has not run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What was measured of a claim, with its 95% interval: a ratio, a difference in the metric's unit, or the figure.

    `n` are the runs of the reference and of the candidate (of a figure itself: 0 and its runs), `pairs` how many pairs
    of cells they are from.
    """

    value: float
    low: float
    high: float
    n: tuple[int, int]
    pairs: int
    how: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimVerdict:
    """One claim, and what became of it.

    `claimed`: what it says of the metric, in words. `why`: what the ruling alone does not say. `left_out`: runs and
    cells that were not counted, in words. `on`: the devices it was measured on.
    """

    claim: Claim
    ruling: ClaimRuling
    claimed: str
    measured: Measured | None = None
    why: str = ""
    left_out: Sequence[str] = ()
    on: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A GPU that is here. `memory_bytes` is None where it does not tell."""

    name: str
    memory_bytes: float | None = None
