"""Long names in charts: short, and never two alike."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from harness.report.shortnames import shortnames

WORDS = st.text("ab_c1", min_size=0, max_size=30)


def test_names_that_fit_are_left_as_they_are() -> None:
    assert shortnames(["sft-plain", "dpo-r8"]) == {"sft-plain": "sft-plain", "dpo-r8": "dpo-r8"}


def test_what_tells_long_names_apart_is_kept_wherever_it_stands() -> None:
    batches, optimizers = ("per_device_train_batch_size2", "per_device_train_batch_size8"), ("adamw_torch", "adafactor")
    names = [
        f"sft-gradient_checkpointing-{batch}-optim-{optimizer}-low-rank-adapters-of-rank-eight"
        for batch, optimizer in itertools.product(batches, optimizers)
    ]

    told = shortnames([*names, "sft"])

    assert told["sft"] == "sft"
    assert [told[name] for name in names] == [
        "…-per_device_…_batch_size2-…-adamw_torch-…",
        "…-per_device_…_batch_size2-…-adafactor-…",
        "…-per_device_…_batch_size8-…-adamw_torch-…",
        "…-per_device_…_batch_size8-…-adafactor-…",
    ]


def test_names_that_short_words_would_make_alike_stay_apart() -> None:
    names = [f"{'a' * 40}{middle}{'b' * 40}" for middle in "xy"]
    assert len({*shortnames(names).values()}) == 2


@given(st.lists(st.lists(WORDS, min_size=1, max_size=8).map("-".join), min_size=1, max_size=8, unique=True))
def test_no_two_names_are_told_alike(names: list[str]) -> None:
    told = shortnames(names)

    assert list(told) == names
    assert len({*told.values()}) == len(names)
