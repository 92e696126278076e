"""Verdicts from documents against scipy's and statsmodels' own calls, and on awkward input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.contingency_tables import mcnemar

from harness.compare.judging import corrected, judge_documents
from harness.compare.judging.components import components
from harness.compare.judging.pairing import paired
from harness.records.metrics import Margin
from harness.records.verdict import Effect, Verdict
from tests.unit.compare.judging.made_documents import NAME, answered, asked, pair_of

CHANCE = np.random.default_rng(7)
START = CHANCE.bit_generator.state
PLENTY = 3000
"""Documents, so many that nothing is resampled."""


@pytest.fixture(autouse=True)
def _the_same_numbers() -> None:
    CHANCE.bit_generator.state = START


def effect(verdict: Verdict) -> Effect:
    assert verdict.effect is not None
    return verdict.effect


def graded(rows: int, documents: int, shift: float = 0.0) -> Any:
    """Values that are not 0 or 1, alike on a document from seed to seed."""
    own = CHANCE.normal(0.5 + shift, 0.2, documents)
    return own + CHANCE.normal(0, 0.1, (rows, documents))


def test_one_seed_a_side_is_scipys_paired_t() -> None:
    before, after = graded(1, PLENTY), graded(1, PLENTY, 0.1)

    found = effect(judge_documents(NAME, pair_of(before, after)))

    theirs = stats.ttest_rel(after[0], before[0])
    assert found.value / (found.error or 0) == pytest.approx(theirs.statistic)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert found.pairs == PLENTY


def test_clusters_of_one_size_have_statsmodels_clustered_error() -> None:
    before, after = graded(1, 3 * PLENTY), graded(1, 3 * PLENTY)
    groups: Any = np.repeat(np.arange(PLENTY), 3)
    of = asked(3 * PLENTY, sources=[f"passage {group}" for group in groups])

    verdict = judge_documents(NAME, pair_of(before, after, of))

    model = sm.OLS(after[0] - before[0], np.ones(3 * PLENTY))
    fitted = model.fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    theirs = fitted.bse[0] * math.sqrt(PLENTY / (PLENTY - 1))
    assert effect(verdict).error == pytest.approx(theirs)
    assert effect(verdict).degrees == PLENTY - 1
    assert verdict.documents is not None
    assert verdict.documents.clusters == PLENTY


def test_clusters_of_several_sizes_have_the_error_of_leaving_each_out() -> None:
    sizes = np.array([1, 2, 3, 4, 5, 9])
    before, after = graded(1, 24), graded(1, 24)
    groups: Any = np.repeat(np.arange(6), sizes)

    found = effect(judge_documents(NAME, pair_of(before, after, asked(24, sources=[f"{one}" for one in groups]))))

    without = [float((after - before)[0][groups != group].mean()) for group in range(6)]
    assert found.value == pytest.approx(float((after - before).mean()))
    assert found.error == pytest.approx(math.sqrt(5 / 6 * sum((one - np.mean(without)) ** 2 for one in without)))
    assert found.degrees == pytest.approx(24**2 / (sizes**2).sum() - 1)


def test_mcnemars_exact_test_is_statsmodels_and_rules_with_the_interval() -> None:
    before, after = np.zeros(100), np.zeros(100)
    before[:5], after[5:27] = 1, 1

    verdict = judge_documents(NAME, pair_of(before, after))

    assert verdict.documents is not None
    assert (verdict.documents.fixed, verdict.documents.broken) == (22, 5)
    assert verdict.documents.mcnemar == pytest.approx(mcnemar([[0, 5], [22, 73]], exact=True).pvalue)
    assert verdict.documents.mcnemar == pytest.approx(stats.binomtest(5, 27).pvalue)
    assert (verdict.p or 0) >= (verdict.documents.mcnemar or 1)
    assert verdict.ruling == "improved"


def test_few_that_turn_are_not_found_before_the_exact_test_says_so() -> None:
    before, after = np.zeros(PLENTY), np.zeros(PLENTY)
    before[:5], after[5:19] = 1, 1

    verdict = judge_documents(NAME, pair_of(before, after), margin=Margin())

    assert effect(verdict).low > 0
    assert verdict.ruling == "inconclusive"
    assert "exact p 0.064" in verdict.why


def test_of_zero_and_one_the_error_is_bonetts_and_prices() -> None:
    before, after = np.zeros(50), np.zeros(50)
    before[:3], after[3:10] = 1, 1

    one, other = (3 + 1) / 52, (7 + 1) / 52
    found = effect(judge_documents(NAME, pair_of(before, after)))

    assert found.error == pytest.approx(math.sqrt((one + other - (one - other) ** 2) / 52))


def test_the_parts_are_those_of_statsmodels_two_way_table() -> None:
    import pandas as pd
    from statsmodels.formula.api import ols

    seeds, documents = 4, 30
    before, after = graded(seeds, documents), graded(seeds, documents) + CHANCE.normal(0, 0.3, (seeds, 1))

    parts = components(pair_of(before, after))

    rows = [
        {"seed": seed, "document": document, "change": (after - before)[seed, document]}
        for seed in range(seeds)
        for document in range(documents)
    ]
    table = anova_lm(ols("change ~ C(seed) + C(document)", pd.DataFrame(rows)).fit())
    squares = table["sum_sq"] / table["df"]
    cells = seeds * documents
    assert parts.over_seeds == pytest.approx(squares["C(seed)"] / cells)
    assert parts.over_documents == pytest.approx(squares["C(document)"] / cells)
    assert parts.rest == pytest.approx(squares["Residual"] / cells)
    total = (squares["C(seed)"] + squares["C(document)"] - squares["Residual"]) / cells
    assert parts.error == pytest.approx(math.sqrt(total))


def test_seeds_of_their_own_have_welchs_error_and_degrees() -> None:
    before, after = graded(4, 200), graded(3, 200) + CHANCE.normal(0, 0.5, (3, 1))

    parts = components(pair_of(before, after, own_seeds=True))

    theirs = stats.ttest_ind(after.mean(axis=1), before.mean(axis=1), equal_var=False)
    assert parts.degrees == pytest.approx(theirs.df)
    assert math.sqrt(parts.over_seeds or 0) == pytest.approx(parts.value / theirs.statistic)


def test_p_is_below_5_percent_just_where_the_interval_clears_the_margin() -> None:
    for shift in np.linspace(0.0, 0.2, 21):
        verdict = judge_documents(NAME, pair_of(graded(3, 100), graded(3, 100, shift)))
        assert verdict.p is not None
        assert (verdict.p < 0.05) == (verdict.ruling in ("improved", "regressed"))


def test_the_bootstrap_is_scipys_but_for_its_width_and_the_same_each_time() -> None:
    before, after = CHANCE.exponential(1, (1, 400)), CHANCE.exponential(1.3, (1, 400))

    verdict = judge_documents(NAME, pair_of(before, after))

    theirs = stats.bootstrap((after[0] - before[0],), np.mean, method="percentile", rng=1).confidence_interval
    assert "bootstrap" in effect(verdict).how
    assert (effect(verdict).low, effect(verdict).high) == pytest.approx((theirs.low, theirs.high), abs=0.03)
    assert judge_documents(NAME, pair_of(before, after)) == verdict


def test_too_few_documents_to_resample_have_students_t() -> None:
    before, after = graded(1, 10), graded(1, 10)

    found = effect(judge_documents(NAME, pair_of(before, after)))

    theirs = stats.ttest_rel(after[0], before[0]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


def test_pairing_gains_what_the_correlation_says() -> None:
    own = CHANCE.normal(0, 1, PLENTY)
    before, after = own + CHANCE.normal(0, 0.5, PLENTY), own + CHANCE.normal(0, 0.5, PLENTY)

    verdict = judge_documents(NAME, pair_of(before, after))

    found = verdict.documents
    assert found is not None
    assert found.correlation == pytest.approx(np.corrcoef(before, after)[0, 1])
    assert found.gain == pytest.approx(1 / (1 - (found.correlation or 0)), rel=1e-3)  # Miller, equal variances


def test_one_seed_says_so_unless_nothing_was_trained() -> None:
    values: Any = np.arange(20) % 2

    assert "two checkpoints" in judge_documents(NAME, pair_of(values, values)).why
    assert judge_documents(NAME, pair_of(values, values), trained=False).why == ""


def test_a_side_with_one_seed_is_taken_to_vary_as_the_other() -> None:
    parts = components(pair_of(graded(1, 50), graded(3, 50), own_seeds=True))

    assert parts.degrees == 2
    assert parts.over_seeds is not None


def test_a_document_that_stands_twice_counts_twice_and_varies_as_one() -> None:
    values: Any = np.array([1.0, 0, 1, 0, 1, 0])
    of = asked(6, doc_hashes=["a", "b", "a", "c", "d", "b"])

    pair = pair_of(values, 1 - values, of)
    verdict = judge_documents(NAME, pair)

    assert (pair.n_clusters, pair.duplicates, pair.documents) == (4, 2, 6)
    assert "2 documents are there already" in verdict.why
    assert verdict.documents is not None
    assert verdict.documents.mcnemar is None  # copies are no draws of their own


def test_copies_are_paired_with_themselves_in_another_order() -> None:
    one, other = asked(4, doc_hashes=["a", "b", "a", "c"]), asked(4, doc_hashes=["c", "a", "b", "a"])

    pair = paired(answered([1, 2, 3, 4], one), answered([4, 1, 2, 3], other, side="b"))

    assert not isinstance(pair, str)
    assert (pair.reference == pair.candidate).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"doc_hashes": ["d0", "d1", "x"]}, "the documents differ: 3 of the reference, 3 of the candidate, 2 in both"),
        ({"doc_hashes": ["d0", "d1", "d1"]}, "2 in both"),
        ({"doc_hashes": ["d0", "d1", None]}, "without a hash"),
        ({"prompt_hashes": ["p", "q", "p"]}, "the prompts differ on 1 of 3 documents"),
    ],
)
def test_other_documents_or_prompts_are_refused(changes: dict[str, Any], words: str) -> None:
    before = asked(3, prompt_hashes=["p", "p", "p"])

    refused = paired(answered([1, 0, 1], before), answered([1, 0, 1], asked(3, **changes), side="b"))

    assert isinstance(refused, str)
    assert words in refused


def test_documents_missing_on_one_side_are_refused() -> None:
    refused = paired(answered([1, 0, 1]), answered([1, 0], side="b"))

    assert refused == "the documents differ: 3 of the reference, 2 of the candidate, 2 in both"


def test_what_has_no_finite_number_is_left_out_on_both_sides() -> None:
    pair = paired(
        answered([[1, 0, math.nan, 1], [1, 1, 0, math.inf]]),
        answered([[0, 1, 1, 1], [1, 1, 0, 1], [math.nan] * 4], side="b"),
    )

    assert not isinstance(pair, str)
    assert list(pair.positions) == [0, 1]
    assert pair.left_out == [
        "seed 2 of the candidate: no document has a finite number",
        "2 of 4 documents, for which some trial has no finite number",
    ]
    nothing = paired(answered([1, 0]), answered([math.nan, math.nan], side="b"))
    assert nothing == "the candidate has no document with a finite number"


def test_seeds_of_one_side_alone_are_named() -> None:
    pair = paired(answered([[1, 0]] * 3), answered([[1, 0]] * 3, side="b", seeds=[1, 2, 7]))

    assert not isinstance(pair, str)
    assert pair.left_out == ["seed 0 of the reference alone", "seed 7 of the candidate alone"]


@pytest.mark.parametrize(
    ("before", "after", "ruling"),
    [
        ([1], [0], "insufficient"),  # one document
        (np.ones(50), np.ones(50), "inconclusive"),  # 50 documents cannot tell 1 point
        (np.ones(2000), np.ones(2000), "equivalent"),
        (np.ones((3, 2000)), np.ones((3, 2000)), "equivalent"),
        (np.ones(50), np.zeros(50), "regressed"),
        (np.full(50, 0.3), np.full(50, 0.3), "equivalent"),  # a variance of zero silences nothing
        (np.full(50, 0.3), np.full(50, 0.2), "regressed"),
        (np.full((2, 50), 0.3), np.full((2, 50), 0.4), "improved"),
    ],
)
def test_rulings_on_constants(before: Any, after: Any, ruling: str) -> None:
    verdict = judge_documents(NAME, pair_of(before, after))

    assert verdict.ruling == ruling
    assert (verdict.effect is None) == (ruling == "insufficient")
    assert all(math.isfinite(figure) for figure in (verdict.detectable or 0, verdict.p or 0))


def test_less_is_better_where_the_metric_says_so() -> None:
    values = graded(1, 50)

    assert judge_documents("score.task.word_perplexity", pair_of(values, values + 1)).ruling == "regressed"
    assert judge_documents(NAME, pair_of(values, values + 1), better="lower").ruling == "regressed"


def test_holm_over_tasks_takes_back_what_may_be_chance() -> None:
    before, after = np.zeros(100), np.zeros(100)
    before[:4], after[4:20] = 1, 1
    found = judge_documents(NAME, pair_of(before, after))
    same = judge_documents(NAME, pair_of(before, before))

    after_holm = corrected([found, *[same] * 9], "holm")[0]

    assert (found.ruling, after_holm.ruling) == ("improved", "inconclusive")
    assert after_holm.p_adjusted == pytest.approx(10 * (found.p or 0))
    assert "two checkpoints" in after_holm.why
