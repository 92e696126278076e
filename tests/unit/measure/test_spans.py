"""The measured window as stretches of time: what pauses it is cut out, and looking something up in it costs little."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.summarise.spans import Span, measured_spans, overlap
from harness.records.events import Event


class Counted(tuple[Span, ...]):
    """Spans that count how many of them were looked at."""

    looked = 0

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        self.looked += len(found) if isinstance(place, slice) else 1
        return found

    def __iter__(self) -> Any:
        for span in super().__iter__():
            self.looked += 1
            yield span


@given(
    st.lists(st.integers(0, 40), max_size=12, unique=True).map(sorted),
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted),
)
def test_the_seconds_within_spans_are_those_counted_one_by_one(edges: list[int], stretch: list[int]) -> None:
    spans = [(float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    seconds = [at for at in range(*stretch) if any(a <= at < b for a, b in spans)]
    assert overlap(spans, *map(float, stretch)) == len(seconds)


def test_a_short_stretch_is_looked_for_in_few_of_many_spans() -> None:
    spans = Counted((float(at), at + 0.5) for at in range(4096))
    assert overlap(spans, 2000.25, 2002.25) == pytest.approx(1.0)
    assert spans.looked <= 40


def _evaluated(steps: int) -> list[Event]:
    """A step from each even second to the next odd one, and an evaluation after it."""
    found: list[Event] = []
    for number in range(steps):
        at = 2.0 * number
        found += [
            {"kind": "step", "step": number + 1, "t": at + 1, "wall_s": 1.0, "measured": True},
            {"kind": "phase", "name": "eval", "edge": "start", "t": at + 1},
            {"kind": "phase", "name": "eval", "edge": "end", "t": at + 2},
        ]
    return found


def test_each_of_many_evaluations_is_cut_out() -> None:
    assert measured_spans(_evaluated(50)) == [(2.0 * number, 2.0 * number + 1) for number in range(50)]


def test_a_pause_may_hold_the_edge_of_a_step() -> None:
    step: Event = {"kind": "step", "step": 1, "t": 4.0, "wall_s": 4.0, "measured": True}
    edges: list[Event] = [
        {"kind": "phase", "name": "save", "edge": edge, "t": t} for t, edge in ((3.0, "start"), (6.0, "end"))
    ]
    later: Event = {"kind": "step", "step": 3, "t": 9.0, "wall_s": 1.0, "measured": True}
    warm: Event = {"kind": "step", "step": 2, "t": 5.0, "wall_s": 1.0, "measured": False}
    assert measured_spans([step, *edges, warm, later]) == [(0.0, 3.0), (6.0, 9.0)]
