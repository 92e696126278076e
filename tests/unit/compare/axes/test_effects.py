"""What axes do, against statsmodels written out by hand and against what was planted."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.regression.linear_model import OLS

from harness.compare.axes import axis_effects
from tests.unit.compare.axes.made import RATE, TWO, Axes, Levels, effect, found, matrix, trial

MEMORY, LOSS = "peak_device_memory", "final_loss"
THREE: Axes = {"gc": ["off", "on"], "lora": ["full", "r8", "r64"], "batch": ["b2", "b8"]}


def noisy(levels: Levels, seed: int, *, together: float = 0.0, chance: random.Random, cv: float = 0.01) -> float:
    """A rate on logs: checkpointing −20%, adapters +10%, batches ×2; `together`: what gc and lora do to each other."""
    log = math.log(1000) + chance.gauss(0, cv)
    log += math.log(0.8) * (levels["gc"] == "on") + math.log(1.1) * (levels["lora"] != "full")
    log += math.log(2) * (levels.get("batch") == "b8")
    log += together * (levels["gc"] == "on" and levels["lora"] == "r8")
    return math.exp(log)


def some(together: float = 0.0, *, seed: int = 11, cv: float = 0.01, **options: Any) -> list[Any]:
    chance = random.Random(seed)
    return matrix(
        THREE, lambda levels, one: {RATE: noisy(levels, one, together=together, chance=chance, cv=cv)}, **options
    )


def test_effects_and_tests_are_those_of_statsmodels() -> None:
    trials = some(together=0.03, without=lambda one: one["lora"] == "r64" and one["batch"] == "b8")
    told = axis_effects(trials, THREE, [RATE])

    y = np.log([one.metrics[RATE] for one in trials])
    on, r8, r64, b8 = (
        np.array([float(one.levels[axis] == level) for one in trials])
        for axis, level in (("gc", "on"), ("lora", "r8"), ("lora", "r64"), ("batch", "b8"))
    )
    one = np.ones(len(y))
    pairs = {"gc-lora": [on * r8, on * r64], "gc-batch": [on * b8], "lora-batch": [r8 * b8]}
    whole = OLS(y, np.column_stack([one, on, r8, r64, b8, *itertools.chain(*pairs.values())])).fit()
    names = list(dict.fromkeys(one.cell_name for one in trials))
    cells = OLS(y, np.column_stack([[float(one.cell_name == name) for one in trials] for name in names])).fit()
    for tested in told.interplays:
        rest = [column for name, columns in pairs.items() if name != "-".join(tested.axes) for column in columns]
        without = OLS(y, np.column_stack([one, on, r8, r64, b8, *rest])).fit()
        degrees = int(without.df_resid - whole.df_resid)
        assert tested.degrees == (degrees, cells.df_resid)
        assert tested.f == pytest.approx((without.ssr - whole.ssr) / degrees / cells.mse_resid)
    assert found(told) == [("gc", "lora")]

    model = OLS(y, np.column_stack([one, on, r8, r64, b8, on * r8, on * r64])).fit(
        cov_type="fixed scale", cov_kwds={"scale": cells.mse_resid}
    )
    # The mean of what gc does over the levels of lora, and what it does at one of them.
    for at, contrast in (({}, [0, 1, 0, 0, 0, 1 / 3, 1 / 3]), ({"lora": "r8"}, [0, 1, 0, 0, 0, 1, 0])):
        test = model.t_test(np.array([contrast], dtype=float))
        from scipy.stats import t as student

        half = student.ppf(0.975, cells.df_resid) * float(test.sd[0, 0])
        mine = effect(told, "gc", "on", **at)
        value = float(test.effect[0])
        assert (mine.value, mine.low, mine.high) == pytest.approx(
            tuple(math.exp(x) for x in (value, value - half, value + half))
        )
        assert mine.error == pytest.approx(float(test.sd[0, 0]))
        assert mine.degrees == cells.df_resid


@st.composite
def designs(draw: st.DrawFn) -> tuple[Axes, dict[tuple[str, str], float], frozenset[int]]:
    """Axes, what each level does (on logs), and which combinations are missing."""
    axes = {f"a{n}": [f"l{k}" for k in range(draw(st.integers(2, 3)))] for n in range(draw(st.integers(1, 3)))}
    effects = {(axis, level): draw(st.floats(-1, 1)) for axis, levels in axes.items() for level in levels[1:]}
    count = math.prod(len(levels) for levels in axes.values())
    return axes, effects, draw(st.frozensets(st.integers(0, count - 1), max_size=count - 2))


@settings(max_examples=60, deadline=None)
@given(designs())
def test_what_was_planted_is_found_exactly_or_said_to_be_unknown(
    design: tuple[Axes, dict[tuple[str, str], float], frozenset[int]],
) -> None:
    axes, effects, missing = design
    combinations = [dict(zip(axes, levels, strict=True)) for levels in itertools.product(*axes.values())]
    gone = [combinations[number] for number in missing]

    def rate(levels: Levels, seed: int) -> dict[str, float]:
        return {RATE: 1000 * math.exp(sum(effects.get(entry, 0.0) for entry in levels.items()))}

    told = axis_effects(matrix(axes, rate, seeds=2, without=lambda one: one in gone), axes, [RATE])

    for one in told.effects:
        if one.verdict.effect is None:
            assert one.verdict.why
            continue
        planted = effects.get((one.axis, one.level), 0.0) - effects.get((one.axis, one.reference), 0.0)
        assert math.log(one.verdict.effect.value) == pytest.approx(planted, abs=1e-6)
    assert found(told) == []


def test_intervals_hold_what_was_planted_and_nothing_is_made_up() -> None:
    """2 × 3 × 2 cells, 3 runs: 95% intervals of each level hold the truth in about 95% of matrices; interactions that
    are not there are found in hardly more than 5% of them."""
    repeats, held, asked, alarms = 150, 0, 0, 0
    truth = {"on": 0.8, "r8": 1.1, "r64": 1.1, "b8": 2.0}
    for number in range(repeats):
        told = axis_effects(some(seed=number), THREE, [RATE])
        alarms += bool(found(told))
        for one in told.effects:
            if not one.at and one.verdict.effect is not None:
                asked += 1
                held += one.verdict.effect.low <= truth[one.level] <= one.verdict.effect.high
    assert asked == 4 * repeats
    assert 0.92 <= held / asked <= 0.98
    assert alarms / repeats <= 0.09  # at a true rate of 5%, 0.09 is passed once in a hundred


def test_where_three_axes_interact_intervals_are_of_how_runs_vary() -> None:
    """What three axes do together is the same in each run of a cell: it is no chance, and widens nothing."""
    chance = random.Random(3)

    def rate(levels: Levels, seed: int) -> dict[str, float]:
        all_three = levels == {"gc": "on", "lora": "r8", "batch": "b8"}
        return {RATE: noisy(levels, seed, chance=chance) * (0.5 if all_three else 1)}

    told = axis_effects(matrix(THREE, rate), THREE, [RATE])

    assert told.behind[RATE] == "how much runs of one cell vary (24 degrees of freedom)"
    error = effect(told, "batch", "b8").error
    assert error is not None
    assert error < 0.01


def test_an_interaction_is_found_and_told_at_each_level() -> None:
    told = axis_effects(some(together=math.log(0.9)), THREE, [RATE])

    assert found(told) == [("gc", "lora")]
    assert effect(told, "gc", "on", lora="r8").value == pytest.approx(0.72, rel=0.02)
    assert effect(told, "gc", "on", lora="full").value == pytest.approx(0.80, rel=0.02)
    first = told.sentences[0]
    assert first.startswith("gc, off → on: −2")
    assert "(lora: −2" in first
    assert "at full, −2" in first
    assert first.endswith(" at r64), whatever batch.")


def test_a_change_that_is_alike_everywhere_says_so() -> None:
    told = axis_effects(some(cv=0.002), THREE, [RATE])

    assert told.sentences[0] == "gc, off → on: −20% tokens/s, whatever lora and batch."


def test_what_cannot_be_told_to_be_alike_is_not_said_to_be() -> None:
    told = axis_effects(some(cv=0.1), THREE, [RATE])

    assert found(told) == []
    assert not any("whatever lora" in sentence for sentence in told.sentences[:1])


def test_losses_are_paired_by_seed() -> None:
    """What a seed brings to every cell takes no part in the error."""
    chance = random.Random(5)
    brought = [0.0, 0.4, -0.3]

    def loss(levels: Levels, seed: int) -> dict[str, float]:
        return {LOSS: 2 + brought[seed] + 0.05 * (levels["lora"] == "r8") + chance.gauss(0, 0.002)}

    told = axis_effects(matrix(TWO, loss), TWO, [LOSS])

    mine = effect(told, "lora", "r8", LOSS)
    assert mine.kind == "difference"
    assert mine.low < 0.05 < mine.high
    assert mine.high - mine.low < 0.02
    assert told.behind[LOSS] == "how much runs of one cell vary (6 degrees of freedom)"


def test_losses_of_several_methods_are_left_out() -> None:
    trials = [
        replace(one, method="dpo" if one.levels["gc"] == "on" else "sft")
        for one in matrix(TWO, lambda levels, seed: {LOSS: 1.0 + seed, RATE: 5.0 + seed})
    ]

    told = axis_effects(trials, TWO, [LOSS, RATE])

    assert told.metrics == (RATE,)
    assert told.left_out == ("final loss: cells train by dpo and sft, and each has a loss of its own",)


def test_axes_that_always_moved_together_are_said_to_have() -> None:
    together = matrix(
        {"gc": ["off", "on"], "lora": ["full", "r8"], "batch": ["b2", "b8"]},
        lambda levels, seed: {RATE: 100.0 + 0.1 * seed, MEMORY: 1e9},
        without=lambda one: (one["gc"] == "on") != (one["lora"] == "r8"),
    )
    told = axis_effects(together, {"gc": ["off", "on"], "lora": ["full", "r8"], "batch": ["b2", "b8"]}, [RATE, MEMORY])

    assert {one.axis: one.verdict.ruling for one in told.effects if one.metric == RATE} == {
        "gc": "insufficient",
        "lora": "insufficient",
        "batch": "equivalent",
    }
    assert "it always changed together with lora: what it does alone cannot be told" in told.sentences[0]
    assert "peak device memory: no two cells differ in gc alone" in told.sentences[0]


def test_one_run_a_cell_tests_no_interaction_and_says_so() -> None:
    chance = random.Random(1)
    told = axis_effects(
        matrix(TWO, lambda levels, seed: {RATE: noisy(levels, seed, chance=chance)}, seeds=1), TWO, [RATE]
    )

    assert told.behind[RATE] == "what single axes leave unexplained, interactions included (1 degree of freedom)"
    assert [one.why for one in told.interplays] == ["one run a cell leaves nothing to tell it from chance by"]
    assert effect(told, "gc", "on").degrees == 1


def test_one_run_a_cell_of_three_axes_takes_what_pairs_leave() -> None:
    axes = {**THREE, "batch": ["b2", "b4", "b8"]}
    chance = random.Random(4)
    told = axis_effects(
        matrix(axes, lambda one, seed: {RATE: noisy(one, seed, together=-0.4, chance=chance, cv=0.002)}, seeds=1),
        axes,
        [RATE],
    )

    assert told.behind[RATE] == "what pairs of axes leave unexplained (4 degrees of freedom)"
    assert found(told) == [("gc", "lora")]


def test_two_cells_with_one_run_have_no_interval() -> None:
    told = axis_effects(
        matrix({"gc": ["off", "on"]}, lambda levels, seed: {RATE: 1.0}, seeds=1), {"gc": ["off", "on"]}, [RATE]
    )

    (only,) = told.effects
    assert (only.verdict.ruling, only.verdict.effect) == ("insufficient", None)
    assert "nothing tells how much runs vary" in only.verdict.why


def test_runs_that_never_vary_are_no_silence() -> None:
    told = axis_effects(matrix(TWO, lambda levels, seed: {RATE: 90.0 if levels["gc"] == "on" else 100.0}), TWO, [RATE])

    mine = effect(told, "gc", "on")
    assert (mine.value, mine.low, mine.high) == pytest.approx((0.9, 0.9, 0.9))
    assert {one.axis: one.verdict.ruling for one in told.effects} == {"gc": "regressed", "lora": "equivalent"}


def test_disturbed_failed_and_odd_runs_are_left_out_and_told() -> None:
    trials = some()
    trials[0] = replace(trials[0], disturbed=("shared",), metrics={RATE: 1.0})
    trials[1] = replace(trials[1], outcome="oom", metrics={})
    trials[2] = replace(trials[2], metrics={RATE: math.inf})
    trials.append(trial({"gc": "on", "lora": "full", "batch": "b2", "method": "dpo"}, 0, {RATE: 5.0}))

    told = axis_effects(trials, THREE, [RATE])

    assert told.left_out == (
        "on-full-b2-dpo: set more than the axes, or not all of them",
        "1 oom: trials without figures",
        "tokens/s: 1 run is not a finite number",
        "tokens/s: 1 run is disturbed",
    )
    assert effect(told, "gc", "on").value == pytest.approx(0.8, rel=0.02)


def test_a_level_that_never_ran_is_left_out() -> None:
    trials = [replace(one, outcome="oom", metrics={}) if one.levels["lora"] == "r64" else one for one in some()]

    told = axis_effects(trials, THREE, [RATE])

    assert told.axes["lora"] == ("full", "r8")
    assert {one.level for one in told.effects} == {"on", "r8", "b8"}


def test_a_figure_that_the_first_level_lacks_is_told_beside_the_next() -> None:
    def figures(levels: Levels, seed: int) -> dict[str, float]:
        held = {MEMORY: 1e9 * (1 + (levels["lora"] == "r64"))} if levels["lora"] != "full" else {}
        return {RATE: 100.0 * (1 + (levels["lora"] == "r64")), **held}

    axes = {"gc": ["off", "on"], "lora": ["full", "r8", "r64"]}
    told = axis_effects(matrix(axes, figures), axes, [RATE, MEMORY])

    assert [one for one in told.sentences if one.startswith("lora")] == [
        "lora, full → r8: no change that matters in tokens/s.",
        "lora, full → r64: 2.00× tokens/s, whatever gc.",
        "lora, r8 → r64: 2.00× peak device memory, whatever gc.",
    ]


def test_a_level_that_does_nothing_anywhere_is_no_change_though_another_level_depends() -> None:
    def figures(levels: Levels, seed: int) -> dict[str, float]:
        packed_helps = levels["rows"] == "packed" and levels["lora"] == "full"
        return {RATE: (1500.0 if packed_helps else 1000.0) + seed}

    axes = {"rows": ["padded", "packed", "free"], "lora": ["full", "r8"]}
    told = axis_effects(matrix(axes, figures), axes, [RATE])

    assert found(told) == [("rows", "lora")]
    assert [one for one in told.sentences if one.startswith("rows")] == [
        "rows, padded → packed: +22% tokens/s (lora: +50% at full, 0% at r8).",
        "rows, padded → free: no change that matters in tokens/s.",
    ]


def test_scores_that_were_not_made_alike_are_left_out() -> None:
    score = "score.arithmetic_mc.acc"
    trials = matrix(TWO, lambda levels, seed: {score: 0.5 + 0.01 * seed})

    assert axis_effects(trials, TWO, [score]).metrics == (score,)
    told = axis_effects(trials, TWO, [score], unlike=[score])
    assert (told.metrics, told.left_out) == ((), ("arithmetic_mc acc: it was not scored alike in all cells",))


def test_five_hundred_cells_are_told_within_a_second_or_so() -> None:
    import time

    wide: Axes = {f"a{n}": [f"l{k}" for k in range(levels)] for n, levels in enumerate((2, 5, 5, 10))}
    chance = random.Random(2)
    trials = matrix(wide, lambda levels, seed: {RATE: chance.gauss(1000, 5), MEMORY: 1e9}, seeds=5)
    began = time.perf_counter()

    told = axis_effects(trials, wide, [RATE, MEMORY])

    assert len(told.interplays) == 12
    assert time.perf_counter() - began < 10  # about two here; a slow machine takes its time
