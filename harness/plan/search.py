"""The next value to try in the search for the largest that fits: out by doubling steps, then in by halves.

A pure function of what is known, so a search goes on wherever it was left, and values that were tried are not again.
It takes for granted that what fits keeps fitting when the value is smaller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_NEAR = 8  # of a start that was guessed, the first step is this part: a guess is near, or it is of no use


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """The values that may be tried: multiples of `step` from `low` to `high`; `guess` is where to begin, if not low."""

    low: int
    high: int
    step: int = 1
    guess: int | None = None

    @property
    def lowest(self) -> int:
        """The smallest value of the span."""
        return -(-self.low // self.step) * self.step

    @property
    def highest(self) -> int:
        """The largest."""
        return self.high // self.step * self.step

    @property
    def start(self) -> int:
        """The first value to try."""
        return self.lowest if self.guess is None else self.nearest(self.guess)

    def nearest(self, value: int) -> int:
        """The largest value of the span up to `value`; the smallest where that is less."""
        return max(self.lowest, min(self.highest, value // self.step * self.step))


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """What is known: the largest value below which nothing failed that fits, and the smallest that does not."""

    fits: int | None
    fails: int | None


def edge(known: Mapping[int, bool]) -> Edge:
    """The edge between what fits and what does not. Where they mix, a failure counts before what fits above it."""
    fails = min((value for value, fits in known.items() if not fits), default=None)
    fits = max((value for value, fine in known.items() if fine and (fails is None or value < fails)), default=None)
    return Edge(fits=fits, fails=fails)


def next_value(known: Mapping[int, bool], span: Span) -> int | None:
    """The value to try next; None when the largest that fits is known, or that none does."""
    found = edge(known)
    first = span.start if span.guess is None else max(span.step, span.start // _NEAR)
    if found.fits is None and found.fails is None:
        return span.start
    if found.fails is None:
        assert found.fits is not None
        return None if found.fits >= span.highest else _beyond(found.fits, first * 2 ** (len(known) - 1), span)
    if found.fits is None:
        return None if found.fails <= span.lowest else _below(found.fails, first * 2 ** (len(known) - 1), span)
    if found.fails - found.fits <= span.step:
        return None
    return span.nearest((found.fits + found.fails) // 2)


def _beyond(fits: int, further: int, span: Span) -> int:
    return max(span.nearest(fits + further), span.nearest(fits + span.step))


def _below(fails: int, back: int, span: Span) -> int:
    return min(span.nearest(fails - back), span.nearest(fails - span.step))
