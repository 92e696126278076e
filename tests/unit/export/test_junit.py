"""JUnit XML, as junitparser reads it."""

from __future__ import annotations

from junitparser import Error, Failure, JUnitXml, Skipped

from tests.unit.export.made import CHECK, export, figures, given, trial


def read(text: str) -> JUnitXml:
    return JUnitXml.fromstring(text.encode())


def test_a_case_per_trial_and_a_failure_per_bad_end() -> None:
    trials = (
        trial("sft", 0, figures(100)),
        trial("sft", 1, {}, outcome="oom", last_outcome="oom", cause="1 GiB asked for <0.5 GiB & free>\x1b[0m"),
        trial("sft", 2, figures(90), attempts=3, counted=2, last_outcome="crashed"),
        trial("sft", 3, {}, outcome="interrupted", last_outcome="interrupted"),
        trial("sft", 4, {}, outcome=None, last_outcome=None, counted=None, attempts=0),
        trial("sft", 5, {}, outcome="skipped", last_outcome="skipped", cause="its stage failed"),
    )
    (suite,) = read(export("junit", given(*trials)))

    assert (suite.name, suite.tests, suite.failures, suite.errors, suite.skipped) == ("nightly", 6, 2, 1, 2)
    cases = list(suite)
    assert [case.name for case in cases] == [f"sft-s{seed}" for seed in range(6)]
    assert cases[0].classname == "nightly.sft"
    assert cases[0].time == 12.5
    assert cases[0].result == []
    assert [type(case.result[0]) for case in cases[1:]] == [Failure, Failure, Error, Skipped, Skipped]
    assert cases[1].result[0].type == "oom"
    assert cases[1].result[0].message == "1 GiB asked for <0.5 GiB & free>�[0m"
    assert "attempts ended crashed; its figures are of attempt 2" in cases[2].result[0].message


def test_figures_are_properties_and_absent_ones_are_absent() -> None:
    text = export("junit", given(trial("sft", 0, {"tokens_per_second": 5.0})))

    assert '<property name="tokens_per_second" value="5.0" />' in text
    assert text.count("<property ") == 1
    assert "time=" not in text


def test_a_regression_is_a_failure_and_what_is_undecided_is_skipped() -> None:
    _, check = read(export("junit", given(check=CHECK)))

    assert check.name == "nightly against h100"
    assert (check.tests, check.failures, check.skipped) == (7, 3, 2)
    results = {(case.classname, case.name): case.result for case in check}
    (regressed,) = results["nightly.sft", "tokens_per_second against h100"]
    assert isinstance(regressed, Failure)
    assert regressed.message == "regressed: −10.00% [−11.00, −9.00]"
    (few,) = results["nightly.dpo", "final_loss against h100"]
    assert isinstance(few, Skipped)
    assert few.message == "insufficient: one run a side"
    assert results["nightly.dpo", "tokens_per_second against h100"] == []
    assert results["nightly.sft", "score.a.acc against h100"][0].message == "refused: other documents"
    assert results["nightly.orpo", "cell against h100"][0].message == "missing: it has no trials"
    assert results["nightly.dpo", "outcome oom against h100"][0].message == (
        "regressed: 2 of 2 trials end oom, 0 of 2 in the baseline"
    )


def test_the_rules_of_the_check_hold() -> None:
    rules = {"fail_on_improvement": True, "allow_missing": True}
    _, check = read(export("junit", given(check={**CHECK, "rules": rules})))

    results = {case.name: case.result for case in check if case.classname != "nightly.sft"}
    assert isinstance(results["tokens_per_second against h100"][0], Failure)
    assert isinstance(results["cell against h100"][0], Skipped)
