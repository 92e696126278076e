"""How the scores came about: what was asked of whom by what, and what a reader should know of it."""

from __future__ import annotations

from collections.abc import Mapping

from harness.records.results import Answer, HowScored
from harness.report.format import shortened, text
from harness.report.tables import Column, tables

_SAID_ALONE = {"system prompt": "none"}
"""Aspects left out where every score has this value."""
_MOST_VALUES = 3
_LONGEST = 40  # characters of a value
_MOST_TASKS = 24


def scoring(answer: Answer) -> str:
    """The section; empty where nothing was scored."""
    found = answer.scoring
    if not found.tasks:
        return ""
    shown = found.tasks[:_MOST_TASKS]
    aspects = [
        name for name in found.tasks[0].how if any(set(one.how[name]) != {_SAID_ALONE.get(name)} for one in shown)
    ]
    first = Column(heading="task", cells=[text(one.task) for one in shown], align="left")
    columns = [Column(heading=name, cells=[_values(one, name) for one in shown], align="left") for name in aspects]
    more = len(found.tasks) - len(shown)
    parts = [tables(first, columns), f"And {more} more tasks." if more else ""]
    sentences = map(text, (*found.backends, *found.proofs, *found.overlaps, *found.notes))
    parts.append("\n".join(f"- {sentence}" for sentence in sentences))
    return "\n\n".join(["## Scoring", *(part for part in parts if part)])


def _values(one: HowScored, aspect: str) -> str:
    """The value of all, or the most frequent ones with how many trials have each."""
    values: Mapping[str, int] = one.how[aspect]
    if len(values) == 1:
        return text(shortened(next(iter(values)), _LONGEST))
    shown = [f"{text(shortened(value, _LONGEST))} ({count})" for value, count in list(values.items())[:_MOST_VALUES]]
    return ", ".join(shown) + (", …" if len(values) > _MOST_VALUES else "")
