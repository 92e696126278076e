"""The search for the first bad release, against releases made up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.plan.bisection import Found, Narrowed, narrowed, next_release

Oracle = Callable[[int], Found]


def search(last: int, oracle: Oracle) -> tuple[Narrowed, list[int]]:
    """Bisects to the end; what was found, and the releases in the order they were tried."""
    known: dict[int, Found] = {}
    while (number := next_release(known, last)) is not None:
        assert number not in known, "no release is tried twice"
        known[number] = oracle(number)
    return narrowed(known), list(known)


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, int, Mapping[int, Found]]:
    """How many releases follow the good one, which of them is the first bad one, and those that tell nothing."""
    last = draw(st.integers(1, 60))
    first_bad = draw(st.integers(1, last))
    silent: st.SearchStrategy[Found] = st.sampled_from(["inconclusive", "unusable"])
    return last, first_bad, draw(st.dictionaries(st.integers(1, max(1, last - 1)), silent, max_size=last))


@given(st.integers(1, 500).flatmap(lambda last: st.tuples(st.just(last), st.integers(1, last))))
def test_the_first_bad_release_is_found_in_as_many_tries_as_halving_takes(made: tuple[int, int]) -> None:
    last, first_bad = made
    found, tried = search(last, lambda number: "bad" if number >= first_bad else "good")
    assert found == Narrowed(good=first_bad - 1, bad=first_bad)
    assert found.exact
    assert len(tried) <= 1 + math.ceil(math.log2(last))


@given(histories())
@example((13, 12, {6: "inconclusive", 7: "inconclusive", 9: "inconclusive"}))
def test_releases_that_tell_nothing_are_gone_around(made: tuple[int, int, Mapping[int, Found]]) -> None:
    last, first_bad, silent = made
    silent = {number: found for number, found in silent.items() if number != last}
    found, tried = search(last, lambda n: silent.get(n) or ("bad" if n >= first_bad else "good"))
    assert found.bad is not None
    assert found.good < first_bad <= found.bad
    assert found.between == tuple(range(found.good + 1, found.bad)), "all between was tried, and told nothing"
    assert set(found.between) <= set(silent)
    assert found.exact is (found.bad - found.good == 1)
    assert len(tried) <= 1 + math.ceil(math.log2(last)) + len(silent), "each costs one try at most"


@given(histories(), st.randoms(use_true_random=False))
def test_a_search_goes_on_wherever_it_was_left(made: tuple[int, int, Mapping[int, Found]], random: object) -> None:
    last, first_bad, silent = made

    def oracle(number: int) -> Found:
        return silent.get(number) or ("bad" if number >= first_bad else "good")

    _, tried = search(last, oracle)
    for done in range(len(tried)):
        known = {number: oracle(number) for number in reversed(tried[:done])}
        assert next_release(known, last) == tried[done]


@given(st.integers(1, 40), st.lists(st.sampled_from(["good", "bad", "inconclusive", "unusable"]), min_size=40))
def test_it_ends_whatever_releases_say(last: int, said: list[Found]) -> None:
    found, tried = search(last, lambda number: said[number - 1])
    assert len(tried) <= last
    assert found.bad is None or found.good < found.bad


@pytest.mark.parametrize("end", ["good", "inconclusive", "unusable"])
def test_without_a_bad_end_there_is_nothing_to_search(end: Found) -> None:
    found, tried = search(9, lambda number: end)
    assert tried == [9]
    assert found.bad is None
    assert not found.exact


def test_a_skipped_middle_is_gone_around_by_its_neighbours() -> None:
    said: dict[int, Found] = {8: "bad", 4: "unusable", 3: "good", 6: "bad", 5: "bad"}
    found, tried = search(8, lambda number: said[number])
    assert tried == [8, 4, 3, 6, 5]
    assert found == Narrowed(good=3, bad=5, between=(4,))
