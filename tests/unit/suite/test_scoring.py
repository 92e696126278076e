"""Tasks, backends and metrics: told together with everything else that is wrong, at their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from harness.errors import Location, Problem, SuiteError
from harness.methods.catalog import Catalog
from harness.suite import load

HEAD = """name: demo
question: Which one?
base: {method: sft, model: {shape: tiny}, data: {source: arithmetic}}
"""


class Known:
    """Two tasks and one backend."""

    metrics: ClassVar = {"one": ("acc", "acc_norm"), "mine.yaml": ("f1",)}

    def wrong_tasks(self, names: Sequence[str], root: Path) -> list[tuple[str, Problem]]:
        broken = Problem(what="not YAML", where=Location(file=root / "broken.yaml", line=3))
        known = {*self.metrics, "group"}
        unknown = [(name, Problem(what=f"unknown task {name!r}")) for name in names if name not in known]
        return [(name, broken if name == "broken.yaml" else problem) for name, problem in unknown]

    def check_backend(self, name: str) -> Problem | None:
        return Problem(what=f"no {name}") if name == "vllm" else None

    def task_metrics(self, name: str, root: Path) -> Mapping[str, tuple[str, ...] | None]:
        if name == "group":
            return {"one": ("acc",), "code": None, "group": ("acc",)}
        return {name.removesuffix(".yaml"): self.metrics[name]} if name in self.metrics else {}


def told(tmp_path: Path, catalog: Catalog, text: str) -> list[str]:
    """Line, column and what, of every problem."""
    file = tmp_path / "suite.yaml"
    file.write_text(HEAD + text, encoding="utf-8")
    with pytest.raises(SuiteError) as caught:
        load(file, catalog=catalog, scoring=Known())
    found = caught.value.problems
    return [f"{p.where.line}:{p.where.column} {p.what}" for p in found if p.where]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("score: {tasks: [one, nope]}", ["4:22 unknown task 'nope'"]),
        ("score: {tasks: [one], backend: vllm}", ["4:32 no vllm"]),
        ("score: {tasks: [broken.yaml]}", ["3:None not YAML"]),
        (
            "score: {tasks: [nope], limit: x}\nreplicates: 0",
            [
                "4:17 unknown task 'nope'",
                '4:31 score.limit wants a whole number, or null, not the text "x"',
                "5:13 replicates must be from 1 to 10,000, not 0",
            ],
        ),
        (
            "score: {tasks: [one]}\ndecide: {maximise: score.one.accc}",
            ["5:20 unknown metric of one: 'accc'"],
        ),
        (
            "score: {tasks: [mine.yaml]}\ndecide: {maximise: score.mine.acc, keep: {score.mine.f1: '> 0'}}",
            ["5:20 unknown metric of mine: 'acc'"],
        ),
        (
            "score: {tasks: [one, mine.yaml]}\ndecide: {maximise: score.other.acc}",
            ["5:20 score.other.acc is never measured: 'other' is not among score.tasks"],
        ),
        (
            "score: {tasks: [one], fewshot_as_multiturn: true, floor: 1}",
            ["4:58 score.floor wants true or false, not the number 1"],
        ),
        (
            "score: {tasks: [one], fewshot_as_multiturn: true}",
            ["4:45 fewshot_as_multiturn needs the chat template"],
        ),
        (
            "score: {tasks: [one], apply_chat_template: '', system_instruction: 3}",
            [
                "4:44 score.apply_chat_template must be true, false or the name of one of the tokenizer's chat "
                'templates, not the text ""',
                "4:68 score.system_instruction wants text, or null, not the number 3",
            ],
        ),
        (
            "score: {tasks: [group]}\n"
            "decide: {maximise: score.group.f1, keep: {score.two.acc: '> 0', score.code.x: '> 0'}}",
            [
                "5:20 unknown metric of group: 'f1'",
                "5:43 score.two.acc is never measured: 'two' is not among score.tasks",
            ],
        ),
        (
            "decide: {keep: {foo: '<= 3', train_seconds: '< 3 GiB'}, maximise: final_loss}",
            ["4:17 unknown metric 'foo'", "4:45 train_seconds is in s, not in bytes"],
        ),
        (
            "decide: {maximise: final_los, keep: {peak_host_memory: '<= 2 Gi', foo: '< 3'}}",
            [
                "4:20 unknown metric 'final_los'",
                "4:56 keep.peak_host_memory: '<= 2 Gi': '2 Gi' is not a number, a size (24 GiB) or a duration (10m)",
                "4:67 unknown metric 'foo'",
            ],
        ),
        (
            "decide: {maximize: final_los, keep: {foo: 3}}",
            [
                "4:10 unknown key in decide: 'maximize'",
                "4:20 unknown metric 'final_los'",
                "4:38 unknown metric 'foo'",
                "4:43 the bound of foo must be text, not the number 3",
            ],
        ),
        (
            "score: {tasks: []}\ndecide: {maximise: score.one.acc}",
            ["4:16 score.tasks must not be empty"],
        ),
    ],
)
def test_all_that_is_wrong_with_scoring(tmp_path: Path, catalog: Catalog, text: str, says: list[str]) -> None:
    assert told(tmp_path, catalog, text) == says


def test_what_is_right_passes(tmp_path: Path, catalog: Catalog) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(HEAD + "score: {tasks: [one, mine.yaml]}\ndecide: {maximise: score.mine.f1}\n", encoding="utf-8")
    suite = load(file, catalog=catalog, scoring=Known())
    assert suite.where("score", "tasks", 1).column == 22


@pytest.mark.parametrize("name", ["reference", "Reference", "harness.duckdb"])
def test_names_of_the_houses_own_folders_are_taken(tmp_path: Path, catalog: Catalog, name: str) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(HEAD.replace("demo", name), encoding="utf-8")
    with pytest.raises(SuiteError) as caught:
        load(file, catalog=catalog)
    (problem,) = caught.value.problems
    assert problem.what == f"a suite cannot be called {name!r}"
    assert problem.where is not None
    assert (problem.where.line, problem.where.column) == (1, 7)


def test_a_value_out_of_range_stands_at_the_value(tmp_path: Path, catalog: Catalog) -> None:
    assert told(tmp_path, catalog, "matrix: {train.max_steps: [0, 3], train.learning_rate: [-1]}") == [
        "4:28 train.max_steps must be above 0, or -1, not 0",
        "4:57 train.learning_rate must be at least 0, not -1",
    ]
