"""The section `environments`, and the environment that scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SuiteError
from harness.records.suite import Suite
from harness.suite import load, trained_in

SUITE = """\
name: e
question: Does it score?
base: {{method: sft, model: {{shape: tiny}}, data: {{source: arithmetic}}, train: {{max_steps: 9}}}}
{rest}
"""


def _load(folder: Path, rest: str) -> Suite:
    file = folder / "suite.yaml"
    file.write_text(SUITE.format(rest=rest), encoding="utf-8")
    return load(file)


def _wrong(folder: Path, rest: str) -> list[tuple[int | None, int | None, str]]:
    with pytest.raises(SuiteError) as caught:
        _load(folder, rest)
    found = []
    for problem in caught.value.problems:
        assert problem.where is not None
        found.append((problem.where.line, problem.where.column, problem.what))
    return found


def test_a_suite_may_declare_environments_and_score_in_one(tmp_path: Path) -> None:
    own = "environments:\n  next: {requirements: [vllm==0.33.0], harness: true}\n  old: {requirements: [trl==1.15.0]}\n"
    read = _load(tmp_path, own + "score: {tasks: [arithmetic_mc], backend: vllm, environment: next}")
    assert read.environments == {
        "next": {"requirements": ["vllm==0.33.0"], "harness": True},
        "old": {"requirements": ["trl==1.15.0"]},
    }
    assert read.score is not None
    assert read.score.environment == "next"


def test_a_built_in_environment_needs_no_declaration(tmp_path: Path) -> None:
    read = _load(tmp_path, "score: {tasks: [arithmetic_mc], environment: vllm-cpu}")
    assert read.score is not None
    assert read.score.environment == "vllm-cpu"


@pytest.mark.parametrize(
    ("rest", "at", "says"),
    [
        ("environments: [next]", (4, 15), "environments must be a mapping"),
        ("environments: {next: vllm}", (4, 22), "environments.next must be a mapping"),
        ("environments:\n  next: {harness: true}", (5, 9), "has no requirements"),
        ("environments:\n  next: {requirements: [--pre]}", (5, 10), "is no requirement"),
        ("environments:\n  next: {requirements: [vllm], pyton: '3.12'}", (5, 32), "unknown key 'pyton'"),
        ("environments:\n  Next!: {requirements: [vllm]}", (5, 10), "letters a to z"),
        ("score: {tasks: [arithmetic_mc], environment: vllm-gpu}", (4, 46), "there is no environment 'vllm-gpu'"),
        (
            "environments: {old: {requirements: [trl==1.15.0], harness: true}}\n"
            "score: {tasks: [arithmetic_mc], environment: old}",
            (5, 46),
            "the environment 'old' cannot score",
        ),
    ],
)
def test_what_is_wrong_is_told_at_its_place(tmp_path: Path, rest: str, at: tuple[int, int], says: str) -> None:
    ((line, column, what),) = _wrong(tmp_path, rest)
    assert says in what
    assert (line, column) == at


OWN = "environments: {old: {requirements: [trl==1.15.0], harness: true}, bare: {requirements: [trl==1.15.0]}}\n"


def test_a_suite_may_train_in_its_environments(tmp_path: Path) -> None:
    read = _load(tmp_path, OWN + "matrix:\n  environment: [null, old]\n  kept: {a: {environment: old}, b: {}}")
    first, second = read.matrix
    assert [(level.name, level.sets) for level in first.levels] == [
        ("none", {"environment": None}),
        ("old", {"environment": "old"}),
    ]
    assert [level.sets for level in second.levels] == [{"environment": "old"}, {}]
    assert trained_in(read) == ("old",)


@pytest.mark.parametrize(
    ("rest", "at", "says"),
    [
        ("matrix: {environment: [null, odl]}", (5, 30), "unknown environment 'odl'"),
        ("matrix: {environment: [null, 3]}", (5, 30), "environment wants a name or null, not the number 3"),
        ("matrix: {environment: [bare]}", (5, 24), "nothing can be trained in the environment 'bare'"),
        ("stages: {start: {environment: vllm-cpu}}", (5, 31), "unknown environment 'vllm-cpu'"),
        ("exclude: [{environment: odl}]", (5, 25), "unknown environment 'odl'"),
        ("matrix: {environment.old: [1, 2]}", (5, 10), "unknown field path 'environment.old'"),
    ],
)
def test_an_environment_that_nothing_can_be_trained_in(
    tmp_path: Path, rest: str, at: tuple[int, int], says: str
) -> None:
    ((line, column, what),) = _wrong(tmp_path, OWN + rest)
    assert says in what
    assert (line, column) == at


def test_a_field_that_only_an_environment_may_know_is_left_to_the_plan(tmp_path: Path) -> None:
    """Which cells are trained there only the plan knows. What no TRL takes is told at once."""
    read = _load(tmp_path, OWN + "matrix: {environment: [old], train.packin: [true]}")
    assert read.matrix[1].levels[0].sets == {"train.packin": True}
    ((_, _, what),) = _wrong(tmp_path, OWN + "matrix: {environment: [old], train.output_dir: [x]}")
    assert "does not belong in a suite" in what


def test_a_misspelled_section_is_told_once(tmp_path: Path) -> None:
    rest = OWN.replace("environments", "environment") + "matrix: {environment: [null, old]}"
    ((line, _, what),) = _wrong(tmp_path, rest)
    assert (line, what) == (4, "unknown key 'environment'")


def test_a_wrong_declaration_and_a_wrong_use_are_told_in_one_round(tmp_path: Path) -> None:
    rest = "environments: {old: {requirements: [--pre]}}\nscore: {tasks: [arithmetic_mc], environment: odl}"
    assert [what.split(":")[0] for _, _, what in _wrong(tmp_path, rest)] == [
        "environment 'old'",
        "there is no environment 'odl'",
    ]
