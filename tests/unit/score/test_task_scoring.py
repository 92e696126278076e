"""A suite's tasks scored for real: a group and what it changes, odd names, and lm-eval's own without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import models
from harness.records import suite
from harness.records.outcome import Outcome
from harness.records.progress import Silent
from harness.records.run_folder import RunFolder
from harness.records.score import Score
from harness.score import ScoreReport, score
from harness.score.groupscores import score_groups
from harness.score.scorefiles import flags_of, read_score
from harness.score.taskfiles import resolve, resolve_groups
from harness.score.tasktemplate import template_hash

pytestmark = pytest.mark.slow

UTILS = """
import datasets

def load(**_):
    rows = [{"question": f"{n}+1=", "choices": [str(n + 1), "no"], "answer": n % 2} for n in range(9)]
    return {"test": datasets.Dataset.from_list(rows)}

def first(rows):
    return rows.select(range(5))

def always(doc, results):
    return {"acc": 1.0}
"""
CHOICE = """
custom_dataset: !function utils.load
output_type: multiple_choice
test_split: test
fewshot_split: test
doc_to_text: question
doc_to_choice: choices
doc_to_target: answer
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
metadata: {version: 1}
"""
GROUP = """
group: both (v1.0)/mine
task:
  - "odd name/of a task"
  - {task: few, num_fewshot: 2}
  - {task: inner, include: whole.yaml, process_docs: !function utils.first, process_results: !function utils.always}
aggregate_metric_list: [{metric: acc, weight_by_size: true}]
metadata: {version: 3}
"""
NAMES = ("odd name/of a task", "few", "both (v1.0)/mine::inner")


@dataclass(frozen=True, slots=True)
class Scored:
    """One checkpoint, what it was asked, and what came of it."""

    root: Path
    folder: RunFolder
    wanted: suite.Score
    report: ScoreReport

    def score(self, task: str) -> Score:
        found = read_score(self.folder, task, "hf")
        assert found is not None
        return found


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scored]:
    root = tmp_path_factory.mktemp("tasks")
    mine = root / "mine"
    mine.mkdir()
    (mine / "utils.py").write_text(UTILS)
    (mine / "whole.yaml").write_text(CHOICE)
    (mine / "odd.yaml").write_text("include: whole.yaml\ntask: odd name/of a task\n")
    (mine / "few.yaml").write_text("include: whole.yaml\ntask: few\n")
    (root / "mine" / "group.yaml").write_text(GROUP)
    folder = RunFolder(root / "suite" / "one")
    model, tokenizer = models.load({"shape": "tiny", "seed": 0}, root=root, device="cpu")
    models.save(model, tokenizer, folder.checkpoint, None)
    folder.spec_file.write_text(json.dumps({"name": "one", "trial_id": "one", "cell_id": "one", "kind": "cell"}))
    known = models.weights_hash(folder.checkpoint)
    folder.new_attempt().close(
        Outcome(outcome="ok", attempt=1, started_at="", ended_at="", duration_s=1.0, weights_hash=known)
    )
    wanted = suite.Score(
        tasks=["mine/group.yaml", "gsm8k", "arithmetic_mc"],
        backend="hf",
        limit=7,
        apply_chat_template=True,
        system_instruction="Be brief.",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("XDG_CACHE_HOME", str(root / ".cache"))
        report = score([folder], wanted, observer=Silent(), root=root)
        yield Scored(root, folder, wanted, report)


def test_what_can_be_asked_is_asked_and_the_rest_told(scored: Scored) -> None:
    assert {failure.task for failure in scored.report.failed} == {"gsm8k"}
    (failure,) = scored.report.failed
    assert "needs the dataset openai/gsm8k main, which cannot be had here" in failure.cause
    assert {scored.score(name).task for name in (*NAMES, "arithmetic_mc")} == {*NAMES, "arithmetic_mc"}


def test_a_changed_task_is_asked_as_its_group_says(scored: Scored) -> None:
    odd, few, inner = (scored.score(name) for name in NAMES)
    assert (odd.n_documents, few.n_documents, inner.n_documents) == (7, 7, 5)
    assert inner.metrics == {"acc": 1.0}
    assert odd.task_hash != few.task_hash
    documents = [
        [json.loads(line)["prompt_hash"] for line in path.read_text().splitlines()]
        for path in sorted(scored.folder.scores.glob("*/documents.jsonl"))
        if "few" in path.parent.name or "odd" in path.parent.name
    ]
    assert documents[0] != documents[1]  # two examples stand before the questions of one of them


def test_scores_say_what_was_asked(scored: Scored) -> None:
    flags = flags_of(scored.wanted)
    assert flags["fewshot_as_multiturn"] is True
    expected = template_hash(scored.folder.checkpoint, flags)
    assert expected is not None
    for name in NAMES:
        assert scored.score(name).flags == flags
        assert scored.score(name).template_hash == expected


def test_a_group_is_the_mean_of_its_tasks(scored: Scored) -> None:
    groups = resolve_groups(scored.wanted.tasks, scored.root)
    weights = models.weights_hash(scored.folder.checkpoint)
    score_groups(scored.folder, groups, "hf", flags=flags_of(scored.wanted), weights_hash=weights)
    found, tasks = scored.score("both (v1.0)/mine"), [scored.score(name) for name in NAMES]
    assert tuple(found.members) == NAMES
    total = sum(task.metrics["acc"] * task.n_documents for task in tasks)
    assert found.metrics["acc"] == pytest.approx(total / 19)
    assert (found.n_documents, found.task_version) == (19, "3")


def test_nothing_is_asked_twice(scored: Scored) -> None:
    tasks = ["mine/group.yaml", "arithmetic_mc"]
    assert len(resolve(tasks, scored.root)) == 4
    report = score(
        [scored.folder], scored.wanted.model_copy(update={"tasks": tasks}), observer=Silent(), root=scored.root
    )
    assert (report.scored, report.reused, report.failed) == (0, 4, ())


def test_another_system_prompt_is_another_score(scored: Scored) -> None:
    other = scored.wanted.model_copy(update={"tasks": ["arithmetic_mc"], "system_instruction": "Be long."})
    before = scored.score("arithmetic_mc")
    report = score([scored.folder], other, observer=Silent(), root=scored.root)
    assert (report.scored, report.reused) == (1, 0)
    assert scored.score("arithmetic_mc").template_hash != before.template_hash
