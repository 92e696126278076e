from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from harness.compare import answer
from harness.records.results import SuiteResults, TrialResult
from harness.records.suite import Decide
from tests.unit.compare.made import ACC, ENVIRONMENT, cell, figures_of, plan, result, results


def changed(found: SuiteResults, name: str, **changes: Any) -> SuiteResults:
    trials = tuple(dataclasses.replace(trial, **changes) if trial.name == name else trial for trial in found.trials)
    return dataclasses.replace(found, trials=trials)


def findings(found: SuiteResults, values: dict[str, list[float]] | None = None) -> str:
    made, _ = figures_of(values or {"a": [0.9, 0.9], "b": [0.8, 0.8]})
    return "\n".join(answer(found, made).findings)


@pytest.fixture
def fine() -> SuiteResults:
    return figures_of({"a": [0.9, 0.9], "b": [0.8, 0.8]})[1]


def test_nothing_to_find(fine: SuiteResults) -> None:
    assert findings(fine) == ""


def test_failed_and_missing_trials_are_found(fine: SuiteResults) -> None:
    found = dataclasses.replace(
        changed(fine, "a-s0", outcome="oom"), trials=changed(fine, "a-s0", outcome="oom").trials[:-1]
    )

    said = findings(found)

    assert "1 of 4 trials did not end well (1 oom); their figures are left out." in said
    assert "Not finished yet: b-s1." in said
    assert "Fewer seeds than planned: a (1 of 2), b (1 of 2)." in said


def test_mixed_environments_are_found_with_what_differs(fine: SuiteResults) -> None:
    other = {**ENVIRONMENT, "hash": "e2", "packages": {"torch": "2.14.0", "transformers": "5.19.0"}, "python": "3.12.1"}
    found = dataclasses.replace(changed(fine, "b-s1", environment="e2"), environments={"e1": ENVIRONMENT, "e2": other})

    (said,) = findings(found).splitlines()

    assert said.startswith("Results of 2 environments are mixed (3, 1 trials); they differ in ")
    assert "torch (2.13.0, 2.14.0)" in said
    assert "trl (1.16.0, none)" in said


def test_another_commit_of_a_package_is_told_where_environments_are_mixed(fine: SuiteResults) -> None:
    one = {**ENVIRONMENT, "editable": {"trl-harness": {"commit": "a", "dirty": False}}}
    other = {**ENVIRONMENT, "editable": {"trl-harness": {"commit": "a", "dirty": True}}, "limits": {"cpus": 2.0}}
    found = dataclasses.replace(changed(fine, "b-s1", environment="e2"), environments={"e1": one, "e2": other})
    assert findings(found).endswith("they differ in limits, the source of trl-harness.")


def test_unlike_threads_and_variables_are_found_though_the_hash_is_one(fine: SuiteResults) -> None:
    found = fine
    for name, threads in (("a-s0", "1"), ("a-s1", "2"), ("b-s0", "1"), ("b-s1", "1")):
        variables = {"OMP_NUM_THREADS": threads, "CUDA_VISIBLE_DEVICES": name}
        torch = {"version": "2.13.0", "threads": int(threads)}
        found = changed(found, name, surroundings={"variables": variables, "torch": torch})
    assert (
        findings(found) == "Trials ran with unlike threads or variables: OMP_NUM_THREADS (1, 2), torch.threads (1, 2)."
    )


def test_environments_that_the_suite_compares_are_no_mixture(fine: SuiteResults) -> None:
    """What is asked for is said as such, with what else differs; a second build of one of them is a mixture."""
    packages: dict[str, Any] = {**ENVIRONMENT["packages"], "trl": "1.15.0"}
    old = {**ENVIRONMENT, "hash": "e2", "packages": packages}
    again = {**ENVIRONMENT, "hash": "e3", "packages": {**packages, "torch": "2.14.0"}}
    found = fine
    for name, key in (("b-s0", "e2"), ("b-s1", "e2")):
        config = next(trial.config for trial in fine.trials if trial.name == name)
        found = changed(found, name, environment=key, config={**config, "environment": {"name": "old"}})
    found = dataclasses.replace(found, environments={"e1": ENVIRONMENT, "e2": old, "e3": again})
    assert findings(found) == "Environments are compared: the harness's own, old; they differ in trl (1.15.0, 1.16.0)."

    _, mixed = findings(changed(found, "b-s1", environment="e3")).splitlines()
    assert (
        mixed
        == "Results of 2 builds of environment 'old' are mixed (1, 1 trials); they differ in torch (2.13.0, 2.14.0)."
    )


def test_made_up_trials_are_found_first(fine: SuiteResults) -> None:
    found = dataclasses.replace(fine, environments={"e1": {"engine": "debug"}}, score_backends=("debug", "hf"))

    said = findings(found).splitlines()

    assert said[0] == "MADE UP: the debug engine trained nothing in a-s0, a-s1, b-s0, b-s1; its figures mean nothing."
    assert said[1].startswith("MADE UP: scores of the debug backend")
    assert "several backends (debug, hf)" in said[2]


def test_a_made_up_answer_says_so_in_its_headline(fine: SuiteResults) -> None:
    made, _ = figures_of({"a": [0.9, 0.9], "b": [0.8, 0.8]})
    found = dataclasses.replace(fine, environments={"e1": {"engine": "debug"}})

    assert answer(found, made).headline.startswith("MADE UP, not measured: a scores 0.900")


def test_trials_without_a_score_are_found(fine: SuiteResults) -> None:
    assert "Without a score: a-s1." in findings(changed(fine, "a-s1", metrics={}))


def test_repeated_attempts_are_found(fine: SuiteResults) -> None:
    assert "More than one attempt was needed: b-s0 (3)." in findings(changed(fine, "b-s0", attempts=3))


def test_a_last_attempt_that_ended_badly_is_found_though_an_earlier_one_counts(fine: SuiteResults) -> None:
    found = changed(fine, "b-s0", attempts=2, counted=1, last_outcome="oom")

    assert findings(found).splitlines() == ["b-s0: its last attempt ended oom; figures are of attempt 1."]


def test_a_last_attempt_that_counts_is_no_finding(fine: SuiteResults) -> None:
    assert findings(changed(fine, "b-s0", attempts=1, counted=1, last_outcome="ok")) == ""


def test_a_note_of_every_training_is_said_of_all(fine: SuiteResults) -> None:
    floor = cell("floor", kind="floor")
    _, two = figures_of({"a": [0.9, 0.9], "b": [0.8, 0.8]})
    made = plan([floor, cell("a"), cell("b")])
    untrained = result(made.trials[0], {ACC: 0.2})
    trained = [dataclasses.replace(trial, notes=("bf16 is off.",)) for trial in two.trials]

    said = answer(results([untrained, *trained]), made).findings
    some = answer(results([untrained, *trained[:-1], two.trials[-1]]), made).findings

    assert said == ("all 4 trainings: bf16 is off.",)
    assert some == ("a-s0, a-s1, b-s0: bf16 is off.",)


def test_notes_are_told_once_with_who_said_them(fine: SuiteResults) -> None:
    found = changed(changed(fine, "a-s0", notes=("cut off.", "cut off.", "rare")), "b-s1", notes=("cut off.",))

    assert findings(found).splitlines() == ["a-s0, b-s1: cut off.", "a-s0: rare."]


def test_results_outside_the_plan_are_left_out_and_found(fine: SuiteResults) -> None:
    stranger = plan([cell("old")], seeds=1).trials[0]
    found = dataclasses.replace(fine, trials=(*fine.trials, result(stranger, {ACC: 1.0})))
    made, _ = figures_of({"a": [0.9, 0.9], "b": [0.8, 0.8]})

    got = answer(found, made)

    assert "old" not in {trial.cell_name for trial in got.trials}
    assert any(finding.startswith("1 trial of this suite's folder is not in this plan") for finding in got.findings)


def test_unpinned_revisions_are_found() -> None:
    loose = cell("a", model={"hub": "org/model"}, data={"hub": "org/data", "revision": "abc"})
    made = plan([loose], seeds=2)
    found: list[TrialResult] = [result(trial, {ACC: 0.5}) for trial in made.trials]

    (said,) = answer(results(found), made).findings

    assert said.startswith("No revision is pinned for org/model:")


def test_what_is_out_of_bounds_is_found() -> None:
    made, found = figures_of({"a": [0.9, 0.9], "b": [0.8, 0.8]})
    decide = Decide(maximise=ACC, keep={ACC: "<= 0.85"})
    bounded = dataclasses.replace(made, suite=made.suite.model_copy(update={"decide": decide}))

    assert answer(found, bounded).findings == ("Out of bounds: a: arithmetic_mc acc 0.900 is not <= 0.85.",)


def test_one_seed_is_found() -> None:
    made, found = figures_of({"a": [0.9], "b": [0.8]})

    assert answer(found, made).findings == ("One seed per cell: nothing here tells chance from effect.",)


def test_disturbed_trials_are_found_with_the_flag_that_repeats_them(fine: SuiteResults) -> None:
    found = changed(fine, "b-s1", disturbed=("throttled",))
    made, _ = figures_of({"a": [0.9, 0.9], "b": [0.8, 0.8]})

    got = answer(found, made)

    assert [(row.name, row.disturbed) for row in got.cells] == [("a", ()), ("b", (1,))]
    assert got.cells[1].metrics[ACC].n == 2  # they are kept
    (said,) = got.findings
    assert said.startswith("Disturbed: figures of b-s1 are in the tables, marked †")
    assert said.endswith("; the command under Disturbed measures them again.")


def test_a_failed_trial_is_not_called_disturbed_too(fine: SuiteResults) -> None:
    assert "Disturbed" not in findings(changed(fine, "b-s1", outcome="oom", disturbed=("throttled",)))


@pytest.mark.parametrize(("name", "said"), [("mfu", "MFU"), ("hfu", "HFU")])
def test_more_than_the_peak_of_a_device_is_impossible(name: str, said: str) -> None:
    # The mean is below 1, one seed is not.
    made, found = figures_of({"a": [0.7, 1.25], "b": [0.4, 1.0]}, metric=name)

    told = [finding for finding in answer(found, made).findings if finding.startswith("Impossible")]

    assert len(told) == 1
    assert f"{said} above 1 in a (1.25): the peak" in told[0]


def test_a_script_in_a_devices_place_makes_its_figures_up(fine: SuiteResults) -> None:
    found = changed(fine, "a-s0", facts={"sampling": {"made_up": "throttled.json"}})
    made, _ = figures_of({"a": [0.9, 0.9], "b": [0.8, 0.8]})

    got = answer(found, made)

    assert got.findings == ("MADE UP: the device of a-s0 was a script (throttled.json); its figures mean nothing.",)
    assert not got.headline.startswith("MADE UP")  # the score was measured
    judged = made.suite.model_copy(update={"decide": Decide(minimise="energy")})
    energy = answer(found, dataclasses.replace(made, suite=judged))
    assert energy.headline.startswith("MADE UP, not measured")


def after_a_stage(stage: float, cells: dict[str, float], **changes: Any) -> str:
    """What is found where every cell starts from one stage."""
    base = cell("base", kind="stage")
    rows = [dataclasses.replace(cell(name), needs=base.id) for name in cells]
    made = plan([base, *rows], seeds=2)
    made = dataclasses.replace(made, suite=made.suite.model_copy(update=changes))
    figures = {"base": stage, **cells}
    found = [result(trial, {ACC: figures[trial.cell.name], "final_loss": 1.0}) for trial in made.trials]
    told = answer(results(found), made).findings
    return "\n".join(finding for finding in told if "different quantities" not in finding)


def test_no_cell_beats_the_stage_it_starts_from() -> None:
    assert after_a_stage(0.93, {"dpo": 0.91, "orpo": 0.92}) == (
        "No cell beats the stage it starts from on arithmetic_mc acc: "
        "orpo comes nearest with 0.920, stage base has 0.930."
    )


def test_figures_that_read_the_same_do_not_beat() -> None:
    assert "No cell beats" in after_a_stage(0.93, {"dpo": 0.9302, "orpo": 0.92})


def test_one_cell_that_beats_its_stage_is_enough() -> None:
    assert after_a_stage(0.93, {"dpo": 0.95, "orpo": 0.92}) == ""


def test_on_a_metric_to_be_minimised_less_beats() -> None:
    assert "No cell beats" in after_a_stage(0.5, {"dpo": 0.6}, decide=Decide(minimise=ACC))
    assert "No cell beats" not in after_a_stage(0.5, {"dpo": 0.4}, decide=Decide(minimise=ACC))


def test_stages_are_not_set_beside_cells_by_what_is_no_score() -> None:
    assert "No cell beats" not in after_a_stage(0.9, {"dpo": 0.1}, decide=Decide(minimise="final_loss"))


def test_cells_that_start_from_nothing_have_no_stage_to_beat() -> None:
    base = cell("base", kind="stage")
    made = plan([base, cell("dpo")], seeds=2)
    figures = {"base": 0.9, "dpo": 0.1}
    found = [result(trial, {ACC: figures[trial.cell.name]}) for trial in made.trials]

    assert answer(results(found), made).findings == ()
