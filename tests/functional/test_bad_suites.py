"""Everything that can be wrong with a suite file, told by the real command line."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Answer = subprocess.CompletedProcess[str]
Harness = Callable[..., Answer]


def _refused(answer: Answer, *said: str) -> None:
    """Ends with 2, says all of `said` on stderr, nothing on stdout, and no traceback."""
    assert answer.returncode == 2, answer.stderr
    for words in said:
        assert words in answer.stderr
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    assert "bug in harness" not in answer.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param("base:", "bse:", ["tiny.yaml:3:1", "'bse'", "base", "    3 | bse:"], id="unknown key"),
        pytest.param(
            "  train: {max_steps: 10}",
            "  train: {max_stepz: 10}",
            ["tiny.yaml:7:", "max_stepz", "max_steps"],
            id="unknown training field",
        ),
        pytest.param(
            "  train: {max_steps: 10}",
            "  train: {max_seq_length: 10}",
            ["tiny.yaml:7:", "max_seq_length", "max_length"],
            id="a name of older tutorials",
        ),
        pytest.param("rows: 200", "rows: many", ["tiny.yaml:6:", "rows", "many"], id="wrong type"),
        pytest.param(
            "max_steps: 10", "max_steps: ten", ["tiny.yaml:7:", "max_steps"], id="wrong type of a training field"
        ),
        pytest.param(
            "question: Which learning rate?",
            "question: Which learning rate?\nname: other",
            ["tiny.yaml:3:1", "name"],
            id="duplicate key",
        ),
        pytest.param("  method: sft", "\tmethod: sft", ["tiny.yaml:4:", "tab"], id="tab indentation"),
        pytest.param("[1.0e-3, 2.0e-3]", "[]", ["tiny.yaml:9:", "train.learning_rate"], id="axis without levels"),
        pytest.param("[1.0e-3, 2.0e-3]", "[1.0e-3, 0.001]", ["tiny.yaml:9:"], id="two levels that are the same"),
        pytest.param("method: sft", "method: sfd", ["tiny.yaml:4:", "'sfd'", "sft"], id="unknown method"),
        pytest.param("shape: tiny", "shape: tinny", ["tiny.yaml:5:", "'tinny'", "tiny"], id="unknown model"),
        pytest.param(
            "source: arithmetic",
            "source: arithmetics",
            ["tiny.yaml:6:", "'arithmetics'", "arithmetic"],
            id="unknown data",
        ),
        pytest.param(
            "tasks: [arithmetic_mc]",
            "tasks: [arithmetic_mx]",
            ["tiny.yaml:11:17", "| score:", "arithmetic_mx", "arithmetic_mc"],
            id="unknown task",
        ),
        pytest.param("max_steps: 10", "max_steps: 0", ["tiny.yaml:7:22", "max_steps must be above 0"], id="no steps"),
        pytest.param(
            "name: tiny", "name: reference", ["tiny.yaml:1:7", "published results"], id="a name that is taken"
        ),
        pytest.param(
            "replicates:",
            "baseline: {train.learning_rate: 3.0e-3}\nreplicates:",
            ["tiny.yaml:", "baseline matches no cell", "| baseline:", "train.learning_rate is 1.0e-3 or 2.0e-3"],
            id="a baseline that no cell is",
        ),
        pytest.param("name: tiny", "name: ../tiny", ["tiny.yaml:1:", "name"], id="a name that leaves the folder"),
        pytest.param("{max_steps: 10}", "{max_steps: 10", ["tiny.yaml:"], id="not YAML"),
    ],
)
def test_a_wrong_suite_is_refused_with_place_and_way_out(
    old: str, new: str, said: list[str], suite: Path, harness: Harness
) -> None:
    text = suite.read_text(encoding="utf-8")
    assert old in text
    suite.write_text(text.replace(old, new, 1), encoding="utf-8")
    _refused(harness("run", suite.name), *said)
    assert not (suite.parent / "results").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "empty", id="empty file"),
        pytest.param(b"# only a comment\n", "empty", id="only comments"),
        pytest.param(b"- a\n- b\n", "mapping", id="not a mapping"),
        pytest.param(b"just words\n", "mapping", id="a sentence"),
        pytest.param(b"name: caf\xe9\n", "UTF-8", id="not UTF-8"),
        pytest.param(b"name: a\x00b\n", "tiny.yaml", id="a null byte"),
    ],
)
def test_a_file_that_is_no_suite_is_refused(content: bytes, said: str, suite: Path, harness: Harness) -> None:
    suite.write_bytes(content)
    _refused(harness("plan", suite.name), "tiny.yaml", said)


def test_a_file_that_is_not_there_is_refused(harness: Harness) -> None:
    _refused(harness("plan", "nowhere.yaml"), "nowhere.yaml")


def test_a_folder_is_no_suite(tmp_path: Path, harness: Harness) -> None:
    (tmp_path / "folder").mkdir()
    _refused(harness("plan", "folder"), "folder")


def test_every_problem_of_a_file_is_told_at_once(suite: Path, harness: Harness) -> None:
    text = suite.read_text(encoding="utf-8")
    suite.write_text(text.replace("base:", "bse: 1\nbase:").replace("rows: 200", "rows: many"), encoding="utf-8")
    _refused(harness("validate", suite.name), "tiny.yaml:3:", "tiny.yaml:7:")


_EVERYTHING = """\
name: tiny
question: Which learning rate?
base:
  method: sft
  model: {shape: tiny}
  data: {path: rows.jsonl}
  train: {max_stepz: 10}
matrix:
  method: [sft, dpo]
  train.packing: [false, true]
  train.weight_decay: {off: 0.0, zero: 0}
baseline: {train.learning_rate: 3}
score: {tasks: [arithmetic_mx]}
"""
_PLACES = ("6:16", "7:11", "10:26", "11:40", "12:33", "13:17")
_SAYS = ("rows.jsonl does not exist", "'max_stepz'", "dpo does not take", "come out equal", "baseline matches", "_mx'")


@pytest.mark.parametrize("command", ["validate", "plan", "run", "report", "score"])
def test_what_only_the_plan_finds_is_told_with_the_rest(command: str, suite: Path, harness: Harness) -> None:
    suite.write_text(_EVERYTHING, encoding="utf-8")
    answer = harness(command, suite.name)
    _refused(answer, *_SAYS)
    heads = [line for line in answer.stderr.split("\n") if ": error: " in line]
    assert [line.split(": error: ")[0] for line in heads if "come out equal" not in line] == [
        f"tiny.yaml:{place}" for place in _PLACES if place != "11:40"
    ]
    assert all(line.startswith("tiny.yaml:11:40") for line in heads if "come out equal" in line)


def test_what_follows_from_a_mistake_is_not_told(suite: Path, harness: Harness) -> None:
    text = suite.read_text(encoding="utf-8").replace("max_steps: 10", "max_steps: 10, packing: true")
    suite.write_text(text.replace("method: sft", "method: dop") + "exclude: [{metod: dpo}]\n", encoding="utf-8")
    answer = harness("plan", suite.name)
    _refused(answer, "unknown method 'dop'", "unknown axis or field path 'metod'")
    assert answer.stderr.count(": error: ") == 2


def test_unknown_tasks_and_metrics_are_told_with_the_rest(suite: Path, harness: Harness) -> None:
    text = suite.read_text(encoding="utf-8").replace("rows: 200", "rows: many").replace("arithmetic_mc", "nope", 1)
    suite.write_text(text + "decide: {maximise: tokens, keep: {foo: '<= 3'}}\n", encoding="utf-8")
    _refused(harness("validate", suite.name), "many", "'nope'", "'tokens'", "'foo'")


def test_a_metric_that_a_task_has_not_is_refused(suite: Path, harness: Harness) -> None:
    text = suite.read_text(encoding="utf-8") + "decide: {maximise: score.arithmetic_mc.accc}\n"
    suite.write_text(text, encoding="utf-8")
    _refused(harness("plan", suite.name), "unknown metric of arithmetic_mc: 'accc'", "'acc'", "| decide:")


def test_stages_in_a_circle_are_refused(suite: Path, harness: Harness) -> None:
    stages = "stages:\n  one: {init: {stage: two}}\n  two: {init: {stage: one}}\n"
    suite.write_text(suite.read_text(encoding="utf-8") + stages, encoding="utf-8")
    _refused(harness("plan", suite.name), "one", "two")


def test_an_unknown_stage_is_refused_with_the_known_ones(suite: Path, harness: Harness) -> None:
    text = suite.read_text(encoding="utf-8").replace("  method: sft", "  method: sft\n  init: {stage: bsae}")
    suite.write_text(text + "stages:\n  base: {}\n", encoding="utf-8")
    _refused(harness("plan", suite.name), "bsae", "base")


def test_what_trl_does_not_do_for_a_method_is_refused(suite: Path, harness: Harness) -> None:
    text = suite.read_text(encoding="utf-8").replace("method: sft", "method: dpo")
    suite.write_text(text.replace("{max_steps: 10}", "{max_steps: 10, packing: true}"), encoding="utf-8")
    _refused(harness("plan", suite.name), "packing", "dpo", "tiny.yaml:7:")


def test_ten_million_cells_are_refused_at_once_with_their_count(suite: Path, harness: Harness) -> None:
    axes = "".join(f"  train.{name}: [{', '.join(map(str, range(1, 11)))}]\n" for name in _TEN_LEVELS)
    text = suite.read_text(encoding="utf-8").replace("  train.learning_rate: [1.0e-3, 2.0e-3]\n", axes)
    suite.write_text(text, encoding="utf-8")
    before = _processor_seconds()
    answer = harness("plan", suite.name)
    _refused(answer, "10,000,000", "| matrix:")
    assert _processor_seconds() - before < 10  # to make them all takes minutes


def _processor_seconds() -> float:
    """What the command lines so far took of the processor: unlike time it knows of nobody else on the machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


_TEN_LEVELS = (
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "logging_steps",
    "warmup_steps",
    "eval_steps",
    "max_length",
)


def test_an_exclude_that_matches_nothing_is_a_warning(suite: Path, harness: Harness) -> None:
    suite.write_text(suite.read_text(encoding="utf-8") + "exclude:\n  - {method: dpo}\n", encoding="utf-8")
    answer = harness("plan", suite.name)
    assert answer.returncode == 0, answer.stderr
    assert "warning" in answer.stderr
    assert "tiny.yaml" in answer.stderr
    assert "exclude rule 1 matches no cell" in answer.stderr
    assert "|   - {method: dpo}" in answer.stderr
    assert "2 cells" in answer.stdout


def test_an_exclude_that_leaves_nothing_is_refused(suite: Path, harness: Harness) -> None:
    suite.write_text(suite.read_text(encoding="utf-8") + "exclude:\n  - {method: sft}\n", encoding="utf-8")
    _refused(harness("plan", suite.name), "exclude")


def test_a_selection_that_chooses_nothing_is_refused(suite: Path, harness: Harness) -> None:
    _refused(harness("plan", suite.name, "--only", "dpo-*"), "dpo-*")


def test_several_files_are_checked_and_each_is_told(suite: Path, tmp_path: Path, harness: Harness) -> None:
    (tmp_path / "wrong.yaml").write_text("nonsense: true\n", encoding="utf-8")
    answer = harness("validate", suite.name, "wrong.yaml")
    assert answer.returncode == 2
    assert answer.stdout.startswith("tiny.yaml: ok")
    assert "wrong.yaml:1:1" in answer.stderr
