"""Two sides as a whole: what is compared, what is refused and why, what is told beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from harness.compare import compare
from harness.records.metrics import Margin
from harness.records.results import Curve, Finding, SuiteResults, TaskScore, TrialResult
from harness.records.verdict import CellComparison, Comparison, Selected
from tests.unit.compare.made import ACC, ENVIRONMENT, cell, plan, result, results

SPEED, HOST = "tokens_per_second", "peak_host_memory"
FAST, SLOW = [1000.0, 1002.0, 998.0, 1001.0, 999.0], [900.0, 902.0, 898.0, 901.0, 899.0]
H100: dict[str, Any] = {**ENVIRONMENT, "hash": "e2", "device": {"name": "NVIDIA H100", "count": 1}}
NEWER: dict[str, Any] = {
    **ENVIRONMENT,
    "hash": "e3",
    "packages": {**ENVIRONMENT["packages"], "trl": "1.17.0"},
}
KNOWN = {"e1": ENVIRONMENT, "e2": H100, "e3": NEWER}


def side(
    figures: Mapping[str, Sequence[float]],
    *,
    name: str = "sft",
    environment: str = "e1",
    levels: Mapping[str, str] | None = None,
    scores: Mapping[str, Any] | None = None,
    curves: Sequence[Curve] = (),
    **changes: Any,
) -> Selected:
    """One cell with its figures by metric, one per seed; `changes` are of its trials, or by seed."""
    seeds = max(map(len, figures.values()))
    made = plan([dataclasses.replace(cell(name), levels=levels or {"recipe": name})], seeds=seeds)
    trials = [
        result(
            trial,
            {metric: values[trial.seed] for metric, values in figures.items() if trial.seed < len(values)},
            **{"environment": environment, "config": dict(trial.cell.config), **changes},
        )
        for trial in made.trials
    ]
    told = [
        TaskScore(
            trial_id=trial.trial_id, task="arithmetic_mc", **{"backend": "hf", "task_hash": "t", **(scores or {})}
        )
        for trial in trials
    ]
    return _selected(results(trials, environments=KNOWN, scores=tuple(told), curves=tuple(curves)), trials)


def _selected(known: SuiteResults, trials: Sequence[TrialResult]) -> Selected:
    return Selected(label="some", results=known, trials=tuple(trials))


def only_cell(found: Comparison) -> CellComparison:
    (one,) = found.cells
    return one


def test_a_slowdown_is_regressed_and_a_wider_margin_forgives_it() -> None:
    before, after = side({SPEED: FAST}), side({SPEED: SLOW})

    strict, wide = (compare(before, after, margins={SPEED: Margin(relative=share)}) for share in (0.01, 0.2))

    assert only_cell(strict).verdicts[SPEED].ruling == "regressed"
    assert only_cell(wide).verdicts[SPEED].ruling == "equivalent"
    assert wide.margins[SPEED] == Margin(relative=0.2)


def test_another_environment_is_refused_unless_it_is_what_is_compared() -> None:
    before, after = side({SPEED: FAST}), side({SPEED: SLOW}, environment="e3")

    refused, across = only_cell(compare(before, after)), only_cell(compare(before, after, across=True))

    assert refused.verdicts == {}
    assert "trl 1.16.0 → 1.17.0" in refused.refused[SPEED]
    assert "--across" in refused.refused[SPEED]
    assert across.verdicts[SPEED].ruling == "regressed"
    assert "Environment: packages.trl 1.16.0 → 1.17.0." in across.what_else


def test_another_state_of_the_harness_itself_is_told_and_refuses_nothing() -> None:
    edited = {**ENVIRONMENT, "hash": "e4", "editable": {"trl-harness": {"commit": "abc", "dirty": True}}}
    before, after = side({SPEED: FAST}), side({SPEED: SLOW}, environment="e4")
    known = dataclasses.replace(after.results, environments={**KNOWN, "e4": edited})

    found = only_cell(compare(before, _selected(known, after.trials)))
    unknown = only_cell(compare(before, _selected(dataclasses.replace(known, environments={}), after.trials)))

    assert found.verdicts[SPEED].ruling == "regressed"
    assert any("commit=abc" in said for said in found.what_else)
    assert "other environments" in unknown.refused[SPEED]


def test_cells_that_are_configured_for_environments_of_their_own_need_no_leave() -> None:
    old, new = ({"method": "sft", "environment": {"name": f"trl-1.{minor}"}} for minor in (16, 17))

    found = compare(side({SPEED: FAST}, config=old), side({SPEED: SLOW}, config=new, environment="e3", name="sft-new"))

    assert only_cell(found).verdicts[SPEED].ruling == "regressed"


def test_what_belongs_to_a_device_is_never_compared_across_devices() -> None:
    before = side({SPEED: FAST, ACC: [0.5] * 5})
    after = side({SPEED: SLOW, ACC: [0.5] * 5}, environment="e2")

    found = only_cell(compare(before, after, across=True))

    assert list(found.refused) == [SPEED]
    assert "the reference ran on Some CPU, 2 usable, the candidate on NVIDIA H100" in found.refused[SPEED]
    assert found.verdicts[ACC].ruling == "equivalent"


def test_host_memory_with_the_libraries_is_never_compared_with_that_without() -> None:
    alone: dict[str, Any] = {"facts": {"own_libraries": True}}
    held = {HOST: [450e6] * 2, SPEED: [1000.0, 1001.0]}
    shared = {HOST: [110e6] * 2, SPEED: [1000.0, 1001.0]}

    found = only_cell(compare(side(held, **alone), side(shared)))
    both = only_cell(compare(side(held, **alone), side(held, **alone)))
    left_out = only_cell(compare(side(held, **alone, disturbed=("others",)), side(shared)))

    assert list(found.refused) == [HOST]
    assert "that of sft-s0, sft-s1 holds the training libraries too" in found.refused[HOST]
    assert both.refused == left_out.refused == {}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"backend": "vllm"}, "backend hf"),
        ({"task_hash": "other"}, "task other"),
        ({"n_documents": 50}, "documents 50"),
        ({"flags": {"num_fewshot": 5}}, "num_fewshot 5"),
        ({"versions": {"lm_eval": "0.5"}}, "lm_eval 0.5"),
    ],
)
def test_scores_that_were_not_made_alike_are_refused_with_what_differs(made: Mapping[str, Any], said: str) -> None:
    figures = {ACC: [0.5, 0.6], SPEED: FAST[:2]}

    found = only_cell(compare(side(figures), side(figures, scores=made)))

    assert said in found.refused[ACC]
    assert "candidate sft-s0" in found.refused[ACC]
    assert SPEED in found.verdicts


def test_versions_that_scored_may_differ_where_environments_may() -> None:
    figures = {ACC: [0.5, 0.6]}

    found = compare(side(figures), side(figures, scores={"versions": {"lm_eval": "0.5"}}), across=True)

    assert ACC in only_cell(found).verdicts


def test_losses_of_two_methods_and_of_other_data_are_refused() -> None:
    losses = {"final_loss": [1.0, 1.1]}

    methods = only_cell(compare(side(losses), side(losses, name="dpo")))
    data = only_cell(compare(side(losses), side(losses, config={"data": {"source": "pydoc"}})))

    assert "of sft and of dpo are different" in methods.refused["final_loss"]
    assert "data.source arithmetic → pydoc" in data.refused["final_loss"]


def test_a_figure_of_one_side_alone_is_missing_and_not_refused() -> None:
    found = only_cell(compare(side({SPEED: FAST, ACC: [0.5]}), side({SPEED: FAST}, environment="e1")))

    assert found.verdicts[ACC].ruling == "missing"


def test_of_a_floor_only_scores_are_compared() -> None:
    figures = {"peak_host_memory": [30.0 * 2**20], ACC: [0.5]}
    floors = [
        dataclasses.replace(trial, kind="floor", metrics={**trial.metrics, "peak_host_memory": size * 2.0**20})
        for size in (30, 40)
        for trial in side(figures).trials
    ]

    found = compare(*(_selected(side(figures).results, [floor]) for floor in floors))

    assert list(only_cell(found).verdicts) == [ACC]


def test_how_trials_ended_is_counted_and_judged() -> None:
    before = side({SPEED: FAST})
    trials = [
        dataclasses.replace(trial, outcome="oom" if trial.seed < 2 else "ok", metrics={SPEED: FAST[trial.seed] + 0.1})
        for trial in before.trials
    ]

    found = only_cell(compare(before, _selected(before.results, trials)))

    assert found.outcomes == ({"ok": 5}, {"oom": 2, "ok": 3})
    assert found.ended == "regressed"


def test_a_loss_that_became_no_number_is_regressed_and_not_missing() -> None:
    """A summary holds finite figures alone, so a training that went on after its loss was NaN has no final loss."""
    fine = side({SPEED: FAST[:2], "final_loss": [1.0, 1.1]})
    nan = Finding(name="diverged", step=2, level="warning", text="loss became nan")
    broken = side({SPEED: FAST[:2]}, findings=(nan,))

    verdict = only_cell(compare(fine, broken)).verdicts["final_loss"]

    assert verdict.ruling == "regressed"
    assert "not finite in 0 of 2 and 2 of 2 runs" in verdict.why
    assert only_cell(compare(fine, side({SPEED: FAST[:2]}))).verdicts["final_loss"].ruling == "missing"


def test_a_device_that_was_a_script_is_said_to_be_one() -> None:
    scripted = side({"energy_per_token": [0.3, 0.4]}, facts={"sampling": {"made_up": "throttled.json"}})

    (said,) = compare(side({"energy_per_token": [0.2, 0.3]}), scripted).findings

    assert said.startswith("MADE UP: the device of sft-s0, sft-s1 was a script (throttled.json)")


def test_disturbed_runs_are_left_out_of_speed_and_not_of_scores_and_said() -> None:
    after = side({SPEED: [*FAST[:4], 10.0], ACC: [0.5] * 5})
    trials = [
        dataclasses.replace(trial, disturbed=("throttled",)) if trial.seed == 4 else trial for trial in after.trials
    ]

    found = compare(side({SPEED: FAST, ACC: [0.5] * 5}), _selected(after.results, trials))

    assert only_cell(found).verdicts[SPEED].values[1] == FAST[:4]
    assert "seed 4" in only_cell(found).verdicts[SPEED].left_out[0]
    assert len(only_cell(found).verdicts[ACC].values[1]) == 5
    assert any(said.startswith("Left out as disturbed, of the candidate: sft-s4") for said in found.findings)


def test_the_very_same_measurement_on_both_sides_is_said() -> None:
    before = side({SPEED: FAST})

    found = compare(before, before)

    assert any("very same measurement" in said for said in found.findings)
    assert only_cell(found).verdicts[SPEED].ruling == "equivalent"


def test_losses_of_one_seed_are_followed_also_where_environments_differ() -> None:
    def curve(seed: int, last: float) -> Curve:
        return Curve(
            trial_id=f"sft-{seed}", cell_name="sft", seed=seed, metric="loss", steps=(5, 10), values=(2.0, last)
        )

    before = side({SPEED: FAST[:2]}, curves=[curve(0, 1.0), curve(1, 1.0)])
    after = side({SPEED: FAST[:2]}, curves=[curve(0, 1.0), curve(1, 1.5)], environment="e3")

    found = only_cell(compare(before, after)).divergences

    assert [(one.seed, one.exact, one.beyond) for one in found] == [(0, None, None), (1, 10, 10)]


def test_what_else_changed_is_told_once_where_it_is_the_same_in_all_cells() -> None:
    def cells(rows: int, own: int) -> Selected:
        sides = [
            side({SPEED: FAST}, name=name, config={"data": {"rows": rows}, "train": {"max_steps": steps}})
            for name, steps in (("sft", 10), ("dpo", own))
        ]
        trials = [trial for one in sides for trial in one.trials]
        return _selected(results(trials, environments=KNOWN), trials)

    found = compare(cells(10, 10), cells(20, 30), metrics=[SPEED])

    assert found.what_else == ()
    assert [list(one.what_else) for one in found.cells] == [
        ["Configuration: data.rows 10 → 20."],
        ["Configuration: data.rows 10 → 20, train.max_steps 10 → 30."],
    ]
    assert compare(cells(10, 10), cells(20, 10)).what_else == ("Configuration: data.rows 10 → 20.",)


def test_made_up_figures_are_said_to_be_so_once_for_both_sides() -> None:
    debug = {**ENVIRONMENT, "engine": "debug"}
    before = side({SPEED: FAST})
    both = dataclasses.replace(before.results, environments={"e1": debug})

    found = compare(_selected(both, before.trials), _selected(both, side({SPEED: SLOW}).trials))

    assert sum(said.startswith("MADE UP") for said in found.findings) == 1
