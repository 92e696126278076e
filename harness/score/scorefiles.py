"""scores/<task>.<backend>/ of a run folder: reading what is there, writing what is new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.records.events import encode
from harness.records.run_folder import RunFolder, read_json, write_atomic, write_json
from harness.records.score import Document, Score
from harness.records.suite import Score as Wanted

DECIDES = ("limit", "num_fewshot", "apply_chat_template")
"""Flags that change what is asked. The batch size only changes how fast, so another one keeps a score."""


def flags_of(wanted: Wanted) -> dict[str, Any]:
    """The flags of a score record."""
    return {name: getattr(wanted, name) for name in (*DECIDES, "batch_size")}


def folder_of(folder: RunFolder, task: str, backend: str) -> Path:
    """Where one task's score lies."""
    return folder.scores / f"{task}.{backend}"


def read_score(folder: RunFolder, task: str, backend: str) -> Score | None:
    """The score that is there; None when it is missing, damaged or cut off before its documents."""
    place = folder_of(folder, task, backend)
    value = read_json(place / "score.json")
    if value is None or not (place / "documents.jsonl").is_file():
        return None
    try:
        return Score.from_json(value)
    except TypeError:
        return None


def matches(score: Score, *, task_hash: str, weights_hash: str | None, flags: Mapping[str, Any]) -> bool:
    """Whether the score is of these weights, this task and these flags."""
    same = all(score.flags.get(name) == flags.get(name) for name in DECIDES)
    return same and score.task_hash == task_hash and weights_hash is not None and score.weights_hash == weights_hash


def write_score(folder: RunFolder, score: Score, documents: Iterable[Document]) -> None:
    """Documents first, then score.json, each atomically; a score.json always speaks of the documents beside it.

    Raises:
        OSError: the folder cannot be written.
    """
    place = folder_of(folder, score.task, score.backend)
    (place / "score.json").unlink(missing_ok=True)
    for torn in place.glob(".*.tmp"):  # of a child that was killed while writing
        torn.unlink(missing_ok=True)
    write_atomic(place / "documents.jsonl", "".join(encode(asdict(document)) for document in documents))
    write_json(place / "score.json", score.to_json())
