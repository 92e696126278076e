"""Scores on disk: whole or not there, and told apart by what they are of."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records import suite
from harness.records.run_folder import RunFolder
from harness.records.score import Document, Score
from harness.score.scorefiles import (
    DECIDES,
    failure_file,
    flags_of,
    folder_of,
    matches,
    read_documents,
    read_score,
    write_failure,
    write_score,
)

FLAGS = {
    "limit": None,
    "num_fewshot": None,
    "apply_chat_template": False,
    "system_instruction": None,
    "fewshot_as_multiturn": False,
    "batch_size": 64,
    "confirm_run_unsafe_code": False,
}
SCORE = Score(
    task="t",
    backend="hf",
    metrics={"acc": 0.5},
    stderr={"acc": 0.1},
    higher_is_better={"acc": True},
    n_documents=1,
    task_hash="task",
    task_version="1",
    weights_hash="weights",
    flags=FLAGS,
    versions={},
    scored_at="2026-01-01T00:00:00+00:00",
    duration_s=1.0,
)


def _document(**changes: Any) -> Document:
    plain = Document(
        index=0, doc_hash="d", prompt_hash="p", target_hash="t", target="a", response="b", metrics={"acc": 1.0}
    )
    return replace(plain, **changes)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_score(folder, SCORE, [_document(), _document(index=1)])
    read = read_score(folder, "t", "hf")
    assert read is not None
    assert replace(read, notes=tuple(read.notes), members=tuple(read.members)) == SCORE
    lines = (folder_of(folder, "t", "hf") / "documents.jsonl").read_text().splitlines()
    assert [Document(**json.loads(line)) for line in lines] == [_document(), _document(index=1)]


def test_numbers_that_are_none_stay_json(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_score(folder, SCORE, [_document(logprobs=[math.nan, -math.inf, -1.5])])
    (line,) = (folder_of(folder, "t", "hf") / "documents.jsonl").read_text().splitlines()
    read = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read["logprobs"] == ["NaN", "-Infinity", -1.5]


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"task": "t"}'])
def test_a_damaged_score_is_no_score(tmp_path: Path, damage: str) -> None:
    folder = RunFolder(tmp_path)
    write_score(folder, SCORE, [_document()])
    (folder_of(folder, "t", "hf") / "score.json").write_text(damage)
    assert read_score(folder, "t", "hf") is None


def test_a_score_without_its_documents_is_no_score(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_score(folder, SCORE, [_document()])
    (folder_of(folder, "t", "hf") / "documents.jsonl").unlink()
    assert read_score(folder, "t", "hf") is None


def test_a_score_and_its_documents_stay_until_both_can_be_replaced(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_score(folder, SCORE, [_document()])
    with pytest.raises(TypeError):
        write_score(folder, replace(SCORE, n_documents=2), [_document(metrics={"acc": object()})])
    kept = read_score(folder, "t", "hf")
    assert kept is not None
    assert kept.n_documents == SCORE.n_documents != 2
    assert read_documents(folder, "t", "hf") == [_document()]
    assert {path.name for path in folder_of(folder, "t", "hf").iterdir()} == {"score.json", "documents.jsonl"}


def test_what_a_killed_child_left_half_written_goes(tmp_path: Path) -> None:
    place = folder_of(RunFolder(tmp_path), "t", "hf")
    place.mkdir(parents=True)
    (place / ".documents.jsonl.123.tmp").write_text("{")
    write_score(RunFolder(tmp_path), SCORE, [_document()])
    assert sorted(path.name for path in place.iterdir()) == ["documents.jsonl", "score.json"]


def test_why_a_score_is_not_there_is_kept_until_it_is(tmp_path: Path) -> None:
    folder, log = RunFolder(tmp_path), tmp_path / "score.log"
    log.write_text("".join(f"line {number}\n" for number in range(5000)))
    file = failure_file(folder, "t", "hf")
    write_failure(file, task="t", backend="hf", step=None, cause="crashed: it died", log=log)
    told = json.loads(file.read_bytes())
    assert (told["cause"], told["log"][-1], len(told["log"])) == ("crashed: it died", "line 4999", 60)
    write_failure(file, task="t", backend="hf", step=None, cause="again", log=tmp_path / "gone.log")
    assert json.loads(file.read_bytes())["log"] == []
    assert read_score(folder, "t", "hf") is None
    write_score(folder, SCORE, [_document()])
    assert not file.exists()


def test_why_a_score_is_not_there_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "planted-secret")
    log = tmp_path / "score.log"
    log.write_text("proxy http://me:planted@host\n")
    file = failure_file(RunFolder(tmp_path), "t", "hf")
    write_failure(file, task="t", backend="hf", step=None, cause="no planted-secret", log=log)
    assert "planted" not in file.read_text()
    assert json.loads(file.read_bytes())["cause"] == "no [SOME_TOKEN redacted]"


def test_a_folder_that_cannot_be_written_costs_only_the_record(tmp_path: Path) -> None:
    (tmp_path / "scores").write_text("a file")
    file = failure_file(RunFolder(tmp_path), "t", "hf")
    write_failure(file, task="t", backend="hf", step=None, cause="", log=None)  # raises nothing
    assert not file.exists()
    assert (tmp_path / "scores").read_text() == "a file"


def test_flags_are_those_of_the_suite() -> None:
    assert flags_of(suite.Score(tasks=["t"], limit=3)) == {**FLAGS, "limit": 3}
    wanted = suite.Score(tasks=["t"], system_instruction="Be brief.", confirm_run_unsafe_code=True, batch_size=2)
    more = {"system_instruction": "Be brief.", "confirm_run_unsafe_code": True, "batch_size": 2}
    assert flags_of(wanted) == {**FLAGS, **more}


@pytest.mark.parametrize(
    ("template", "asked", "turns"),
    [(False, None, False), (False, False, False), (True, None, True), ("rag", None, True), (True, False, False)],
)
def test_examples_are_turns_where_there_is_a_chat(template: bool | str, asked: bool | None, turns: bool) -> None:
    wanted = suite.Score(tasks=["t"], apply_chat_template=template, fewshot_as_multiturn=asked)
    assert flags_of(wanted)["fewshot_as_multiturn"] is turns


@pytest.mark.parametrize(
    "task",
    ["a/b", "../up", ".hidden", "a b", "ü" * 90, "x" * 300, "mmlu_(general)", "v1.1", "group::task", "a@3", "%41", "A"],
)
def test_any_name_has_a_folder_of_its_own(tmp_path: Path, task: str) -> None:
    folder = RunFolder(tmp_path)
    place = folder_of(folder, task, "hf")
    assert place.parent == folder.scores
    write_score(folder, replace(SCORE, task=task), [_document()])
    read = read_score(folder, task, "hf")
    assert read is not None
    assert read.task == task
    assert [path.parent for path in folder.scores.glob("*/score.json")] == [place]
    others = {folder_of(folder, other, "hf", step) for other in ("a", "b", "x" * 299, "A.hf") for step in (None, 3)}
    assert place not in others


def test_steps_are_told_from_names() -> None:
    folder = RunFolder(Path("run"))
    assert folder_of(folder, "t", "hf", 3).name == "t.hf@3"
    assert folder_of(folder, "t.hf@3", "hf").name == "t.hf%403.hf"


def test_a_score_that_says_less_is_one_of_plain_prompts() -> None:
    old = replace(SCORE, flags={"limit": None, "num_fewshot": None, "apply_chat_template": False, "batch_size": 64})
    plain = flags_of(suite.Score(tasks=["t"]))
    assert matches(old, task_hash="task", weights_hash="weights", flags=plain)
    assert not matches(old, task_hash="task", weights_hash="weights", flags={**plain, "system_instruction": "x"})


@pytest.mark.parametrize(("known", "same"), [(None, True), ("template", True), ("other", False)])
def test_a_score_is_of_one_template(known: str | None, same: bool) -> None:
    score = replace(SCORE, template_hash="template")
    assert matches(score, task_hash="task", weights_hash="weights", flags=FLAGS, template_hash=known) is same


@given(
    flags=st.fixed_dictionaries(
        {
            "limit": st.sampled_from([None, 1, 2]),
            "num_fewshot": st.sampled_from([None, 0, 5]),
            "apply_chat_template": st.sampled_from([False, True, "rag"]),
            "system_instruction": st.sampled_from([None, "", "Be brief."]),
            "fewshot_as_multiturn": st.booleans(),
            "confirm_run_unsafe_code": st.booleans(),
            "batch_size": st.integers(1, 128),
        },
        optional={
            "engine": st.sampled_from([{}, {"quantization": "fp8"}]),
            "environment": st.sampled_from([None, "own"]),
        },
    ),
    task_hash=st.sampled_from(["task", "other"]),
    weights_hash=st.sampled_from(["weights", "other", None]),
)
def test_a_score_matches_only_what_it_is_of(flags: dict[str, Any], task_hash: str, weights_hash: str | None) -> None:
    same = (
        task_hash == "task"
        and weights_hash == "weights"
        and all(flags.get(name, absent) == FLAGS.get(name, absent) for name, absent in DECIDES.items())
    )
    assert matches(SCORE, task_hash=task_hash, weights_hash=weights_hash, flags=flags) == same


def test_unknown_weights_match_nothing() -> None:
    score = replace(SCORE, weights_hash=None)
    assert not matches(score, task_hash="task", weights_hash=None, flags=FLAGS)
