"""The next release to try in the search for the first bad one: in by halves, around those that tell nothing.

A pure function of what is known, so a search goes on wherever it was left, and what was tried is not tried again. It
takes for granted that what follows a bad release is bad, and what comes before a good one is good, as `git bisect`
does. Releases are numbered from 0, the good end, to the last, the bad end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Found = Literal["good", "bad", "inconclusive", "unusable"]
"""What trying a release came to. `inconclusive`: its trials do not tell; `unusable`: it has none, since it could not be
built or its trials failed. Neither says anything about it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Narrowed:
    """What is known: `good` is the last release known to be good, `bad` the first known to be bad, None before the bad
    end was judged. The first bad one is `bad` or one of `between`, which were tried and told nothing.
    """

    good: int
    bad: int | None
    between: tuple[int, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether the first bad release is known."""
        return self.bad is not None and not self.between


def narrowed(known: Mapping[int, Found]) -> Narrowed:
    """What the releases that were tried say; the good end needs no trial of its own.

    Where releases contradict what is taken for granted, the first bad one counts.
    """
    bad = min((number for number, found in known.items() if found == "bad"), default=None)
    good = max((n for n, found in known.items() if found == "good" and (bad is None or n < bad)), default=0)
    if bad is None:
        return Narrowed(good=good, bad=None)
    silent = ("inconclusive", "unusable")
    between = tuple(sorted(n for n, found in known.items() if found in silent and good < n < bad))
    return Narrowed(good=good, bad=bad, between=between)


def next_release(known: Mapping[int, Found], last: int) -> int | None:
    """The release to try next, `last` being the bad end; None when nothing that could be tried would say more.

    First the bad end: is it bad here at all? Then the middle one of those that are left, which costs a search one try
    more at most for each release that tells nothing.
    """
    if last not in known:
        return last
    if known[last] != "bad":
        return None
    now = narrowed(known)
    assert now.bad is not None
    left = [number for number in range(now.good + 1, now.bad) if number not in known]
    return left[(len(left) - 1) // 2] if left else None
