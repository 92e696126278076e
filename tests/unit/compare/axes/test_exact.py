"""What axes do to memory, which is told without a test: by the most over runs, and by how far runs lie apart."""

from __future__ import annotations

import pytest

from harness.compare.axes import axis_effects
from tests.unit.compare.axes.made import TWO, Axes, Levels, effect, found, matrix

MEMORY = "peak_device_memory"


def test_memory_is_exact_and_not_silent() -> None:
    def held(levels: Levels, seed: int) -> dict[str, float]:
        return {MEMORY: 10e9 * (0.62 if levels["gc"] == "on" else 1) * (0.5 if levels["lora"] == "r8" else 1)}

    told = axis_effects(matrix(TWO, held, seeds=1), TWO, [MEMORY])

    assert [one.verdict.ruling for one in told.effects] == ["improved", "improved"]
    mine = effect(told, "gc", "on", MEMORY)
    assert (mine.value, mine.low, mine.high) == pytest.approx((0.62, 0.62, 0.62))
    assert (mine.error, mine.n) == (None, (2, 2))
    assert told.sentences[0] == "gc, off → on: −38% peak device memory, whatever lora."


def test_memory_that_depends_on_another_axis_is_told_at_each_level() -> None:
    def held(levels: Levels, seed: int) -> dict[str, float]:
        saved = {"full": 0.9, "r8": 0.5}[levels["lora"]] if levels["gc"] == "on" else 1
        return {MEMORY: 10e9 * saved}

    told = axis_effects(matrix(TWO, held, seeds=1), TWO, [MEMORY])

    assert found(told, MEMORY) == [("gc", "lora")]
    assert told.sentences[0] == "gc, off → on: −33% peak device memory (lora: −10% at full, −50% at r8)."


def test_what_saves_between_each_two_cells_saves_however_much_they_differ() -> None:
    """That it is 10% here and 50% there is the other axis' doing: nothing that more runs would tell."""

    def held(levels: Levels, seed: int) -> dict[str, float]:
        saved = {"full": 0.9, "r8": 0.5}[levels["lora"]] if levels["gc"] == "on" else 1
        return {MEMORY: 10e9 * saved * (1 - 0.01 * seed)}

    told = axis_effects(matrix(TWO, held, seeds=2), TWO, [MEMORY])

    (whole,) = [one.verdict for one in told.effects if one.axis == "gc" and not one.at]
    assert (whole.ruling, whole.why) == ("improved", "")


def test_a_level_at_which_too_little_is_known_is_told_as_that() -> None:
    """−40% at r8 says nothing of full, where runs lie further apart than the cells do."""
    at_full = {"off": (10e9, 12e9), "on": (11e9, 9e9)}

    def held(levels: Levels, seed: int) -> dict[str, float]:
        if levels["lora"] == "full":
            return {MEMORY: at_full[levels["gc"]][seed]}
        return {MEMORY: 6e9 if levels["gc"] == "on" else 10e9}

    told = axis_effects(matrix(TWO, held, seeds=2), TWO, [MEMORY])

    assert found(told, MEMORY) == [("gc", "lora")]
    assert told.sentences[0] == "gc, off → on: peak device memory depends on lora: not sure at full, −40% at r8."


def test_memory_whose_runs_lie_apart_is_known_no_better_than_they_do() -> None:
    """As where the two cells are compared: 9 or 10 GB beside 8.5 or 9.6 is no saving yet."""
    runs = {"off": (9e9, 10e9), "on": (8.5e9, 9.6e9)}

    def held(levels: Levels, seed: int) -> dict[str, float]:
        return {MEMORY: runs[levels["gc"]][seed]}

    one: Axes = {"gc": ["off", "on"]}
    told = axis_effects(matrix(one, held, seeds=2), one, [MEMORY])
    (mine,) = told.effects
    assert mine.verdict.ruling == "inconclusive"
    change = effect(told, "gc", "on", MEMORY)
    assert (change.value, change.low, change.high) == pytest.approx((0.96, 0.85, 9.6 / 9))


@pytest.mark.parametrize(("scatter", "expected"), [(0.0, [("gc", "lora")]), (0.02, [])])
def test_an_interaction_of_memory_stands_out_of_how_far_runs_lie_apart(
    scatter: float, expected: list[tuple[str, str]]
) -> None:
    def held(levels: Levels, seed: int) -> dict[str, float]:
        both = levels["gc"] == "on" and levels["lora"] == "r8"
        return {MEMORY: 10e9 * (0.9 if levels["gc"] == "on" else 1) * (0.95 if both else 1) * (1 - scatter * seed)}

    assert found(axis_effects(matrix(TWO, held, seeds=2), TWO, [MEMORY]), MEMORY) == expected


def test_nothing_held_before_is_told_as_a_difference() -> None:
    told = axis_effects(
        matrix(TWO, lambda levels, seed: {"reference_memory": 4e6 * (levels["gc"] == "on")}), TWO, ["reference_memory"]
    )

    mine = effect(told, "gc", "on", "reference_memory")
    assert (mine.kind, mine.value) == ("difference", 4e6)


@pytest.mark.parametrize(
    ("at_r8", "ruling", "sentence"),
    [
        (1 / 0.9, "inconclusive", "gc, off → on: peak device memory depends on lora: −10% at full, +11% at r8."),
        (1.004, "equivalent", "gc, off → on: no change that matters in peak device memory."),
    ],
)
def test_what_saves_here_and_costs_there_is_not_no_change(at_r8: float, ruling: str, sentence: str) -> None:
    def held(levels: Levels, seed: int) -> dict[str, float]:
        at = {"full": 0.9 if ruling == "inconclusive" else 0.996, "r8": at_r8}[levels["lora"]]
        return {MEMORY: 10e9 * (at if levels["gc"] == "on" else 1) * (0.5 if levels["lora"] == "r8" else 1)}

    told = axis_effects(matrix(TWO, held, seeds=1), TWO, [MEMORY])

    (whole,) = [one for one in told.effects if one.axis == "gc" and not one.at]
    assert whole.verdict.ruling == ruling
    assert told.sentences[0] == sentence


def test_pairs_that_may_differ_for_all_their_runs_tell_are_not_no_change() -> None:
    """Means over pairs that cancel out, where too little is known to find an interaction."""
    runs = {("off", "full"): (9e9, 10e9), ("on", "full"): (9e9, 10.6e9), ("off", "r8"): (9e9, 10.6e9)}

    def held(levels: Levels, seed: int) -> dict[str, float]:
        return {MEMORY: runs.get((levels["gc"], levels["lora"]), (9e9, 10e9))[seed]}

    told = axis_effects(matrix(TWO, held, seeds=2), TWO, [MEMORY])

    assert found(told, MEMORY) == []
    assert told.sentences[0] == "gc, off → on: not sure of peak device memory (0.0% [−15.1, 17.8])."


@pytest.mark.parametrize(("seeds", "ruling", "apart"), [(1, "inconclusive", []), (2, "improved", [("gc", "lora")])])
def test_the_hosts_memory_is_not_told_from_one_run_a_cell(
    seeds: int, ruling: str, apart: list[tuple[str, str]]
) -> None:
    """Two runs of one cell lie further apart than its margin in half of all cases, unlike those of a device."""
    host = "peak_host_memory"

    def held(levels: Levels, seed: int) -> dict[str, float]:
        saved = {"full": 0.9, "r8": 0.5}[levels["lora"]] if levels["gc"] == "on" else 1
        return {host: 10e9 * saved}

    told = axis_effects(matrix(TWO, held, seeds=seeds), TWO, [host])

    (whole,) = [one.verdict for one in told.effects if one.axis == "gc" and not one.at]
    assert whole.ruling == ruling
    assert found(told, host) == apart


@pytest.mark.parametrize(("name", "ruling"), [("peak_host_memory", "inconclusive"), (MEMORY, "equivalent")])
def test_no_change_of_the_hosts_memory_is_told_where_runs_of_a_cell_lie_far_apart(name: str, ruling: str) -> None:
    def held(levels: Levels, seed: int) -> dict[str, float]:
        return {name: 10e9 - 1e9 * seed}

    told = axis_effects(matrix(TWO, held, seeds=2), TWO, [name])

    (whole,) = [one.verdict for one in told.effects if one.axis == "gc" and not one.at]
    assert (whole.ruling, bool(whole.why)) == (ruling, ruling == "inconclusive")
