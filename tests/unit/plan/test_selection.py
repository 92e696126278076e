"""--only and --skip."""

from __future__ import annotations

import pytest

from harness.errors import SelectionError
from harness.plan import expand, select
from harness.records.plan import Plan
from harness.records.suite import Replicates, Score, Setup
from tests.unit.plan.made import CATALOG, RECIPE, suite, values

PLAN = expand(
    suite(
        RECIPE,
        values("lora", None, {"r": 8}),
        stages={"start": Setup(method="sft", train={"max_steps": 400})},
        replicates=Replicates(seeds=[0, 1]),
        score=Score(tasks=["arithmetic_mc"]),
    ),
    CATALOG,
)


def chosen(only: list[str] | None = None, skip: list[str] | None = None, plan: Plan = PLAN) -> list[str]:
    return [trial.name for trial in select(plan, only or [], skip or []).trials]


def test_nothing_asked_is_the_whole_plan() -> None:
    assert select(PLAN, [], []) is PLAN


def test_a_glob_brings_the_stage_its_trials_need() -> None:
    assert chosen(["dpo-s*"]) == ["stage-start", "dpo-s0", "dpo-s1"]
    assert chosen(["orpo*"]) == ["orpo-s0", "orpo-lora8-s0", "orpo-s1", "orpo-lora8-s1"]


def test_a_cell_name_chooses_all_its_seeds() -> None:
    assert chosen(["sft-lora8"]) == ["sft-lora8-s0", "sft-lora8-s1"]


def test_ids_choose_too() -> None:
    trial = PLAN.trials[-1]
    assert chosen([trial.id]) == [trial.name]
    assert chosen([f"{trial.cell.id[:6]}*"]) == ["orpo-lora8-s0", "orpo-lora8-s1"]


def test_skip_leaves_the_rest() -> None:
    assert chosen(skip=["*-s1", "orpo*", "floor"]) == [
        "stage-start",
        "sft-s0",
        "sft-lora8-s0",
        "dpo-s0",
        "dpo-lora8-s0",
    ]


def test_only_and_skip_together() -> None:
    assert chosen(["*lora8*"], ["dpo*", "*-s1"]) == ["sft-lora8-s0", "orpo-lora8-s0"]


def test_a_skipped_stage_stays_where_it_is_needed() -> None:
    assert chosen(["dpo-s0"], ["stage-*"]) == ["stage-start", "dpo-s0"]
    assert "stage-start" not in chosen(["sft*"], ["stage-*"])


def test_cells_that_nobody_chose_are_gone() -> None:
    assert [cell.name for cell in select(PLAN, ["dpo-s0"], []).cells] == ["stage-start", "dpo"]


def test_a_glob_that_matches_nothing_gets_the_nearest_names() -> None:
    with pytest.raises(SelectionError) as caught:
        select(PLAN, ["sft-lora9", "dpo*"], ["opro"])
    assert caught.value.exit_code == 2
    first, second = caught.value.problems
    assert first.what == "'sft-lora9' matches no trial of suite 'made'"
    assert first.hint is not None
    assert "'sft-lora8'" in first.hint
    assert second.what.startswith("'opro'")
    assert "'orpo'" in str(second.hint)


def test_leaving_nothing_is_refused() -> None:
    with pytest.raises(SelectionError, match="leaves no trial"):
        select(PLAN, ["dpo*"], ["dpo*"])


def test_names_match_by_case() -> None:
    with pytest.raises(SelectionError):
        select(PLAN, ["DPO*"], [])
