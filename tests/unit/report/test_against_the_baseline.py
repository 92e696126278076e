"""The table of cells beside the baseline, and how it is explained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from harness.compare import answer
from harness.records.plan import Cell
from harness.records.suite import Selector
from harness.report.markdown import markdown
from tests.unit.compare.made import GIB, cell, plan, result, results, suite
from tests.unit.report.made_reports import section


def beside_the_baseline(metrics: Callable[[Cell, int], dict[str, float]], seeds: int) -> str:
    """The section of two cells, of which the first is the baseline."""
    cells = [cell("sft-a"), cell("sft-b")]
    of = suite(seeds=seeds).model_copy(update={"baseline": Selector(levels={"recipe": ("sft-a",)})})
    made = dataclasses.replace(plan(cells, seeds=seeds, of=of), baseline=("sft-a-id",))
    found = [result(trial, metrics(trial.cell, trial.seed)) for trial in made.trials]
    return section(markdown(answer(results(found), made), ()), "Against the baseline")


@pytest.mark.parametrize(
    ("name", "ruling", "rule"),
    [
        ("peak_device_memory", "equivalent", "the margin (2.1%), improved"),
        ("peak_host_memory", "inconclusive", "the margin (2.1%) and seeds of one side lie no further apart than that"),
    ],
)
def test_the_legend_tells_how_memory_is_judged_where_it_is(name: str, ruling: str, rule: str) -> None:
    """A device's 0.0% [−10.0, 11.1] is equivalent by the most over seeds, not because that lies within a margin."""

    def held(one: Cell, seed: int) -> dict[str, float]:
        return {name: GIB * (1.0 if seed else 0.9), "tokens_per_second": 100.0 + seed}

    def fast(one: Cell, seed: int) -> dict[str, float]:
        return {"tokens_per_second": 100.0 + seed}

    text = beside_the_baseline(held, 2)
    assert f"0.0% [−10.0, 11.1] {ruling}" in text
    assert "Of memory the most over seeds counts" in text
    assert rule in text
    assert "memory" not in beside_the_baseline(fast, 2)


def test_insufficient_is_explained_where_it_is_said() -> None:
    assert "Insufficient: too few seeds" in beside_the_baseline(lambda one, seed: {"tokens_per_second": 100.0}, 1)
    assert "nsufficient" not in beside_the_baseline(lambda one, seed: {"tokens_per_second": 100.0 + seed}, 2)


@pytest.mark.parametrize(("tokens", "said"), [(1640.0, "beside the baseline's: sft-b 1.64×."), (1020.0, None)])
def test_times_of_unlike_amounts_of_text_are_said_to_be_so(tokens: float, said: str | None) -> None:
    def figures(one: Cell, seed: int) -> dict[str, float]:
        return {"train_seconds": 3.0 + seed, "real_tokens": 1000.0 if one.name == "sft-a" else tokens}

    found = beside_the_baseline(figures, 2)

    assert "train time" in found
    assert ("unlike amounts of text" in found) == (said is not None)
    assert said is None or said in found
