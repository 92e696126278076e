"""The measured window as stretches of time: from its first step to its last, evaluations and saving left out."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import itemgetter

from harness.measure.summarise.numbers import number
from harness.records.events import Event

Span = tuple[float, float]

_PAUSES = ("eval", "save")


def measured_spans(events: Sequence[Event]) -> list[Span]:
    """When the measured steps ran, in seconds since the attempt's start, ascending and disjoint; [] without any.

    A step runs from the end of the one before to its own end, less the phases that pause training.
    """
    spans: list[Span] = []
    last: float | None = None
    for step in (event for event in events if event.get("kind") == "step"):
        end = number(step.get("t"))
        begin = last if last is not None else end - max(0.0, number(step.get("wall_s")))
        last = end
        if step.get("measured") and begin < end:
            if spans and spans[-1][1] == begin:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((begin, end))
    return _without(spans, _paused(events))


def length(spans: Sequence[Span]) -> float:
    """Seconds in all."""
    return sum(end - begin for begin, end in spans)


def overlap(spans: Sequence[Span], begin: float, end: float) -> float:
    """Seconds of the stretch from `begin` to `end` that lie within the spans, ascending and disjoint."""
    return sum(min(b, end) - max(a, begin) for a, b in _touched(spans, begin, end))


def went_back(events: Sequence[Event]) -> float | None:
    """When the clock was first seen to have gone back; None where it did not."""
    found = (event for event in events if event.get("kind") == "finding" and event.get("name") == "clock_stepped_back")
    return next((number(event.get("t")) for event in found), None)


def _paused(events: Sequence[Event]) -> list[Span]:
    """Ascending and disjoint: what is called inside a pause is part of it."""
    begun: dict[str, float] = {}
    found: list[Span] = []
    for event in events:
        name = event.get("name")
        if event.get("kind") != "phase" or name not in _PAUSES:
            continue
        if event.get("edge") == "start":
            begun[name] = number(event.get("t"))
        elif name in begun:
            found.append((begun.pop(name), number(event.get("t"))))
    return found


def _without(spans: Sequence[Span], pauses: Sequence[Span]) -> list[Span]:
    """What the pauses leave of the spans, both ascending and disjoint."""
    found: list[Span] = []
    for begin, end in spans:
        for out, back in _touched(pauses, begin, end):
            found += [(begin, out)] if begin < out else []
            begin = back
        found += [(begin, end)] if begin < end else []
    return found


def _touched(spans: Sequence[Span], begin: float, end: float) -> Sequence[Span]:
    """Those that share some time with the stretch: a training that evaluates often has thousands, and most do not."""
    return spans[bisect_right(spans, begin, key=itemgetter(1)) : bisect_left(spans, end, key=itemgetter(0))]
