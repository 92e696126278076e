"""What else changed along the axes of a whole suite, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.compare.differences import Side, alongside, side_of, what_else
from harness.records.results import TrialResult
from tests.unit.compare.made_sides import ENVIRONMENT, PACKED, PLAIN, made_side, names


def _trial(name: str, levels: Mapping[str, str], side: Side, seed: int = 0, **changes: Any) -> TrialResult:
    fields: dict[str, Any] = {
        "trial_id": f"{name}-{seed}",
        "cell_id": name,
        "name": f"{name}-s{seed}",
        "cell_name": name,
        "kind": "cell",
        "levels": levels,
        "seed": seed,
        "method": "sft",
        "outcome": "ok",
        "phase": None,
        "cause": None,
        "attempts": 1,
        "environment": "e1",
        "metrics": {},
        "config": {**side.spec, "levels": levels},
        "active": side.active,
    }
    return TrialResult(**(fields | changes))


def _grid() -> list[TrialResult]:
    """Packing × rows: packing changes padding_free in both columns, and the rows differently in each."""
    trials = []
    for rows in ("10", "20"):
        for packing, side in (("false", PLAIN), ("true", PACKED)):
            active = {**side.active, "train_rows": int(rows) * (1 if packing == "false" else 3)}
            made = Side(spec={**side.spec, "data": {"rows": int(rows)}}, active=active, environment=ENVIRONMENT)
            levels = {"train.packing": packing, "data.rows": rows}
            trials += [_trial(f"p{packing}-r{rows}", levels, made, seed) for seed in (0, 1)]
    return trials


def test_what_an_axis_changed_besides_itself_is_one_sentence() -> None:
    said = alongside(_grid(), {"e1": ENVIRONMENT})
    assert said == ("train.packing false → true changed more than itself: padding_free false → true.",)


def test_a_lever_that_did_not_act_is_a_sentence() -> None:
    levels = ({"train.padding_free": "false"}, {"train.padding_free": "true"})
    sides = (made_side(levels[0]), made_side(levels[1], train={"max_steps": 10, "padding_free": True}))
    trials = [_trial(f"c{n}", one, side) for n, (one, side) in enumerate(zip(levels, sides, strict=True))]
    (said,) = alongside(trials, {})
    assert said.startswith("train.padding_free false → true did not act: train.padding_free false → true was asked for")


def test_a_level_of_which_a_part_did_not_act_is_not_said_to_have_done_nothing() -> None:
    recipes = ({"recipe": "a"}, {"recipe": "b"})
    sides = (made_side(recipes[0]), made_side(recipes[1], train={"learning_rate": 1e-3, "padding_free": True}))
    (said,) = alongside(
        [_trial(f"c{n}", one, side) for n, (one, side) in enumerate(zip(recipes, sides, strict=True))], {}
    )
    assert said.startswith("recipe a → b did not act in full: train.padding_free false → true was asked for")


def test_threads_and_variables_are_the_trials_own_where_a_hash_is_shared() -> None:
    trial = _trial("a", {}, PLAIN, surroundings={"torch": {"threads": 2}, "variables": {"OMP_NUM_THREADS": "2"}})
    found = what_else(side_of(_trial("b", {}, PLAIN), {"e1": ENVIRONMENT}), side_of(trial, {"e1": ENVIRONMENT}))
    assert names(found.environment) == ["torch", "variables"]
    assert side_of(trial, {"e1": ENVIRONMENT}).environment["packages"] == ENVIRONMENT["packages"]


def test_methods_failures_and_trials_that_told_nothing_make_no_sentence() -> None:
    grid = _grid()
    assert alongside([_trial("a", {}, PLAIN), _trial("b", {}, PACKED)], {}) == ()
    assert alongside([trial for trial in grid if "true" not in trial.name], {}) == ()
    failed = [
        _trial(trial.cell_id, trial.levels, Side(spec=trial.config), outcome="oom", active=trial.active)
        for trial in grid
    ]
    assert alongside(failed, {}) == ()
    sft, dpo = (
        made_side({"method": "sft"}),
        made_side({"method": "dpo"}, method="dpo", active={"trainer": "DPOTrainer"}),
    )
    assert alongside([_trial("a", {"method": "sft"}, sft), _trial("b", {"method": "dpo"}, dpo)], {}) == ()
