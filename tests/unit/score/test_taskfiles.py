"""Tasks by name and by file: what is found, what is wrong with it, and what its hash is over."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from harness import data
from harness.errors import InputError
from harness.score import TASKS, check_tasks, task_metrics, wrong_tasks
from harness.score.taskfiles import FOLDER, resolve

WHOLE = "task: mine\ncustom_dataset: !function utils.load\ntest_split: test\ndoc_to_text: q\ndoc_to_target: a\n"


def _hash(root: Path, name: str = "mine.yaml") -> str:
    return resolve([name], root)[0].hash


def test_every_shipped_task_has_its_file_and_no_file_lacks_a_task() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(TASKS)


def test_each_source_has_a_choice_and_a_generation_task() -> None:
    assert {(info.source, name.removeprefix(info.source)) for name, info in TASKS.items()} == {
        (source, kind) for source in data.SOURCES for kind in ("_mc", "_gen")
    }


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_shipped_task_names_itself_and_keeps_its_main_metric(name: str) -> None:
    config = YAML(typ="rt").load((FOLDER / f"{name}.yaml").read_text())
    assert config["task"] == name
    assert TASKS[name].metric in [entry["metric"] for entry in config["metric_list"]]
    assert config["target_delimiter"] == ""
    assert config["custom_dataset"].value == f"utils.{TASKS[name].source}"


@pytest.mark.parametrize("name", ["arithmetic_mc", "pydoc_mc"])
def test_chance_is_what_guessing_scores(name: str) -> None:
    rows = data.heldout(TASKS[name].source)
    assert sum(1 / len(row["choices"]) for row in rows) / len(rows) == pytest.approx(TASKS[name].chance, abs=0.01)


def test_shipped_tasks_are_fine() -> None:
    assert check_tasks(list(TASKS), Path()) == []


def test_an_unknown_name_gets_the_nearest() -> None:
    (problem,) = check_tasks(["arithmetic_mcq"], Path())
    assert "'arithmetic_mcq'" in problem.what
    assert "'arithmetic_mc'" in str(problem.hint)
    assert ".yaml" in str(problem.hint)


def test_a_far_name_gets_the_shipped_ones() -> None:
    (problem,) = check_tasks(["qqqqqqqqqqqqqqqqqqqqqq"], Path())
    assert all(name in str(problem.hint) for name in TASKS)
    assert "14,683" in str(problem.why)


def test_lm_evals_tasks_are_near_too() -> None:
    (problem,) = check_tasks(["gsm8kk"], Path())
    assert "'gsm8k'" in str(problem.hint)


def test_every_problem_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    names = ["nothing", "missing.yaml", "folder.yaml", "arithmetic_mc"]
    assert [problem.what for problem in check_tasks(names, tmp_path)] == [
        "unknown task 'nothing'",
        "task file 'missing.yaml' does not exist",
        "task file 'folder.yaml' is a folder",
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "must be a mapping"),
        ("- a\n- b\n", "must be a mapping"),
        ("output_type: generate_until\n", "names no task"),
        ("group: many\ntask: [a, b]\n", "the group 'many' names 'a', which is no task, group or tag"),
        ("task: [a, b]\n", "a list of tasks without a name"),
        ('task: "a\\nb"\n', "task name 'a\\nb' cannot be used"),
        ("task: ' a'\n", "task name ' a' cannot be used"),
        (f"task: {'a' * 201}\n", "cannot be used"),
        ("group: many\n", "the group 'many' names no tasks"),
        ("group: many\ntask: one\n", "the group 'many' names no tasks"),
        ("group: many\ntask: [many]\n", "the group 'many' is inside itself"),
        ("group: many\ntask: [3]\n", "has a member that names nothing"),
        ("group: many\ntask: [arithmetic_mc]\naggregate_metric_list: [{weight_by_size: true}]\n", "names no metric"),
        ("group: arithmetic_mc\ntask: [arithmetic_mc]\n", "the group 'arithmetic_mc' is inside itself"),
        ("task: pydoc_mc\n", "task name 'pydoc_mc' cannot be used"),
        ("task: mmlu\n", "no whole task: it lacks custom_dataset or dataset_path"),
        (WHOLE.replace("doc_to_text: q\n", ""), "it lacks doc_to_text or use_prompt (what the model is shown)"),
        (WHOLE.replace("test_split: test\n", ""), "it lacks test_split or validation_split"),
        (WHOLE + "output_type: multiple_choice\n", "it lacks doc_to_choice"),
        (WHOLE + "output_type: multiple_choise\n", "unknown output_type 'multiple_choise'"),
        (WHOLE + "metric_list: acc\n", "metric_list must be a list of metrics"),
        (WHOLE + "metric_list: [{aggregation: mean}]\n", "an entry of metric_list names no metric"),
        ("include: mine.yaml\ntask: mine\n", "includes itself"),
        ("include: other.yaml\ntask: mine\n", "cannot be read"),
    ],
)
def test_a_file_that_is_no_task(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    (problem,) = check_tasks(["mine.yaml"], tmp_path)
    assert what in problem.what


def test_bad_yaml_has_its_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("task: mine\nbroken: [1, 2\nmore: 3\n")
    (problem,) = check_tasks(["mine.yaml"], tmp_path)
    assert problem.where is not None
    assert problem.where.line == 3


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"task: \xff\xfe\n")
    (problem,) = check_tasks(["mine.yaml"], tmp_path)
    assert "cannot be read" in problem.what


def test_two_tasks_of_one_name(tmp_path: Path) -> None:
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(WHOLE)
    ((given, problem),) = wrong_tasks(["one.yaml", "two.yaml"], tmp_path)
    assert given == "two.yaml"
    assert "two tasks are called 'mine'" in problem.what


def test_a_task_of_python_code_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("task: mine\nclass: !function code.Mine\n")
    assert check_tasks(["mine.yaml"], tmp_path) == []
    assert task_metrics("mine.yaml", tmp_path) == {"mine": None}


@pytest.mark.parametrize(
    ("more", "metrics"),
    [
        ("", ("exact_match",)),
        ("output_type: loglikelihood\n", ("perplexity", "acc")),
        ("metric_list: [{metric: f1}, {metric: acc}]\n", ("f1", "acc")),
        ("filter_list: [{name: strict, filter: []}, {name: none}]\n", ("exact_match@strict", "exact_match")),
        ("metric_list: [{metric: !function utils.mine}]\n", None),
    ],
)
def test_metrics_are_read_from_the_task(tmp_path: Path, more: str, metrics: tuple[str, ...] | None) -> None:
    (tmp_path / "mine.yaml").write_text(WHOLE + more)
    assert task_metrics("mine.yaml", tmp_path) == {"mine": metrics}


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_shipped_tasks_main_metric_is_among_its_metrics(name: str) -> None:
    (found,) = task_metrics(name, Path()).items()
    assert found[0] == name
    assert TASKS[name].metric in (found[1] or ())


def test_a_task_that_is_not_there_has_no_metrics(tmp_path: Path) -> None:
    assert task_metrics("nope", tmp_path) == {}


def test_a_task_named_twice_is_one_task() -> None:
    assert len(resolve(["arithmetic_mc", "arithmetic_mc"], Path())) == 1


def test_resolve_raises_what_check_finds() -> None:
    with pytest.raises(InputError) as caught:
        resolve(["nope", "missing.yml"], Path())
    assert len(caught.value.problems) == 2


def test_a_task_may_take_its_name_from_what_it_includes(tmp_path: Path) -> None:
    (tmp_path / "common.yaml").write_text(WHOLE)
    (tmp_path / "mine.yaml").write_text("include: common.yaml\nnum_fewshot: 2\n")
    assert resolve(["mine.yaml"], tmp_path)[0].name == "mine"


@pytest.mark.parametrize("changed", ["mine.yaml", "common.yaml", "utils.py", "rows.jsonl"])
def test_the_hash_is_over_all_the_task_is_made_of(tmp_path: Path, changed: str) -> None:
    _write_task(tmp_path)
    before = _hash(tmp_path)
    assert _hash(tmp_path) == before
    with (tmp_path / changed).open("a") as file:
        file.write("\n# changed\n")
    assert _hash(tmp_path) != before


def test_the_hash_is_over_nothing_else(tmp_path: Path) -> None:
    _write_task(tmp_path)
    before = _hash(tmp_path)
    (tmp_path / "suite.yaml").write_text("name: other\n")
    (tmp_path / "other.jsonl").write_text("{}\n")
    assert _hash(tmp_path) == before


def test_the_hash_does_not_know_where_the_task_lies(tmp_path: Path) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        _write_task(tmp_path / place)
    assert _hash(tmp_path / "here") == _hash(tmp_path / "there")


def _write_task(folder: Path) -> None:
    (folder / "common.yaml").write_text(WHOLE)
    (folder / "mine.yaml").write_text("task: mine\ninclude: common.yaml\ncustom_dataset: !function utils.load\n")
    (folder / "utils.py").write_text("def load():\n    open('rows.jsonl')\n")
    (folder / "rows.jsonl").write_text("{}\n")
