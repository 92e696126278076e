"""Names in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

MOST_NAMES = 4


def named(names: Sequence[str], of: int, what: str = "trials") -> str:
    """The first names and how many more; `of` how many there are at all, which says it shorter where it is all."""
    if len(names) == of and of > MOST_NAMES:
        return f"all {of} {what}"
    shown = ", ".join(names[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else f"{shown} and {len(names) - MOST_NAMES} more"
