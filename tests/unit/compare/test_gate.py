"""Gates: what fails them and what does not, and that nothing that is not alike passes in silence."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.compare.gate import gate, suspicious
from harness.compare.sides import Sides, sides_of
from harness.errors import NoBaseline
from harness.records.baseline import Baseline
from harness.records.document_scores import Asked, DocumentScores
from harness.records.gate import Gate, Rules
from harness.records.results import TrialResult
from harness.store.baselines.documents import SavedDocuments, tables_of
from tests.unit.compare import made

SPEED, MEMORY, LOSS, TIME = "tokens_per_second", "peak_host_memory", "final_loss", "train_seconds"
STEADY = (1000.0, 1003.0, 998.0, 1001.0, 1002.0)
HERE = {"e1": made.ENVIRONMENT}
ELSEWHERE = {"e2": {**made.ENVIRONMENT, "device": {"name": "NVIDIA H100", "count": 2}}}


def _trials(
    cell: str = "sft", metric: str = SPEED, values: Sequence[float] = STEADY, **changes: Any
) -> list[TrialResult]:
    """One trial per value, seeds from 0."""
    plan = made.plan([made.cell(cell)], seeds=len(values))
    return [made.result(trial, {metric: value}, **changes) for trial, value in zip(plan.trials, values, strict=True)]


def _baseline(trials: Sequence[TrialResult], environments: Mapping[str, Any] = HERE) -> Baseline:
    return Baseline(
        name="before", results=made.results(trials, environments=environments), documents=SavedDocuments({})
    )


def _sides(
    before: Sequence[TrialResult], now: Sequence[TrialResult], *, across: bool = False, **environments: Any
) -> Sides:
    return sides_of(
        _baseline(before),
        before,
        made.results(now, environments=environments.get("environments", HERE)),
        now,
        across=across,
    )


def _gate(
    before: Sequence[TrialResult], now: Sequence[TrialResult], *, metrics: Sequence[str] = (), **rules: bool
) -> Gate:
    return gate(_sides(before, now), Rules(**rules), metrics=metrics)


def _times(share: float, values: Sequence[float] = STEADY) -> list[float]:
    """The same a little otherwise, times a share."""
    return [value * share + 1 for value in values]


@pytest.mark.parametrize(
    ("metric", "share", "worse"),
    [(SPEED, 0.9, True), (SPEED, 1.1, False), (TIME, 1.1, True), (TIME, 0.9, False)],
)
def test_ten_percent_either_way_is_found_and_only_worse_fails(metric: str, share: float, worse: bool) -> None:
    found = _gate(_trials(metric=metric), _trials(metric=metric, values=_times(share)), metrics=[metric])
    (one,) = found.regressed if worse else found.improved
    assert (one.cell, one.metric, found.exit_code) == ("sft", metric, int(worse))
    assert one.verdict.effect is not None
    assert one.verdict.effect.value == pytest.approx(share, rel=0.01)
    strict = replace(found, rules=Rules(fail_on_improvement=True))
    assert strict.exit_code == 1


def test_five_percent_more_memory_is_a_regression_without_any_variance() -> None:
    size = 512 * 2.0**20
    found = _gate(_trials(metric=MEMORY, values=[size] * 3), _trials(metric=MEMORY, values=[1.05 * size] * 3))
    assert ([one.metric for one in found.regressed], found.exit_code) == ([MEMORY], 1)


def test_a_constant_is_equivalent_and_a_constant_that_moves_regresses() -> None:
    same = _trials(values=[1000.0] * 3)
    assert _gate(same, replace_all(same, counted=2), strict=True).exit_code == 0
    assert _gate(same, _trials(values=[900.0] * 3)).exit_code == 1


def replace_all(trials: Sequence[TrialResult], **changes: Any) -> list[TrialResult]:
    return [replace(trial, **changes) for trial in trials]


def test_one_run_is_too_few_to_tell_and_says_so_only_where_it_must_be_told() -> None:
    found = _gate(_trials(), _trials(values=[900.0]), metrics=[SPEED])
    assert ([one.metric for one in found.insufficient], found.exit_code) == ([SPEED], 0)
    assert "In the baseline and not here: seed 1, 2, 3, 4 of sft." in found.findings
    assert replace(found, rules=Rules(strict=True)).exit_code == 3
    floor = [replace(trial, kind="floor") for trial in _trials(values=[1.0])]
    assert not _gate(
        floor, replace_all(floor, counted=2), metrics=[SPEED]
    ).insufficient  # it is never run more than once


def test_no_run_at_all_is_no_comparison() -> None:
    with pytest.raises(NoBaseline, match="there is no trial to check") as caught:
        _sides(_trials(), [])
    assert caught.value.exit_code == 4


def test_a_missing_seed_is_told_and_the_rest_is_judged() -> None:
    now = [trial for trial in _trials(values=_times(0.9)) if trial.seed != 3]
    found = _gate(_trials(), now, metrics=[SPEED])
    assert found.exit_code == 1
    assert "In the baseline and not here: seed 3 of sft." in found.findings


def test_a_loss_that_is_no_number_any_more_regresses_and_others_leave_it_out() -> None:
    values = [0.5, 0.51, 0.49]
    found = _gate(_trials(metric=LOSS, values=values), _trials(metric=LOSS, values=[0.5, math.nan, math.nan]))
    assert ([one.metric for one in found.regressed], found.exit_code) == ([LOSS], 1)
    speed = _gate(_trials(), _trials(values=[math.nan, *STEADY[1:]]), metrics=[SPEED])
    assert speed.exit_code == 0
    (cell,) = speed.comparison.cells
    assert cell.verdicts[SPEED].left_out == ("1 not finite of the candidate (seed 0)",)


def test_a_cell_that_is_gone_fails_unless_that_is_allowed_and_a_new_one_is_told() -> None:
    found = _gate([*_trials("sft"), *_trials("dpo")], [*_trials("sft", counted=2), *_trials("orpo")])
    assert [(one.cell, one.why) for one in found.missing] == [("dpo", "it is not there any more")]
    assert (found.extra, found.exit_code) == (("orpo",), 1)
    assert replace(found, rules=Rules(allow_missing=True)).exit_code == 0


def test_a_cell_whose_configuration_changed_is_another_cell() -> None:
    now = [replace(trial, cell_id="other", trial_id=f"other-{trial.seed}") for trial in _trials("dpo")]
    found = _gate([*_trials("sft"), *_trials("dpo")], [*_trials("sft", counted=2), *now])
    assert [(one.cell, one.why) for one in found.missing] == [("dpo", "its configuration is another now")]


def test_a_cell_that_was_planned_and_has_not_run_is_missing() -> None:
    never = replace_all(_trials("dpo"), outcome=None, metrics={}, counted=None)
    found = _gate([*_trials("sft"), *_trials("dpo")], [*_trials("sft", counted=2), *never])
    assert [(one.cell, one.why) for one in found.missing] == [("dpo", "it has not run")]
    partly = [*_trials("dpo", counted=2)[:3], *never[3:]]
    assert "Not run yet: dpo-s3, dpo-s4." in _gate(_trials("dpo"), partly).findings


def test_a_figure_that_is_gone_fails_as_a_cell_does_and_a_new_one_is_told() -> None:
    before = [replace(trial, metrics={**trial.metrics, MEMORY: 1e9}) for trial in _trials()]
    found = _gate(before, _trials(counted=2), metrics=[SPEED, MEMORY])
    assert [(one.cell, one.metric) for one in found.missing] == [("sft", MEMORY)]
    assert found.exit_code == 1
    found = _gate(_trials(), replace_all(before, counted=2), metrics=[SPEED, MEMORY])
    assert (found.missing, found.exit_code) == ((), 0)
    assert f"Not in the baseline, so not judged: {MEMORY}." in found.findings


def test_the_baselines_own_runs_are_no_measurement_of_now() -> None:
    own = _trials(metric=TIME)
    found = _gate(own, own)
    assert [(one.cell, one.why) for one in found.missing] == [
        ("sft", "nothing was measured since the baseline was saved")
    ]
    assert found.exit_code == 1
    half = [*own[:2], *replace_all(own[2:], counted=2)]
    found = _gate(own, half, metrics=[TIME])
    assert (found.exit_code, found.equivalent) == (0, 1)
    assert any("sft-s0, sft-s1; nothing of them was measured" in said for said in found.findings)


def test_an_earlier_night_does_not_speak_for_one_that_ended_badly_or_was_disturbed() -> None:
    fine = _trials(counted=2, attempts=3)  # the night before; of tonight only how it ended is known
    for outcome, code in (("oom", 1), ("crashed", 5), ("interrupted", 5)):
        found = _gate(_trials(), [*_trials(counted=3, attempts=3)[:4], replace(fine[4], last_outcome=outcome)])
        (one,) = (*found.ended, *found.failed)
        assert (one.outcome, one.seeds, found.exit_code) == (outcome, (4,), code)
    disturbed = replace_all(fine, last_outcome="ok")
    found = _gate(_trials(), [*_trials(counted=3, attempts=3)[:3], *disturbed[3:]], metrics=[SPEED])
    assert any("was disturbed (or runs now): sft-s3, sft-s4" in said for said in found.findings)
    values = found.comparison.cells[0].verdicts[SPEED].values
    assert ([len(side) for side in values], found.exit_code) == ([5, 3], 0)
    for metric in (SPEED, LOSS):  # a loss is what it is on a busy machine too, but not that of another night
        now = replace_all(_trials(metric=metric, counted=2, attempts=3), last_outcome="ok")
        found = _gate(_trials(metric=metric), now, metrics=[metric])
        assert found.insufficient[0].metric == metric


def test_another_machine_is_no_baseline_unless_asked_across() -> None:
    now = replace_all(_trials(values=_times(0.9)), environment="e2")
    with pytest.raises(NoBaseline) as caught:
        _sides(_trials(), now, environments=ELSEWHERE)
    assert "ran on Some CPU, 2 usable, these on 2 × NVIDIA H100" in str(caught.value)
    assert caught.value.exit_code == 4
    assert _sides(_trials(), now, environments=ELSEWHERE, across=True).shared


def test_of_several_machines_the_shared_one_is_compared_and_the_rest_told() -> None:
    now = [*_trials(values=_times(0.9))[:3], *replace_all(_trials()[3:], environment="e2")]
    sides = _sides(_trials(), now, environments={**HERE, **ELSEWHERE})
    assert len(sides.now[sides.shared[0]]) == 3
    assert "Left out, as of another machine: sft-s3, sft-s4 of the checked trials." in sides.findings
    unknown = _sides(_trials(), replace_all(_trials(counted=2), environment=None))
    assert any("no machine is known" in said for said in unknown.findings)


def test_nothing_in_common_is_no_baseline() -> None:
    with pytest.raises(NoBaseline, match="no cell in common") as caught:
        _sides(_trials("sft"), _trials("dpo"))
    assert "it has sft, these are dpo" in str(caught.value)
    with pytest.raises(NoBaseline, match="of sft the configuration is another now"):
        _sides(_trials("sft"), replace_all(_trials("sft"), cell_id="edited"))


def test_new_out_of_memory_and_divergence_are_regressions() -> None:
    for outcome in ("oom", "diverged"):
        now = [*_trials(counted=2)[:4], replace(_trials()[4], outcome=outcome, metrics={})]
        found = _gate(_trials(), now, metrics=[SPEED])
        (one,) = found.ended
        assert (one.outcome, one.before, one.now, one.seeds) == (outcome, (0, 5), (1, 5), (4,))
        assert found.exit_code == 1
        known = _gate(now, replace_all(now, counted=2), metrics=[SPEED])
        assert (known.ended, known.exit_code) == ((), 0)
        assert f"Ended so in the baseline too: sft ({outcome} 1 of 5, now 1 of 5)." in known.findings


def test_new_crashes_are_failures_and_a_regression_weighs_more() -> None:
    crashed = [replace(trial, outcome="crashed", metrics={}) for trial in _trials("dpo")]
    found = _gate([*_trials("sft"), *_trials("dpo")], [*_trials("sft", counted=2), *crashed], metrics=[SPEED])
    assert ([one.cell for one in found.failed], found.missing, found.exit_code) == (["dpo"], (), 5)
    found = _gate([*_trials("sft"), *_trials("dpo")], [*_trials("sft", values=_times(0.9)), *crashed], metrics=[SPEED])
    assert found.exit_code == 1


def test_the_worst_comes_first() -> None:
    before = [*_trials("sft"), *_trials("dpo"), *_trials("orpo")]
    now = [
        *_trials("sft", values=_times(0.97)),
        *_trials("dpo", values=_times(0.7)),
        *_trials("orpo", values=_times(0.9)),
    ]
    assert [one.cell for one in _gate(before, now).regressed] == ["dpo", "orpo", "sft"]


def _scored(values: Sequence[Sequence[float]], hashes: Sequence[str]) -> tuple[list[TrialResult], SavedDocuments]:
    """Trials whose score is the mean of what they got on these documents."""
    asked = Asked(task="arithmetic_mc", indices=range(len(hashes)), doc_hashes=hashes, prompt_hashes=hashes)
    trials = _trials(metric=made.ACC, values=[statistics.fmean(one) for one in values])
    documents = [
        DocumentScores(trial_id=trial.trial_id, asked=asked, values={"acc": np.array(one)})
        for trial, one in zip(trials, values, strict=True)
    ]
    return trials, SavedDocuments(tables_of(documents))


def test_scores_are_judged_by_their_documents_duplicates_told() -> None:
    hashes = [f"d{number}" for number in range(100)]
    right = [[float(number % 10 > 0) for number in range(100)]] * 2
    wrong = [[float(number % 10 > 2) for number in range(100)]] * 2  # a fifth of the documents is lost
    (before, kept), (now, known) = _scored(right, hashes), _scored(wrong, [*hashes[:99], "d98"])
    baseline = replace(_baseline(before), documents=kept)
    sides = sides_of(baseline, before, made.results(now), replace_all(now, counted=2), across=False)
    refused = gate(replace(sides, documents=known), Rules(strict=True), metrics=[made.ACC])
    assert (len(refused.refused), refused.exit_code) == (1, 3)  # other documents: not compared, and said

    now, known = _scored(wrong, hashes)
    sides = sides_of(baseline, before, made.results(now), replace_all(now, counted=2), across=False)
    found = gate(replace(sides, documents=known), Rules(), metrics=[made.ACC])
    assert ([one.metric for one in found.regressed], found.exit_code) == ([made.ACC], 1)
    behind = found.regressed[0].verdict.documents
    assert behind is not None
    assert (behind.documents, behind.broken) == (100, 20)

    doubled = [*hashes[:99], "d98"]
    (before, kept), (now, known) = _scored(right, doubled), _scored(wrong, doubled)
    baseline = replace(_baseline(before), documents=kept)
    sides = sides_of(baseline, before, made.results(now), replace_all(now, counted=2), across=False)
    again = gate(replace(sides, documents=known), Rules(), metrics=[made.ACC]).regressed[0].verdict.documents
    assert again is not None
    assert again.duplicates == 1


def test_what_is_doubtful_is_looked_at_again_and_a_regression_twice() -> None:
    slow = _gate(_trials(), _trials(values=_times(0.9)), metrics=[SPEED])
    assert suspicious(slow, None) == {"sft-id"}
    assert suspicious(slow, slow) == set()  # it was seen twice
    loud = _gate(_trials(values=[900, 1000, 1100]), _trials(values=[950, 1000, 1120]), metrics=[SPEED])
    assert suspicious(loud, loud) == {"sft-id"}
    better = _gate(_trials(), _trials(values=_times(1.1)), metrics=[SPEED])
    assert suspicious(better, None) == set()
    assert suspicious(replace(better, rules=Rules(fail_on_improvement=True)), None) == {"sft-id"}


def test_more_runs_are_not_asked_for_where_they_cannot_help() -> None:
    few = _gate(_trials(values=[1000.0]), _trials(values=[900.0]), metrics=[SPEED])  # the baseline has one run
    assert (len(few.insufficient), suspicious(few, None)) == (1, set())
    held = _gate(_trials(metric=MEMORY, values=[1e9]), _trials(metric=MEMORY, values=[1.1e9]), metrics=[MEMORY])
    assert (len(held.insufficient), suspicious(held, None)) == (1, set())
    wide = _trials(metric=MEMORY, values=[1e9, 0.9e9]), _trials(metric=MEMORY, values=[1e9, 0.99e9])
    ranges = _gate(*wide, metrics=[MEMORY])  # they only grow
    assert (len(ranges.undecided), suspicious(ranges, None)) == (1, set())
    losses = _trials(metric=LOSS, values=[0.5, 0.6, 0.7]), _trials(metric=LOSS, values=[0.52, 0.59, 0.75])
    paired = _gate(*losses, metrics=[LOSS])  # new seeds are in no pair
    assert (len(paired.undecided), suspicious(paired, None)) == (1, set())


@pytest.mark.parametrize(("runs", "cv"), [(2, 0.02), (3, 0.005), (3, 0.05)])
def test_looking_again_seldom_takes_noise_for_a_regression(runs: int, cv: float) -> None:
    """Up to 5 more runs of one cell, until it is decided: 300 nights on which nothing changed, by made-up truth."""
    chance = random.Random(7)
    false = 0
    for _ in range(300):
        before = _trials(values=[chance.gauss(1000, 1000 * cv) for _ in range(runs)])
        values = [chance.gauss(1000, 1000 * cv) for _ in range(runs)]
        looks: list[Gate] = []
        for _ in range(6):
            looks.append(_gate(before, _trials(values=values), metrics=[SPEED]))
            if not suspicious(looks[-1], looks[-2] if len(looks) > 1 else None):
                break
            values.append(chance.gauss(1000, 1000 * cv))
        false += bool(looks[-1].regressed)
    assert false / 300 <= 0.05


def test_figures_of_the_latest_attempt_are_judged_however_many_there_were() -> None:
    now = _trials(values=_times(0.9), counted=3, attempts=3, last_outcome="ok")
    assert _gate(_trials(), now).exit_code == 1
