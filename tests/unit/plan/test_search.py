"""The search for the largest value that fits: right where more takes more, and quick where its guess is good."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.plan.search import Edge, Span, edge, next_value


def _search(span: Span, truth: int) -> dict[int, bool]:
    """Every value that is tried, and whether it fits: those up to `truth` do."""
    known: dict[int, bool] = {}
    while (value := next_value(known, span)) is not None:
        assert value not in known, "tried twice"
        assert span.lowest <= value <= span.highest
        assert value % span.step == 0
        known[value] = value <= truth
        assert len(known) <= 40
    return known


@given(
    low=st.integers(1, 50),
    width=st.integers(0, 5000),
    step=st.sampled_from([1, 1, 7, 64]),
    guess=st.none() | st.integers(1, 6000),
    truth=st.integers(0, 6000),
)
def test_it_finds_the_largest_that_fits(low: int, width: int, step: int, guess: int | None, truth: int) -> None:
    span = Span(low=low, high=low + width, step=step, guess=guess)
    if span.lowest > span.highest:
        return
    known = _search(span, truth)
    fitting = [value for value in range(span.lowest, span.highest + 1, step) if value <= truth]
    found = edge(known)
    assert found.fits == (fitting[-1] if fitting else None)
    assert (found.fails is None) == (truth >= span.highest)


def test_it_doubles_and_then_halves() -> None:
    assert list(_search(Span(low=1, high=1000), 48)) == [1, 2, 4, 8, 16, 32, 64, 48, 56, 52, 50, 49]


def test_a_good_guess_saves_most_of_it() -> None:
    assert len(_search(Span(low=1, high=1000, guess=50), 48)) <= 6
    assert len(_search(Span(low=1, high=1000, guess=48), 48)) <= 5


@given(st.dictionaries(st.integers(1, 100), st.booleans(), max_size=12), st.none() | st.integers(1, 100))
def test_whatever_is_known_it_ends(known: dict[int, bool], guess: int | None) -> None:
    """Also where trials contradict each other: something larger fits than what did not."""
    span, tried = Span(low=1, high=100, guess=guess), dict(known)
    for _ in range(20):
        value = next_value(tried, span)
        if value is None:
            return
        assert value not in tried
        tried[value] = False
    raise AssertionError("it goes on")


def test_where_answers_mix_a_failure_counts_before_what_fits_above_it() -> None:
    assert edge({4: True, 8: False, 16: True}) == Edge(fits=4, fails=8)
    assert edge({}) == Edge(fits=None, fails=None)
