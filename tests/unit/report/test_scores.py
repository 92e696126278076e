"""The sections on scores: how they were made, and quality over steps."""

from __future__ import annotations

import re
from dataclasses import replace

from harness.compare import answer
from harness.records.results import Answer, Curve
from harness.report import quality
from harness.report.baseline import baseline
from harness.report.emphasis import emphasise
from harness.report.results import results
from harness.report.scoring import scoring
from tests.unit.compare.made import ACC, whole
from tests.unit.compare.made_scores import TASK, mixed, proven, score_of, scored

OTHER = "score.arithmetic_gen.exact_match"


def proven_answer() -> Answer:
    made, found = proven()
    return answer(found, made)


def row_of(table: str, cell: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {cell} ")]
    return [part.strip() for part in line.strip("|").split("|")]


def test_nothing_is_said_of_scores_where_there_are_none() -> None:
    made, found = whole()
    got = answer(found, made)

    assert scoring(got) == ""
    assert quality.quality(got) == ""
    assert quality.draw(got, emphasise(got)) is None


def test_only_unlike_columns_are_marked() -> None:
    made, found = mixed()
    got = answer(found, made)

    marked = [line for line in results(got).splitlines() if "‡" in line]
    assert len(marked) == 2
    assert "arithmetic_mc acc ↑ ‡" in marked[0]
    assert marked[1].startswith("‡ Scores of arithmetic_mc acc were not made alike")
    assert "‡" not in results(proven_answer())
    assert baseline(got) == ""


def test_a_system_prompt_is_shown_where_there_is_one() -> None:
    made, found = whole()
    trials = [trial for trial in found.trials if trial.outcome == "ok"]
    prompt = "Answer with the number | alone, and never explain how you came to it."
    flags = {"system_instruction": prompt, "num_fewshot": 0, "limit": None}
    said = scoring(answer(scored(found, [score_of(trial, flags=flags) for trial in trials]), made))

    assert "system prompt" not in scoring(proven_answer())
    assert r"| “Answer with the number \| alone, and ne… |" in said
    assert "the first 200" not in said


def test_tasks_beyond_a_pages_worth_are_counted() -> None:
    made, found = whole()
    trials = [trial for trial in found.trials if trial.outcome == "ok"]
    scores = [score_of(trial, task=f"task{number:02}") for trial in trials for number in range(30)]

    said = scoring(answer(scored(found, scores), made))

    assert len(re.findall(r"^\| task\d\d ", said, flags=re.MULTILINE)) == 24
    assert "And 6 more tasks." in said


def test_the_best_of_a_row_is_bold_also_before_the_end() -> None:
    said = quality.quality(proven_answer())

    assert [cell.startswith("**") for cell in row_of(said, "dpo")] == [False, False, False, True, False]
    assert [cell.startswith("**") for cell in row_of(said, "sft")] == [False, False, False, False, True]
    assert row_of(said, "floor")[1:4] == ["—", "—", "—"]
    assert "arithmetic_mc" not in said  # one score needs no heading of its own


def test_many_steps_are_thinned_and_the_last_is_kept() -> None:
    got = proven_answer()
    steps = dict.fromkeys(range(10, 1010, 10), got.quality[ACC][2].steps[20])
    rows = tuple(replace(row, steps=steps) for row in got.quality[ACC])

    said = quality.quality(replace(got, quality={ACC: rows}))

    heads = [line for line in said.splitlines() if line.startswith("| cell ")]
    assert re.findall(r"[\d,]+|end", " ".join(heads)) == [
        "120",
        "250",
        "380",
        "500",
        "620",
        "750",
        "880",
        "1,000",
        "end",
    ]
    assert "92 more steps were scored" in said


def test_several_scores_have_a_table_and_a_panel_each() -> None:
    made, found = proven()
    trials = tuple(replace(one, metrics={**one.metrics, OTHER: 0.5}) for one in found.trials)
    more = [_renamed(curve) for curve in found.curves if curve.metric == ACC]
    others = [replace(score, task="arithmetic_gen") for score in found.scores]
    got = answer(
        replace(found, trials=trials, curves=(*found.curves, *more), scores=(*found.scores, *others)),
        replace(made, suite=made.suite.model_copy(update={"score": None})),
    )

    said = quality.quality(got)
    drawn = quality.draw(got, emphasise(got))

    assert re.findall(r"^### (.*)$", said, flags=re.MULTILINE) == ["arithmetic_gen exact_match", "arithmetic_mc acc"]
    assert drawn is not None
    assert f">{TASK} acc<" in drawn
    assert ">arithmetic_gen exact_match<" in drawn


def _renamed(curve: Curve) -> Curve:
    return replace(curve, metric=OTHER)


def test_steps_that_were_scored_otherwise_are_warned_of_beside_the_table() -> None:
    made, found = proven()
    scores = tuple(replace(score, backend="hf") if score.step == 40 else score for score in found.scores)

    said = quality.quality(answer(replace(found, scores=scores), made))

    assert "**Scores of arithmetic_mc acc over steps were not made alike: backend vllm (" in said


def test_a_single_point_is_not_drawn() -> None:
    made, found = proven()
    curves = tuple(
        replace(curve, steps=curve.steps[:1], values=curve.values[:1], ended=False) if curve.metric == ACC else curve
        for curve in found.curves
    )
    got = answer(replace(found, curves=curves), made)

    assert got.quality
    assert quality.draw(got, emphasise(got)) is None
