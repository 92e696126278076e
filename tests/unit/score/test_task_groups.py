"""Groups, tags and folders: what they are taken apart into, what is wrong with them, and the figures of groups."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InputError
from harness.records.run_folder import RunFolder
from harness.records.score import Document, Score
from harness.score import check_tasks, task_metrics, wrong_tasks
from harness.score.groupscores import group_score, score_groups
from harness.score.scorefiles import read_score, write_score
from harness.score.taskfiles import TaskGroup, resolve, resolve_groups
from harness.score.taskgroups import Mean
from harness.score.taskyaml import read

WHOLE = "custom_dataset: !function utils.load\ntest_split: test\ndoc_to_text: q\ndoc_to_target: a\n"
MEAN = "aggregate_metric_list: [{metric: exact_match, weight_by_size: true}]\n"


def _folder(root: Path, **files: str) -> Path:
    """Tasks by file name; one whose text is empty is a whole task of that name."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "utils.py").write_text("def load():\n    pass\n")
    for name, text in files.items():
        (root / f"{name}.yaml").write_text(text or f"task: {name}\n{WHOLE}")
    return root


def _names(given: list[str], root: Path) -> list[str]:
    assert check_tasks(given, root) == []
    return [task.name for task in resolve(given, root)]


@pytest.mark.parametrize("given", ["mine/", "mine", "./mine", "mine/../mine"])
def test_a_folder_is_all_tasks_in_it(tmp_path: Path, given: str) -> None:
    _folder(tmp_path / "mine", two="", one="", base="doc_to_text: q\n")
    _folder(tmp_path / "mine" / "deep", three="")
    _folder(tmp_path / "mine" / ".hidden", four="")
    assert _names([given], tmp_path) == ["three", "one", "two"]


def test_groups_in_a_folder_have_figures_of_their_own(tmp_path: Path) -> None:
    _folder(tmp_path / "mine", one="", two="", many=f"group: many\ntask: [one, arithmetic_mc]\n{MEAN}")
    assert _names(["mine"], tmp_path) == ["one", "arithmetic_mc", "two"]
    (group,) = resolve_groups(["mine"], tmp_path)
    assert (group.name, list(group.members)) == ("many", ["one", "arithmetic_mc"])
    assert task_metrics("mine", tmp_path) == {
        "one": ("exact_match",),
        "two": ("exact_match",),
        "arithmetic_mc": ("acc", "acc_norm"),
        "many": ("exact_match",),
    }


def test_a_group_by_its_file_knows_the_tasks_beside_it(tmp_path: Path) -> None:
    tag = f"task: three\ntag: some\n{WHOLE}"
    inner = "{group: inner, task: [two, {task: new, doc_to_text: other, include: base.yaml}]}"
    many = f"group: many\ntask: [some, {inner}, one]\n{MEAN}"
    _folder(tmp_path, one="", two="", three=tag, many=many, base=WHOLE)
    assert _names(["many.yaml", "one.yaml"], tmp_path) == ["three", "two", "many::inner::new", "one"]
    assert [group.name for group in resolve_groups(["many.yaml"], tmp_path)] == ["many"]


def test_what_a_group_changes_is_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    many = (
        "group: many\nnum_fewshot: 1\ntask: [one, {task: two, num_fewshot: 3, process_results: !function utils.load}]\n"
    )
    _folder(tmp_path, one="", two="", many=many)
    changed = {task.name: task for task in resolve(["many.yaml"], tmp_path)}
    plain = {task.name: task for task in resolve(["one.yaml", "two.yaml"], tmp_path)}
    assert all(changed[name].hash != plain[name].hash for name in plain)
    one, _ = read(changed["one"].path)
    two, _ = read(changed["two"].path)
    assert (one["task"], one["num_fewshot"], one["doc_to_text"]) == ("one", 1, "q")
    assert two["num_fewshot"] == 3
    assert two["process_results"].file.resolve() == tmp_path / "utils.py"
    assert [task.path for task in resolve(["many.yaml"], tmp_path)] == [task.path for task in changed.values()]


def test_the_hash_of_a_changed_task_is_over_the_changes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    hashes = []
    for place, count in (("a", 1), ("b", 1), ("c", 2)):
        _folder(tmp_path / place, one="", many=f"group: many\nnum_fewshot: {count}\ntask: [one]\n")
        hashes += [task.hash for task in resolve(["many.yaml"], tmp_path / place)]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("given", "files", "what"),
    [
        ("mine/", {}, "no tasks in the folder 'mine/'"),
        ("other/", {"one": ""}, "there is no task folder 'other/'"),
        ("mine/", {"one": "", "broken": "task: [\n"}, "a task file is not YAML"),
        ("mine/", {"one": "", "two": f"task: one\n{WHOLE}"}, "two tasks are called 'one'"),
        ("mine/", {"one": "task: one\ninclude: gone.yaml\n"}, "cannot be read"),
        ("mine/", {"one": "task: one\n"}, "'one' is no whole task: it lacks custom_dataset"),
        ("mine/", {"many": "group: many\ntask: [one]\n"}, "the group 'many' names 'one', which is no task"),
        ("mine/", {"a": "group: a\ntask: [b]\n", "b": "group: b\ntask: [a]\n"}, "the group 'a' is inside itself"),
        ("mine/a.yaml", {"a": "group: a\ntask: [b]\n", "b": "group: b\ntask: [c, a]\n", "c": ""}, "is inside itself"),
        ("mine/one.yaml", {"one": "include: [b.yaml, c.yaml]\n", "b": "include: d.yaml\n", "c": "include: d.yaml\n",
                           "d": WHOLE}, "is included twice"),
        ("mine/many.yaml", {"many": "group: many\ntask: [{task: a, repeats: 2}]\n"}, "'many::a' is no whole task"),
        ("mine/", {"one": "", "many": "group: one\ntask: [one]\n"}, "two tasks are called 'one'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_folder(tmp_path: Path, given: str, files: dict[str, str], what: str) -> None:
    _folder(tmp_path / "mine", **files)
    told = wrong_tasks([given], tmp_path)
    assert {name for name, _ in told} == {given}
    assert what in told[0][1].what
    with pytest.raises(InputError):
        resolve([given], tmp_path)


def test_every_broken_file_of_a_folder_is_told_at_once(tmp_path: Path) -> None:
    _folder(tmp_path / "mine", one="task: [\n", two="task: two\ninclude: gone.yaml\n", three="")
    assert len(check_tasks(["mine/"], tmp_path)) == 2


def test_one_task_in_two_ways_is_told(tmp_path: Path) -> None:
    _folder(tmp_path, one="", many="group: many\nnum_fewshot: 1\ntask: [one]\n")
    ((given, problem),) = wrong_tasks(["one.yaml", "many.yaml"], tmp_path)
    assert given == "many.yaml"
    assert "the task 'one' is there in two ways" in problem.what


def test_two_groups_of_one_name_are_told(tmp_path: Path) -> None:
    for place in ("a", "b"):
        _folder(tmp_path / place, **{f"one_{place}": "", "many": f"group: many\ntask: [one_{place}]\n{MEAN}"})
    ((given, problem),) = wrong_tasks(["a", "b"], tmp_path)
    assert given == "b"
    assert "two groups are called 'many'" in problem.what


def test_lm_evals_groups_are_taken_apart() -> None:
    names = _names(["mmlu", "mmlu_anatomy"], Path())
    assert len(names) == len(set(names)) == 57
    assert [group.name for group in resolve_groups(["mmlu"], Path())] == [
        "mmlu_stem",
        "mmlu_other",
        "mmlu_social_sciences",
        "mmlu_humanities",
        "mmlu",
    ]
    metrics = task_metrics("mmlu", Path())
    assert metrics["mmlu"] == metrics["mmlu_anatomy"] == ("acc",)
    assert task_metrics("gsm8k", Path()) == {"gsm8k": ("exact_match@strict-match", "exact_match@flexible-extract")}


SCORE = Score(
    task="t",
    backend="hf",
    metrics={"acc": 0.5},
    stderr={"acc": 0.1},
    higher_is_better={"acc": True},
    n_documents=10,
    task_hash="h-t",
    task_version="1",
    weights_hash="w",
    flags={"limit": None},
    versions={},
    scored_at="2026-01-01T00:00:00+00:00",
    duration_s=1.0,
)


def _group(means: list[Mean], *names: str) -> TaskGroup:
    members = {name: f"h-{name}" for name in names}
    return TaskGroup(name="many", members=members, means=tuple(means), hash="h", version="2")


def _score(name: str, **changes: object) -> Score:
    return replace(SCORE, task=name, task_hash=f"h-{name}", **changes)  # type: ignore[arg-type]


_values = st.floats(0, 1)


@pytest.mark.slow
@settings(deadline=None)  # the first example imports lm-eval
@given(
    tasks=st.lists(st.tuples(st.integers(2, 500), _values, st.floats(0, 0.5)), min_size=1, max_size=6),
    by_size=st.booleans(),
)
def test_a_groups_figures_are_lm_evals(tasks: list[tuple[int, float, float]], by_size: bool) -> None:
    from lm_eval.api.metrics import aggregate_subtask_metrics, pooled_sample_stderr, unweighted_mean_stderr

    sizes, values, errors = ([task[at] for task in tasks] for at in range(3))
    scores = [
        _score(str(at), n_documents=size, metrics={"acc": value}, stderr={"acc": error})
        for at, (size, value, error) in enumerate(tasks)
    ]
    found = group_score(
        _group([Mean(metric="acc", filters=None, by_size=by_size)], *map(str, range(len(tasks)))), scores
    )
    assert found.metrics == {"acc": pytest.approx(aggregate_subtask_metrics(values, sizes, by_size))}
    expected = pooled_sample_stderr(errors, sizes) if by_size else unweighted_mean_stderr(errors)
    assert found.stderr == {"acc": pytest.approx(float(expected))}
    assert found.n_documents == sum(sizes)


def test_a_group_says_what_its_figures_are_over() -> None:
    one = _score("one", metrics={"acc": 1.0, "f1": 0.5, "acc@strict": 0.0}, stderr={}, notes=("odd",))
    two = _score("two", n_documents=30, metrics={"acc": 0.0, "acc@loose": 1.0}, scored_at="2026-01-02T00:00:00+00:00")
    means = [Mean(metric="acc", filters=None, by_size=True), Mean(metric="f1", filters=("none",), by_size=False)]
    found = group_score(_group(means, "one", "two"), [one, two])
    assert found.metrics == {"acc": 0.25, "acc@strict": 0.0, "acc@loose": 1.0, "f1": 0.5}
    assert found.stderr == {}
    assert (found.members, found.n_documents, found.scored_at) == (("one", "two"), 40, two.scored_at)
    assert "f1 is over 1 of the 2 tasks: the others have no such figure" in found.notes
    assert "of its tasks these have notes: one" in found.notes


@pytest.mark.parametrize(
    ("filters", "taken"),
    [(None, {"pass@1", "pass@1@x"}), (("none",), {"pass@1"}), (("x",), {"pass@1@x"}), (("y",), set())],
)
def test_a_mean_takes_its_metric_by_filter(filters: tuple[str, ...] | None, taken: set[str]) -> None:
    mean = Mean(metric="pass@1", filters=filters, by_size=True)
    assert {name for name in ("pass@1", "pass@1@x", "pass", "pass@10") if mean.takes(name)} == taken


def test_groups_are_written_where_all_their_tasks_are_scored(tmp_path: Path) -> None:
    folder, document = RunFolder(tmp_path), Document(
        index=0, doc_hash="d", prompt_hash="p", target_hash="t", target="", response="", metrics={"acc": 1.0}
    )  # fmt: skip
    group = _group([Mean(metric="acc", filters=None, by_size=True)], "one", "two")
    asked = {"flags": {"limit": None}, "weights_hash": "w"}

    def run(**changes: object) -> tuple[int, list[tuple[str, str]]]:
        return score_groups(folder, [group], "hf", **{**asked, **changes})  # type: ignore[arg-type]

    write_score(folder, _score("one"), [document])
    assert run() == (0, [("many", "1 of its 2 tasks have no score")])
    write_score(folder, _score("two", metrics={"acc": 1.0}), [document])
    assert run() == (1, [])
    found = read_score(folder, "many", "hf")
    assert found is not None
    assert found.metrics == {"acc": 0.75}
    assert math.isclose(found.stderr["acc"], math.sqrt(2 * 9 * 10 * 0.01 / 18 / 20))
    assert run() == (0, [])  # it is the same
    assert run(weights_hash="other")[1]
    assert run(flags={"limit": 3})[1]
    write_score(folder, _score("two", metrics={"acc": 0.0}), [document])
    assert run() == (1, [])
