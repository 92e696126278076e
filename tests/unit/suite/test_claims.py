"""What `claims` may say, and what is said of mistakes in them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.errors import Problem
from harness.records.suite import Selector, Suite
from tests.unit.suite.wrong import FIRST, HEAD

MATRIX = "matrix: {train.packing: [false, true], recipe: {sft: {}, dpo: {method: dpo}}}\n"
CLAIM = "says: faster, source: a paper"


def claim(rest: str) -> str:
    return f"{HEAD}{MATRIX}claims:\n  - {{{CLAIM}, {rest}}}\n"


def test_a_claim_says_what_is_compared_and_what_is_expected(suite_of: Callable[[str], Suite]) -> None:
    text = "compare: {train.packing: [false, true]}, where: {recipe: sft}, metric: tokens_per_second"
    (one,) = suite_of(
        claim(f"{text}, expect: {{ratio_at_least: 2}}, needs: {{device: cuda, device_memory: 40 GiB}}")
    ).claims

    assert (one.says, one.source, one.metric) == ("faster", "a paper", "tokens_per_second")
    assert (one.kind, one.low, one.high) == ("ratio", 2.0, None)
    assert (one.axis, one.levels) == ("train.packing", ("false", "true"))
    assert one.reference == Selector(fields={"train.packing": (False,)})
    assert one.candidate == Selector(fields={"train.packing": (True,)})
    assert one.where == Selector(levels={"recipe": ("sft",)})
    assert (one.needs.device, one.needs.device_memory) == ("cuda", "40 GiB")


@pytest.mark.parametrize(
    ("metric", "expect", "kind", "low", "high"),
    [
        ("tokens_per_second", "ratio_between: [1.5, 2.5]", "ratio", 1.5, 2.5),
        ("peak_reserved", "ratio_at_most: 0.5", "ratio", None, 0.5),
        ("peak_reserved", "difference_at_most: -1 GiB", "difference", None, -(2.0**30)),
        ("train_seconds", "difference_between: [1m, 2m]", "difference", 60.0, 120.0),
        ("final_loss", "difference_at_least: -0.1", "difference", -0.1, None),
        ("tokens_per_second", "no_worse_than: 2%", "ratio", 0.98, None),
        ("peak_reserved", "no_worse_than: 2%", "ratio", None, 1.02),
        ("final_loss", "no_worse_than: 0.1", "difference", None, 0.1),
        ("padding_share", "no_worse_than: 0", "difference", None, 0.0),
    ],
)
def test_what_a_claim_may_expect(
    suite_of: Callable[[str], Suite], metric: str, expect: str, kind: str, low: float | None, high: float | None
) -> None:
    (one,) = suite_of(claim(f"compare: {{recipe: [sft, dpo]}}, metric: {metric}, expect: {{{expect}}}")).claims

    assert one.kind == kind
    assert one.low == pytest.approx(low)
    assert one.high == pytest.approx(high)


def test_a_claim_about_a_figure_itself_compares_nothing(suite_of: Callable[[str], Suite]) -> None:
    text = "where: {recipe: sft}, metric: peak_reserved, expect: {value_at_most: 24 GiB}"
    (one,) = suite_of(claim(text)).claims

    assert (one.kind, one.high, one.axis) == ("value", 24 * 2.0**30, None)
    assert one.candidate == one.where == Selector(levels={"recipe": ("sft",)})


GOOD = "compare: {recipe: [sft, dpo]}, metric: final_loss, expect: {ratio_at_least: 2}"
WRONG = [
    (GOOD.replace("metric", "metrik"), "unknown key in a claim: 'metrik'", "did you mean 'metric'"),
    (GOOD.replace("final_loss", "final_los"), "unknown metric 'final_los'", "final_loss"),
    (GOOD.replace("ratio_at_least", "ratio_at_leat"), "unknown key in expect: 'ratio_at_leat'", "'ratio_at_least'"),
    (GOOD.replace("2}", "-2}"), "ratio_at_least must be above 0, not -2", None),
    (GOOD.replace("2}", "two}"), 'ratio_at_least wants a number, not the text "two"', "ratio_at_least: 2.0"),
    (
        GOOD.replace("ratio_at_least: 2", "ratio_between: [3, 2]"),
        "ratio_between: the first number is the lower one",
        None,
    ),
    (GOOD.replace("ratio_at_least: 2", "ratio_between: 3"), "ratio_between wants two numbers, not '3'", "[1.5, 2.5]"),
    (GOOD.replace("2}", "2, ratio_at_most: 3}"), "expect says one thing, not 2", "one of ratio_at_least"),
    (
        GOOD.replace("ratio_at_least: 2", "no_worse_than: 200%"),
        "no_worse_than: '200%' is no share from 0% to 100%",
        None,
    ),
    (GOOD.replace("ratio_at_least: 2", "no_worse_than: -1"), "no_worse_than is how much worse it may be", None),
    (GOOD.replace("[sft, dpo]", "[sft, dop]"), "unknown level of 'recipe': 'dop'", "did you mean 'dpo'"),
    (GOOD.replace("[sft, dpo]", "[sft]"), "compare of recipe wants two levels", "train.packing"),
    (GOOD.replace("[sft, dpo]", "dpo"), "compare of recipe wants two levels", "train.packing"),
    (GOOD.replace("[sft, dpo]", "[sft, sft]"), "compare of recipe names the same level twice", None),
    (GOOD.replace("{recipe:", "{recip:"), "unknown axis or field path 'recip'", "did you mean 'recipe'"),
    (GOOD.replace("sft, dpo]", "sft, dpo], lora: [null, {r: 8}]"), "a claim compares two levels of one axis", "where"),
    (
        GOOD.replace("compare: {recipe: [sft, dpo]}, ", ""),
        "a claim about a ratio or a difference needs 'compare'",
        None,
    ),
    (
        GOOD.replace("ratio_at_least", "value_at_least"),
        "a claim about a figure itself compares nothing",
        "take compare out",
    ),
    (GOOD + ", needs: {device_memory: '40'}", "needs.device_memory: '40' is not a size", None),
    (GOOD + ", needs: {gpu: a}", "unknown key in needs of a claim: 'gpu'", None),
    (GOOD + ", where: {recipe: sf}", "unknown level of 'recipe': 'sf'", "'sft'"),
    (
        "compare: {recipe: [sft, dpo]}, metric: score.a.acc, expect: {ratio_at_least: 2}",
        "score.a.acc is never measured: this suite has no `score`",
        "tasks: [a]",
    ),
    (
        "compare: {recipe: [sft, dpo]}, metric: real_tokens, expect: {no_worse_than: 2%}",
        "no_worse_than: neither more nor less real_tokens is worse",
        "ratio_at_most",
    ),
]


@pytest.mark.parametrize(("rest", "what", "hint"), WRONG)
def test_a_mistake_in_a_claim_is_told_where_it_stands(
    problems_of: Callable[[str], list[Problem]], rest: str, what: str, hint: str | None
) -> None:
    problems = problems_of(claim(rest))

    found = [one for one in problems if one.what.startswith(what)]
    assert len(found) == 1, [one.what for one in problems]
    assert found[0].where is not None
    assert found[0].where.line == FIRST + 2
    assert hint is None or hint in str(found[0].hint)


def test_what_a_claim_needs_is_told_together(problems_of: Callable[[str], list[Problem]]) -> None:
    problems = problems_of(f"{HEAD}{MATRIX}claims: [{{says: '', compare: {{recipe: [sft, dpo]}}}}, 3]\n")

    assert [one.what for one in problems] == [
        "a claim needs 'source'",
        "a claim needs 'metric'",
        "a claim needs 'expect'",
        "says of a claim must be text, not ''",
        "a claim must be a mapping, not '3'",
    ]


def test_claims_are_not_complained_about_where_their_axis_is_what_is_wrong(
    problems_of: Callable[[str], list[Problem]],
) -> None:
    text = claim(GOOD).replace("dpo: {method: dpo}", "dpo: {metod: dpo}")

    assert [one.what for one in problems_of(text)] == ["unknown key in level 'dpo': 'metod'"]
