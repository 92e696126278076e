"""How often verdicts from documents are wrong, by simulation with known truth: seeded, no change but chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.compare.judging import judge_documents, resampling
from harness.compare.judging.components import components
from harness.compare.judging.pairing import Paired
from harness.records.metrics import Margin
from tests.unit.compare.judging.made_documents import NAME, asked

Sides = tuple[Any, Any]
Clusters = Any


def pair_of(sides: Sides, clusters: Clusters = None, *, by_seed: bool = True) -> Paired:
    before, after = sides
    return Paired(
        asked=asked(1),
        reference=before,
        candidate=after,
        trials=((), ()),
        positions=np.arange(before.shape[1]),
        clusters=clusters,
        by_seed=by_seed and len(before) > 1,
        duplicates=0,
        without_value=0,
        left_out=(),
    )


def wrong(draw: Callable[[Any], Paired], times: int) -> tuple[float, float]:
    """Shares of verdicts whose interval lacks the truth, which is 0, and that are `regressed`, without a margin."""
    chance = np.random.default_rng(11)
    missed = regressed = 0
    for _ in range(times):
        verdict = judge_documents(NAME, draw(chance), margin=Margin())
        assert verdict.effect is not None
        missed += not verdict.effect.low <= 0 <= verdict.effect.high
        regressed += verdict.ruling == "regressed"
    return missed / times, regressed / times


def right_or_wrong(chance: Any, seeds: int, documents: int, *, of_seed: float = 0.0, of_document: float = 0.0) -> Sides:
    """0 and 1: every document has its difficulty, each side's skill differs by seed, and some documents suit one side
    better, in no direction."""
    easy = chance.beta(2, 2, documents)

    def side(suits: Any) -> Any:
        skill = chance.normal(0, of_seed, (seeds, 1))
        return (chance.random((seeds, documents)) < easy + suits + skill).astype(float)

    return side(0.0), side(chance.normal(0, of_document, documents))


@pytest.mark.parametrize(("documents", "of_document"), [(100, 0.0), (1000, 0.2)])
def test_one_seed_a_side(documents: int, of_document: float) -> None:
    missed, regressed = wrong(
        lambda chance: pair_of(right_or_wrong(chance, 1, documents, of_document=of_document)), 1000
    )

    assert 0.03 <= missed <= 0.07
    assert regressed <= 0.05


@pytest.mark.parametrize(("seeds", "by_seed"), [(2, True), (3, True), (3, False), (5, True)])
def test_seeds_that_differ(seeds: int, by_seed: bool) -> None:
    missed, regressed = wrong(
        lambda chance: pair_of(right_or_wrong(chance, seeds, 100, of_seed=0.1, of_document=0.1), by_seed=by_seed),
        1000,
    )

    assert 0.03 <= missed <= 0.07
    assert regressed <= 0.05


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_seeds_that_hardly_differ_cost_width_and_never_truth(seeds: int) -> None:
    missed, _ = wrong(lambda chance: pair_of(right_or_wrong(chance, seeds, 100)), 600)

    assert missed <= 0.05


def in_passages(chance: Any, passages: int = 60) -> Paired:
    """Passages with one to nine questions; a passage suits one side or the other as a whole."""
    clusters: Any = np.repeat(np.arange(passages), chance.integers(1, 10, passages))
    easy = chance.beta(2, 2, passages)
    suits = chance.normal(0, 0.3, passages)
    sides = [(chance.random(len(clusters)) < (easy + shift)[clusters]).astype(float) for shift in (0 * suits, suits)]
    return pair_of((sides[0][None], sides[1][None]), clusters)


@pytest.mark.parametrize("passages", [10, 60])
def test_documents_of_one_source(passages: int) -> None:
    missed, regressed = wrong(lambda chance: in_passages(chance, passages), 1000)

    assert 0.03 <= missed <= 0.07
    assert regressed <= 0.05


def test_documents_of_one_source_taken_for_many_would_be_wrong_too_often() -> None:
    def naive(chance: Any) -> Paired:
        pair = in_passages(chance)
        return pair_of((pair.reference, pair.candidate))

    assert wrong(naive, 400)[0] > 0.1


def test_resampled_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "_MOST_DRAWS", 1000)  # so that a thousand verdicts take a second

    def graded(chance: Any) -> Paired:
        easy = chance.gamma(2, 0.2, (1, 60))
        return pair_of((easy + chance.normal(0, 0.1, (1, 60)), easy + chance.gamma(4, 0.05, (1, 60)) - 0.2))

    missed, regressed = wrong(graded, 1000)

    assert 0.03 <= missed <= 0.07
    assert regressed <= 0.05


@pytest.mark.parametrize("correlation", [0.3, 0.8])
def test_pairing_divides_the_variance_as_the_correlation_says(correlation: float) -> None:
    """Miller, arXiv 2411.00640: of equal variances, the paired difference's is 1 − ρ of that of two unpaired means."""
    chance = np.random.default_rng(5)
    differences, unpaired = [], []
    gains = []
    for _ in range(1500):
        own = chance.normal(0, np.sqrt(correlation), 200)
        sides = own + chance.normal(0, np.sqrt(1 - correlation), (2, 1, 200))
        parts = components(pair_of((sides[0], sides[1])))
        differences.append(parts.value)
        unpaired.append(parts.apart)
        gains.append(parts.apart / parts.over_documents)

    assert np.mean(unpaired) / np.var(differences) == pytest.approx(1 / (1 - correlation), rel=0.1)
    assert np.mean(gains) == pytest.approx(1 / (1 - correlation), rel=0.05)


def test_a_change_of_the_detectable_size_is_found_four_times_in_five() -> None:
    chance = np.random.default_rng(3)

    def draw(shift: float) -> Paired:
        before, after = right_or_wrong(chance, 1, 1000)
        worse = after * (chance.random(1000) > shift)
        return pair_of((before, worse))

    detectable = judge_documents(NAME, draw(0.0)).detectable
    assert detectable is not None
    found = [judge_documents(NAME, draw(2 * detectable)).ruling == "regressed" for _ in range(300)]  # half are right

    assert 0.73 <= np.mean(found) <= 0.87
