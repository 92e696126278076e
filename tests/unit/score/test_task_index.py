"""lm-eval's names without lm-eval, and what the hash of a task is over."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError
from harness.score import check_tasks, taskindex, taskyaml
from harness.score.taskfiles import resolve
from harness.score.taskindex import Entry, light_head, lm_eval_folder, lm_eval_index, scan, whole_head

WHOLE = "test_split: test\ndoc_to_text: q\ndoc_to_target: a\n"


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of the user's, and of this process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    lm_eval_index.cache_clear()
    yield tmp_path / ".cache" / "trl-harness" / "lm-eval-tasks"
    lm_eval_index.cache_clear()


@pytest.fixture(scope="module")
def theirs() -> Any:
    """lm-eval's own task manager over all its tasks."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


@pytest.mark.slow
def test_the_index_is_lm_evals_own(theirs: Any) -> None:
    kinds = {"TASK": "task", "PY_TASK": "task", "GROUP": "group", "TAG": "tag"}
    expected = {
        name: Entry(
            name=name,
            kind=kinds[entry.kind.name],  # type: ignore[arg-type]
            path=entry.yaml_path,
            tasks=tuple(sorted(entry.tags)) if entry.kind.name == "TAG" else (),
        )
        for name, entry in theirs.task_index.items()
    }
    found = {name: entry for name, entry in lm_eval_index().items() if expected.get(name) != entry}
    assert found == {}
    assert lm_eval_index().keys() == expected.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["mmlu", "bbh_cot_fewshot", "ai2_arc", "blimp", "truthfulqa", "tmmluplus", "metabench"]
)
def test_groups_are_taken_apart_as_by_lm_eval(theirs: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    import lm_eval.tasks._factory as factory

    class Stub:
        def __init__(self, config: dict[str, Any]) -> None:
            self.task_name = config["task"]
            self.config = config

    def tasks(item: Any) -> list[Any]:
        if isinstance(item, Stub):
            return [item]
        return [task for inner in item for task in tasks(inner)]  # a group, or a tag's list

    monkeypatch.setattr(factory, "ConfigurableTask", Stub)
    built = {task.task_name: task.config for task in tasks(theirs._load_spec(name))}
    ours = {task.name: taskyaml.read(task.path)[0] for task in resolve([name], Path())}
    assert ours.keys() == built.keys()
    for task, config in ours.items():
        for key in ("dataset_path", "dataset_name", "num_fewshot", "output_type", "description"):
            assert config.get(key) == built[task].get(key)


def test_the_index_is_kept_and_read(fresh: Path) -> None:
    first = lm_eval_index()
    (kept,) = fresh.iterdir()
    lm_eval_index.cache_clear()
    assert lm_eval_index() == first
    kept.write_text(json.dumps({"only": ["task", "x.yaml", []]}))
    lm_eval_index.cache_clear()
    folder = lm_eval_folder()
    assert folder is not None
    assert lm_eval_index() == {"only": Entry(name="only", kind="task", path=folder / "x.yaml")}


@pytest.mark.parametrize("damage", ["{", "[]", '{"a": ["task"]}'])
def test_a_damaged_cache_is_made_anew(fresh: Path, damage: str) -> None:
    count = len(lm_eval_index())
    (kept,) = fresh.iterdir()
    kept.write_text(damage)
    lm_eval_index.cache_clear()
    assert len(lm_eval_index()) == count
    assert json.loads(kept.read_text()).keys() == lm_eval_index().keys()


def test_no_cache_is_no_failure(fresh: Path) -> None:
    fresh.parent.parent.mkdir(parents=True)
    fresh.parent.write_text("a file where the folder should be")
    assert "gsm8k" in lm_eval_index()


def test_lm_eval_is_looked_at_only_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def index() -> dict[str, Entry]:
        asked.append("index")
        return {}

    monkeypatch.setattr("harness.score.taskfiles.lm_eval_index", index)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "one.yaml").write_text(f"task: one\ndataset_path: x\n{WHOLE}")
    assert check_tasks(["arithmetic_mc", "mine/one.yaml", "mine/"], tmp_path) == []
    assert asked == []
    assert check_tasks(["gsm8k"], tmp_path) != []
    assert asked


def test_names_are_found_without_importing_lm_eval(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.score import check_tasks, task_metrics\n"
        "assert check_tasks(['mmlu', 'gsm8k'], Path()) == []\ntask_metrics('mmlu', Path())\n"
        "print([name for name in ('lm_eval', 'torch', 'datasets', 'transformers') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("task: one\n", {"one": "task"}),
        ('"task" : "one"  # its name\n', {"one": "task"}),
        ("task:\n  one\n", {"one": "task"}),
        ("task: one\n  two\n", {"one two": "task"}),
        ("task: 'it''s'\n", {"it's": "task"}),
        ("task: yes\n", {}),
        ("task: 3\n", {}),
        ("task: [one, two]\n", {}),
        ("class: !function code.Mine\ntask: one\ngroup: many\n", {"one": "task"}),
        ("group: many\ntask: [one]\n", {"many": "group"}),
        ("task: one\ntag: [a, b]\n", {"one": "task", "a": "tag", "b": "tag"}),
        ("task: one\ntag:\n- a\n- b\n", {"one": "task", "a": "tag", "b": "tag"}),
        ("task: one\ntask: two\n", {"two": "task"}),
        ("include: base\ntask: one\n", {"one": "task", "shared": "tag"}),
        ("description: |\n  text\n  task: other\ntask: one\n", {"one": "task"}),
        ("doc_to_text: q\n", {}),
        ("include: gone\ntask: one\n", {}),
        ("include: one.yaml\ntask: one\n", {}),
        ("task: [\n", {}),
    ],
)
@pytest.mark.parametrize("head", [light_head, whole_head])
def test_a_file_is_read_alike_in_part_and_whole(
    tmp_path: Path, head: Callable[[Path], Any], text: str, found: dict[str, str]
) -> None:
    (tmp_path / "base").write_text("tag: shared\n")
    (tmp_path / "one.yaml").write_text(text)
    assert {name: entry.kind for name, entry in scan(tmp_path, head).items()} == found


def test_a_broken_include_is_told_by_both(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("include: [gone]\ntask: one\n")
    for head in (light_head, whole_head):
        with pytest.raises(InputError):
            head(tmp_path / "one.yaml")


def _task(root: Path) -> None:
    for folder in ("tasks/data", "common", "corpus"):
        (root / folder).mkdir(parents=True)
    (root / "tasks/mine.yaml").write_text(
        "task: mine\ninclude: ../common/base.yaml\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: data/test.jsonl}}}}\n{WHOLE}"
        "fewshot_config: {samples: !function code.shots.samples}\n"
    )
    (root / "common/base.yaml").write_text("process_docs: !function steps.clean\n")
    (root / "common/steps.py").write_text("def clean(rows):\n    return rows\n")
    (root / "tasks/code").mkdir()
    (root / "tasks/code/shots.py").write_text("def samples():\n    return open('shots.csv')\n")
    (root / "tasks/code/shots.csv").write_text("a\n")
    (root / "tasks/data/test.jsonl").write_text("{}\n")
    (root / "tasks/data/other.jsonl").write_text("{}\n")


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("tasks/mine.yaml", True),
        ("common/base.yaml", True),
        ("common/steps.py", True),
        ("tasks/code/shots.py", True),
        ("tasks/code/shots.csv", True),
        ("tasks/data/test.jsonl", True),
        ("tasks/data/other.jsonl", False),
    ],
)
def test_the_hash_is_over_what_decides_questions_and_marks(tmp_path: Path, file: str, counts: bool) -> None:
    _task(tmp_path)
    before = resolve(["tasks/mine.yaml"], tmp_path)[0].hash
    assert resolve(["tasks/mine.yaml"], tmp_path)[0].hash == before
    with (tmp_path / file).open("a") as opened:
        opened.write("\n# more\n")
    assert (resolve(["tasks/mine.yaml"], tmp_path)[0].hash != before) is counts


def test_a_dataset_that_is_a_folder_is_in_the_hash(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/train.jsonl").write_text("{}\n")
    (tmp_path / "mine.yaml").write_text(f"task: mine\ndataset_path: {tmp_path}/corpus\n{WHOLE}")
    before = resolve(["mine.yaml"], tmp_path)[0].hash
    (tmp_path / "corpus/test.jsonl").write_text("{}\n")
    assert resolve(["mine.yaml"], tmp_path)[0].hash != before


def test_lm_evals_version_is_in_the_hash_of_its_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    before = resolve(["gsm8k", "arithmetic_mc"], Path())
    monkeypatch.setattr("harness.score.taskcontent.lm_eval_version", lambda: "0.0")
    after = resolve(["gsm8k", "arithmetic_mc"], Path())
    assert before[0].hash != after[0].hash
    assert before[1].hash == after[1].hash


def test_the_last_of_two_equal_keys_holds_as_for_lm_eval(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("task: one\ntask: two\n")
    assert taskyaml.read(tmp_path / "mine.yaml")[0] == {"task": "two"}


def test_without_lm_eval_no_name_is_known(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taskindex, "lm_eval_folder", lambda: None)
    assert lm_eval_index() == {}
