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
from harness.score.scorefiles import DECIDES, flags_of, folder_of, matches, read_score, write_score

FLAGS = {"limit": None, "num_fewshot": None, "apply_chat_template": False, "batch_size": 64}
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
    assert replace(read, notes=tuple(read.notes)) == SCORE
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


def test_an_old_score_does_not_outlive_its_documents(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_score(folder, SCORE, [_document()])
    with pytest.raises(TypeError):
        write_score(folder, SCORE, [_document(metrics={"acc": object()})])
    assert read_score(folder, "t", "hf") is None


def test_what_a_killed_child_left_half_written_goes(tmp_path: Path) -> None:
    place = folder_of(RunFolder(tmp_path), "t", "hf")
    place.mkdir(parents=True)
    (place / ".documents.jsonl.123.tmp").write_text("{")
    write_score(RunFolder(tmp_path), SCORE, [_document()])
    assert sorted(path.name for path in place.iterdir()) == ["documents.jsonl", "score.json"]


def test_flags_are_those_of_the_suite() -> None:
    assert flags_of(suite.Score(tasks=["t"], limit=3)) == {**FLAGS, "limit": 3}


@given(
    flags=st.fixed_dictionaries(
        {
            "limit": st.sampled_from([None, 1, 2]),
            "num_fewshot": st.sampled_from([None, 0, 5]),
            "apply_chat_template": st.booleans(),
            "batch_size": st.integers(1, 128),
        }
    ),
    task_hash=st.sampled_from(["task", "other"]),
    weights_hash=st.sampled_from(["weights", "other", None]),
)
def test_a_score_matches_only_what_it_is_of(flags: dict[str, Any], task_hash: str, weights_hash: str | None) -> None:
    same = task_hash == "task" and weights_hash == "weights" and all(flags[name] == FLAGS[name] for name in DECIDES)
    assert matches(SCORE, task_hash=task_hash, weights_hash=weights_hash, flags=flags) == same


def test_unknown_weights_match_nothing() -> None:
    score = replace(SCORE, weights_hash=None)
    assert not matches(score, task_hash="task", weights_hash=None, flags=FLAGS)
