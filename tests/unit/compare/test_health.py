from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from harness.compare import answer
from harness.records.results import CellFinding, Finding, SuiteResults
from tests.unit.compare.made import ACC, figures_of

PLAN, FINE = figures_of({"a": [0.9, 0.9], "b": [0.8, 0.8]})


def with_findings(found: dict[str, list[Finding]]) -> SuiteResults:
    trials = tuple(dataclasses.replace(trial, findings=tuple(found.get(trial.name, ()))) for trial in FINE.trials)
    return dataclasses.replace(FINE, trials=trials)


def spike(step: int, text: str = "the loss jumped to 40") -> Finding:
    return Finding(name="loss_spike", step=step, level="warning", text=text)


def test_one_finding_of_several_seeds_is_told_once_with_each_seed_and_step() -> None:
    found = with_findings(
        {
            "a-s1": [spike(7, "the loss jumped to 2")],
            "a-s0": [spike(9), spike(3, "the loss jumped to 1.5e+03"), spike(9)],
        }
    )

    assert answer(found, PLAN).health == (
        CellFinding(
            cell="a",
            kind="cell",
            name="loss_spike",
            level="warning",
            text="the loss jumped to 1.5e+03",
            seen=((0, 3), (0, 9), (1, 7)),
        ),
    )


def test_findings_of_one_name_that_tell_of_different_things_stay_apart() -> None:
    def broken(name: str, step: int, value: str = "nan") -> Finding:
        return Finding(name="not_finite", step=step, level="warning", text=f"{name} became {value}")

    found = with_findings(
        {"a-s0": [broken("entropy", 2), broken("eval_loss", 12)], "a-s1": [broken("entropy", 3, "inf")]}
    )

    assert [(one.text, one.seen) for one in answer(found, PLAN).health] == [
        ("entropy became nan", ((0, 2), (1, 3))),
        ("eval_loss became nan", ((0, 12),)),
    ]


def test_gradient_norms_that_are_too_low_and_too_high_stay_apart() -> None:
    high = "the gradient norm is between 10 and 100 in 3 of 55 logs after warm-up; 50 at step 6"
    low = "the gradient norm is below 0.1 in 1 of 55 logs after warm-up; 0.01 at step 9"
    norms = [Finding(name="gradient_norm", step=step, level="info", text=said) for step, said in ((6, high), (9, low))]

    assert [(one.text, one.seen) for one in answer(with_findings({"a-s0": norms}), PLAN).health] == [
        (high, ((0, 6),)),
        (low, ((0, 9),)),
    ]


def test_warnings_come_first_then_cells_in_their_order() -> None:
    slow = Finding(name="loss_not_falling", step=None, level="info", text="the loss did not fall")
    found = with_findings({"a-s0": [slow, spike(4)], "b-s0": [spike(2)]})

    got = answer(found, PLAN).health

    assert [(one.cell, one.level, one.seen) for one in got] == [
        ("a", "warning", ((0, 4),)),
        ("b", "warning", ((0, 2),)),
        ("a", "info", ((0, None),)),
    ]


def test_warnings_are_pointed_at_in_the_findings_and_information_is_not() -> None:
    slow = Finding(name="loss_not_falling", step=None, level="info", text="the loss did not fall")

    assert answer(with_findings({"b-s1": [spike(2)], "a-s0": [slow]}), PLAN).findings == (
        "The health of trainings gives reason to look at b: see Health.",
    )
    assert answer(with_findings({"a-s0": [slow]}), PLAN).findings == ()


def test_a_cell_that_diverged_and_went_on_does_not_lead_unsaid() -> None:
    gone = Finding(name="diverged", step=4, level="warning", text="loss became nan")

    got = answer(with_findings({"a-s1": [gone], "b-s0": [gone], "b-s1": [gone]}), PLAN)

    went_wrong = "trials: its figures are of a training that went wrong."
    assert f". a diverged in 1 of 2 {went_wrong} b diverged in 2 of 2 {went_wrong} " in got.headline
    assert "Diverged, and trained to the end as limits.diverged asks: a (1 of 2), b (2 of 2);" in got.findings[0]
    assert {cell.name: cell.diverged for cell in got.cells} == {"a": (1,), "b": (0, 1)}
    assert "diverged" not in answer(FINE, PLAN).headline


def disturbed(names: set[str], metric: str) -> SuiteResults:
    """Two seeds of `a` and of `b`, some of them beside other processes."""
    _, found = figures_of({"a": [9.0, 9.1], "b": [5.0, 5.1]}, metric)
    others = ("other processes took 50% of the processor's cores",)
    trials = [dataclasses.replace(one, disturbed=others if one.name in names else ()) for one in found.trials]
    return dataclasses.replace(found, trials=tuple(trials))


def test_a_cell_that_was_disturbed_does_not_lead_unsaid() -> None:
    got = answer(disturbed({"a-s0", "b-s0", "b-s1"}, "tokens_per_second"), PLAN)

    wrong = "its tokens/s is not to be trusted."
    assert f". a was disturbed in 1 of 2 trials: {wrong} b was disturbed in 2 of 2 trials: {wrong} " in got.headline


def test_host_memory_of_a_trial_that_was_trained_alone_is_told_and_moves_no_effect() -> None:
    made, found = figures_of({"a": [1e8, 1e8], "b": [1e8, 4e8]}, "peak_host_memory")
    trials = [
        dataclasses.replace(one, levels={"x": one.cell_name}, facts={"own_libraries": one.name == "b-s1"})
        for one in found.trials
    ]

    got = answer(dataclasses.replace(found, trials=tuple(trials)), made)

    assert any("Peak host memory of b-s1 holds the training libraries too" in said for said in got.findings)
    assert "peak host memory: 1 run is of workers with their own libraries" in got.effects.left_out


def test_what_disturbs_a_machine_says_nothing_of_scores() -> None:
    assert "disturbed" not in answer(disturbed({"a-s0", "b-s0", "b-s1"}, ACC), PLAN).headline


def test_what_ended_as_diverged_has_no_figures_that_could_lead() -> None:
    gone = Finding(name="diverged", step=4, level="warning", text="loss became nan")
    trials = (dataclasses.replace(FINE.trials[0], outcome="diverged", findings=(gone,)), *FINE.trials[1:])

    got = answer(dataclasses.replace(FINE, trials=trials), PLAN)

    assert "diverged in" not in got.headline
    assert all(cell.diverged == () for cell in got.cells)


FINDINGS = st.builds(
    Finding,
    name=st.sampled_from(["loss_spike", "gradient_norm"]),
    step=st.none() | st.integers(0, 9),
    level=st.sampled_from(["info", "warning"]),
    text=st.just("said"),
)


@given(st.dictionaries(st.sampled_from([trial.name for trial in FINE.trials]), st.lists(FINDINGS, max_size=4)))
def test_no_finding_is_lost_and_no_cell_says_a_thing_twice(found: dict[str, list[Finding]]) -> None:
    got = answer(with_findings(found), PLAN).health

    places = [{(one.name, one.level, one.step) for one in given_} for given_ in found.values()]
    assert sum(len(one.seen) for one in got) == sum(map(len, places))
    keys = [(one.cell, one.name, one.level) for one in got]
    assert len(keys) == len(set(keys))
