"""Problems that only the combinations show: each at its place in the suite's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InputError, Location, Problem
from harness.plan import expand, place_of
from harness.records.suite import Suite
from harness.suite import load
from tests.unit.plan.made import CATALOG, cells, suite, values

HEAD = """name: demo
question: Which one?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic}
  train: {max_steps: 10}
"""
PACKED = "dpo does not take train.packing: true"


def read(folder: Path, text: str) -> Suite:
    file = folder / "suite.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, catalog=CATALOG)


def problems(folder: Path, text: str, limit: int = 1000) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        expand(read(folder, text), CATALOG, limit=limit)
    return list(caught.value.problems)


# what follows HEAD, line (HEAD has 7), column, message
WRONG = {
    "a level": ("matrix:\n  method: [sft, dpo]\n  train.packing: [false, true]\n", 10, 26, PACKED),
    "a level on a line": ("matrix:\n  method: [sft, dpo]\n  train.packing:\n    - false\n    - true\n", 12, 7, PACKED),
    "in a named level": ("matrix: {how: {one: {method: dpo, train: {packing: true}}, two: {}}}\n", 8, 43, PACKED),
    "dotted": ("matrix: {how: {one: {method: dpo, train.packing: true}, two: {}}}\n", 8, 35, PACKED),
    "an included cell": ("include: [{method: dpo, train: {packing: true}}]\n", 8, 33, PACKED),
    "a baseline": (
        "baseline: {train: {weight_decay: 2}}\n",
        8,
        34,
        "baseline matches no cell: train.weight_decay is 2",
    ),
    "two that are equal": (
        "matrix: {train.weight_decay: {off: 0.0, zero: 0}}\n",
        8,
        47,
        "two cells come out equal: sft-off (train.weight_decay: off) and sft-zero (train.weight_decay: zero)",
    ),
    "nothing left": ("exclude:\n  - {method: sft}\n", 8, 1, "every cell is excluded"),
    "two axes for one field": (
        "matrix:\n  how: {a: {train.max_length: 4}, b: {}}\n  train.max_length: [1, 2]\n",
        10,
        3,
        "axes 'how' and 'train.max_length' both set train.max_length",
    ),
    "a model that is not there": (
        "matrix:\n  model: [{shape: tiny}, {path: nowhere}]\n",
        9,
        33,
        "model folder {} does not exist",
    ),
    "a stage of another model": (
        "stages:\n  first: {model: {shape: tiny, seed: 3}}\nmatrix:\n  init: [null, {stage: first}]\n",
        11,
        24,
        "stage 'first' trains another model than what starts from it (init: first)",
    ),
}


@pytest.mark.parametrize(("more", "line", "column", "what"), WRONG.values(), ids=WRONG.keys())
def test_every_problem_stands_at_its_place(tmp_path: Path, more: str, line: int, column: int, what: str) -> None:
    (problem,) = problems(tmp_path, HEAD + more)
    assert problem.where is not None
    assert problem.what.startswith(what.format(tmp_path / "nowhere"))
    assert (problem.where.line, problem.where.column) == (line, column)
    assert problem.where.text == (HEAD + more).split("\n")[line - 1]


def test_what_the_base_says_stands_in_the_base(tmp_path: Path) -> None:
    text = HEAD.replace("{max_steps: 10}", "{packing: true}") + "matrix: {method: [sft, dpo]}\n"
    (problem,) = problems(tmp_path, text)
    assert problem.where == Location(file=tmp_path / "suite.yaml", line=7, column=20, text="  train: {packing: true}")


def test_too_many_cells_are_told_at_the_matrix(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, HEAD + "matrix:\n  train.max_length: [1, 2, 3]\n", limit=2)
    assert problem.where is not None
    assert (problem.where.line, problem.where.text) == (8, "matrix:")


def test_an_unused_rule_is_told_at_its_line(tmp_path: Path) -> None:
    more = "matrix: {method: [sft, orpo]}\nexclude:\n  - {method: orpo}\n  - {method: dpo}\n"
    (warning,) = expand(read(tmp_path, HEAD + more), CATALOG).warnings
    assert warning.where is not None
    assert (warning.where.line, warning.where.column) == (11, 5)


def test_a_stages_own_value_is_told_in_the_stage(tmp_path: Path) -> None:
    more = "stages: {first: {checkpoint: drop, train.weight_decay: 1}}\nmatrix: {init: [null, {stage: first}]}\n"
    plan = expand(read(tmp_path, HEAD + more), CATALOG)
    (stage,) = [cell for cell in plan.cells if cell.kind == "stage"]
    (warning,) = plan.warnings
    assert warning.where == place_of(plan.suite, stage, "checkpoint")
    assert warning.where.column == 30
    assert place_of(plan.suite, stage, "train.max_steps").line == 7  # the base's


def test_a_suite_that_was_not_read_has_its_file(tmp_path: Path) -> None:
    made = suite(values("train.max_length", 1, 2), file=tmp_path / "made.yaml")
    (cell, *_) = cells(expand(made, CATALOG)).values()
    assert place_of(made, cell, "train.max_length") == Location(file=tmp_path / "made.yaml")


def test_places_are_no_part_of_a_suite(tmp_path: Path) -> None:
    one, other = read(tmp_path, HEAD), read(tmp_path, "# moved\n" + HEAD)
    assert one.where("base") != other.where("base")
    assert one == other
    assert one.model_dump() == other.model_dump()


def test_a_decision_by_losses_of_several_methods_is_a_warning(tmp_path: Path) -> None:
    """They are different quantities: the answer would name no clear leader, and tell so after the training."""
    goal = "decide: {minimise: final_loss, keep: {final_reward_margin: '> 0'}}\n"
    several = expand(read(tmp_path, HEAD + "matrix: {method: [sft, dpo]}\n" + goal), CATALOG).warnings
    one = expand(read(tmp_path, HEAD + "matrix: {train.max_length: [8, 16]}\n" + goal), CATALOG).warnings

    assert [warning.what for warning in several] == [
        f"decide goes by {name}, which is another quantity of each of the methods sft, dpo"
        for name in ("final_loss", "final_reward_margin")
    ]
    assert [warning.where.line for warning in several if warning.where] == [9, 9]
    assert one == ()


def test_warmup_that_leaves_nothing_is_a_warning(tmp_path: Path) -> None:
    more = "matrix: {train.max_steps: [5, 4, 6, -1]}\n"
    (warning,) = expand(read(tmp_path, HEAD + more), CATALOG).warnings
    assert warning.what == (
        "nothing is left to measure: of 5 train.max_steps, 5 are measure.warmup_steps"
        " (2 cells, the first: train.max_steps: 5)"
    )
    assert warning.where is not None
    assert warning.where.line == 8


def test_evaluation_of_no_rows_is_a_warning(tmp_path: Path) -> None:
    more = "matrix:\n  train.eval_strategy: ['no', steps, epoch]\n  data.eval_fraction: [0, 0.5]\n"
    (warning,) = expand(read(tmp_path, HEAD + more), CATALOG).warnings
    assert warning.what == (
        "nothing is left to evaluate: train.eval_strategy is steps, data.eval_fraction is 0"
        " (2 cells, the first: train.eval_strategy: steps, data.eval_fraction: 0)"
    )
    assert warning.where is not None
    assert warning.where.line == 9


def test_of_several_cells_the_only_one_warned_of_is_named(tmp_path: Path) -> None:
    more = "matrix:\n  recipe:\n    plain: {}\n    other: {train.eval_strategy: steps, train.max_steps: 4}\n"
    warnings = expand(read(tmp_path, HEAD + more), CATALOG).warnings
    assert [warning.what for warning in warnings] == [
        "nothing is left to measure: of 4 train.max_steps, 5 are measure.warmup_steps (recipe: other)",
        "nothing is left to evaluate: train.eval_strategy is steps, data.eval_fraction is 0 (recipe: other)",
    ]


def test_two_precisions_are_refused(tmp_path: Path) -> None:
    text = HEAD.replace("{max_steps: 10}", "{bf16: true, fp16: true}")
    (problem,) = problems(tmp_path, text)
    assert problem.what.startswith("train.bf16 and train.fp16 are both true")
    assert problem.where is not None
    assert problem.where.column == 29
