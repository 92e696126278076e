"""What a task asks, as texts that can be looked for in training rows."""

from __future__ import annotations

import pytest

from harness import data
from harness.data.overlap import Text
from harness.score import overlap
from tests.unit.score.fake_task import DOC, FakeTask


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (
            FakeTask([DOC], text=lambda d: f"Q: {d['q']}\nA:", target=lambda d: 1, choices=lambda d: d["choices"]),
            Text(question="Q: Who was first?\nA:", answers=("Ann", "Bob"), also=("Who was first?",)),
        ),
        (
            FakeTask([DOC], text=lambda d: d["q"], target=lambda d: ["Ann", 7]),
            Text(question="Who was first?", answers=("Ann", "7")),
        ),
        (
            FakeTask([DOC], text=lambda d: 1, target=lambda d: "came first", choices=lambda d: d["choices"]),
            Text(question="Ann", answers=("came first",), also=("Bob",)),
        ),
        (
            FakeTask(["Running text"], text=lambda d: "", target=lambda d: d),
            Text(question="", answers=("Running text",)),
        ),
    ],
)
def test_documents_of_every_kind_of_task_give_questions_and_answers(task: FakeTask, expected: Text) -> None:
    assert overlap.texts_of(task, None) == [expected]
    assert overlap.texts_of(task, 0) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "source"), [("arithmetic_mc", "arithmetic"), ("arithmetic_gen", "arithmetic")])
def test_a_shipped_task_gives_the_documents_of_its_source(name: str, source: str) -> None:
    from lm_eval.tasks import TaskManager

    from harness.score.taskfiles import FOLDER

    task = TaskManager(include_defaults=False).load([str(FOLDER / f"{name}.yaml")])["tasks"][name]
    held = data.heldout(source)[:5]
    answers = [tuple(one["choices"]) if name.endswith("_mc") else (one["target"],) for one in held]
    expected = [Text(question=one["question"], answers=given) for one, given in zip(held, answers, strict=True)]
    assert overlap.texts_of(task, 5) == expected
