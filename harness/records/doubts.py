"""What of a suite is in doubt because something in its file is wrong and had to be left out.

A suite with mistakes in it is still expanded, so that whatever else is wrong can be told at once. What only seems wrong
because of what is missing must not be told; this says what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.records.suite import Step

Scope = tuple[Step, ...]
"""The part of a suite that something was left out of: ("base",), ("stages", name), ("matrix", axis, level),
("include", number), or ("matrix",) for axes that are missing altogether."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that was left out. `path` is the field path it set, or may have been meant to set; empty: any.

    `vague`: that it meant this very field is unlikely; something in it, or one spelled otherwise, is not.
    """

    path: str
    vague: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubts:
    """`losses` by the part of the suite they are missing from.

    `levels`: how many levels of an axis are missing. `wide`: numbers (from 0) of the exclude rules that choose more
    cells than was meant, since an entry is missing. `open`: sections of which a whole entry is missing, so that there
    may be more axes, levels, included cells or rules than are known. `unread`: sections that nobody looked at, since
    they change nothing about cells: what they ask for beside them is not known.
    """

    losses: Mapping[Scope, tuple[Loss, ...]] = field(default_factory=dict)
    levels: Mapping[str, int] = field(default_factory=dict)
    wide: frozenset[int] = frozenset()
    open: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.losses or self.levels or self.wide or self.open)


NONE = Doubts()


def overlap(one: str, other: str) -> bool:
    """Whether two field paths are the same, or one leads into the other; the empty one leads everywhere."""
    return not one or not other or one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")
