"""scores/<task>.<backend>[@<step>]/ of a run folder: reading what is there, writing what is new."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.measure.redact import redacted, redactor
from harness.records.events import encode
from harness.records.run_folder import RunFolder, read_json, write_atomic, write_json
from harness.records.score import EARLIER, Document, Score, file_name
from harness.records.suite import Score as Wanted

DECIDES: Mapping[str, Any] = {
    "limit": None,
    "num_fewshot": None,
    "apply_chat_template": False,
    "system_instruction": None,
    "fewshot_as_multiturn": False,
    "engine": {},
    "environment": None,
}
"""Flags that change what is asked, or what answers, and what they are in a score that does not name them. The others
change nothing but how fast it goes, or what may run, so other values keep a score."""


FAILED = ".failed.json"
_END_BYTES, _END_LINES = 20_000, 60


def flags_of(wanted: Wanted) -> dict[str, Any]:
    """The flags of a score record: all that was asked of lm-eval, as it is in force."""
    asked = {name: getattr(wanted, name) for name in (*DECIDES, "batch_size", "confirm_run_unsafe_code")}
    flags = {name: value for name, value in asked.items() if name not in ("engine", "environment") or value}
    # As lm-eval's own command line has it: turns where there is a chat. Plain text has none.
    turns = True if wanted.fewshot_as_multiturn is None else wanted.fewshot_as_multiturn
    return {**flags, "fewshot_as_multiturn": turns and wanted.apply_chat_template is not False}


def folder_of(folder: RunFolder, task: str, backend: str, step: int | None = None) -> Path:
    """Where one task's score lies; `step` is that of weights which training went on from."""
    return folder.scores / folder_name(task, backend, step)


def folder_name(task: str, backend: str, step: int | None = None) -> str:
    """The name of that folder; no letter of it means anything to `glob`, and an `@` is followed by the step alone."""
    name = f"{file_name(task)}.{backend}"
    return name if step is None else f"{name}@{step}"


def overlap_file(folder: RunFolder, task: str) -> Path:
    """Where a task's overlap with the training lies, beside its scores."""
    beside = folder_of(folder, task, "overlap")
    return beside.with_name(f"{beside.name}.json")


def failure_file(folder: RunFolder, task: str, backend: str, step: int | None = None) -> Path:
    """Where it lies why a score is not there, beside where that would be."""
    place = folder_of(folder, task, backend, step)
    return place.with_name(f"{place.name}{FAILED}")


def write_failure(file: Path, *, task: str, backend: str, step: int | None, cause: str, log: Path | None) -> None:
    """Keeps why a score could not be made, with the end of the child's log: the next child's takes its place.

    Secrets are taken out. A folder that cannot be written costs the record alone; the cause was told.
    """
    told = {"task": task, "backend": backend, "step": step, "cause": cause, "log": _end_of(log)}
    with suppress(OSError):
        write_json(file, {**redacted(told, redactor()), "at": datetime.now(UTC).isoformat(timespec="seconds")})


def _end_of(log: Path | None) -> list[str]:
    if log is None:
        return []
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _END_BYTES))
        return file.read().decode("utf-8", "replace").splitlines()[-_END_LINES:]
    return []


def read_score(folder: RunFolder, task: str, backend: str, step: int | None = None) -> Score | None:
    """The score that is there; None when it is missing, damaged or cut off before its documents."""
    place = folder_of(folder, task, backend, step)
    value = read_json(place / "score.json")
    if value is None or not (place / "documents.jsonl").is_file():
        return None
    try:
        return Score.from_json(value)
    except TypeError:
        return None


def matches(
    score: Score,
    *,
    task_hash: str,
    weights_hash: str | None,
    flags: Mapping[str, Any],
    template_hash: str | None = None,
) -> bool:
    """Whether the score is of these weights, this task, this template and these flags.

    `template_hash` is that of `harness.score.tasktemplate`; None, which leaves it to the flags, where it cannot be told
    beforehand.
    """
    same = all(score.flags.get(name, absent) == flags.get(name, absent) for name, absent in DECIDES.items())
    same = same and (template_hash is None or score.template_hash == template_hash)
    return same and score.task_hash == task_hash and weights_hash is not None and score.weights_hash == weights_hash


def read_documents(folder: RunFolder, task: str, backend: str, step: int | None = None) -> list[Document]:
    """The documents of a score, in the order they were asked.

    Raises:
        OSError, ValueError: they cannot be read.
    """
    lines = (folder_of(folder, task, backend, step) / "documents.jsonl").read_text("utf-8").splitlines()
    known = Document.__dataclass_fields__
    found = [{key: value for key, value in json.loads(line).items() if key in known} for line in lines]
    return [Document(**{**one, "logprobs": [float(value) for value in one.get("logprobs") or []]}) for one in found]


def write_score(folder: RunFolder, score: Score, documents: Iterable[Document]) -> None:
    """Both files whole, then both in their places; a score.json always speaks of the documents beside it.

    A score that was there stays until the new one is written: a full disk loses none. Its metrics stay for good where
    it is of other weights, which an earlier training of the trial left.

    Raises:
        OSError: the folder cannot be written.
    """
    place = folder_of(folder, score.task, score.backend, score.step)
    for torn in place.glob(".*.tmp"):  # of a child that was killed while writing
        torn.unlink(missing_ok=True)
    fresh = {name: place / f".{name}.tmp" for name in ("documents.jsonl", "score.json")}
    try:
        write_atomic(fresh["documents.jsonl"], "".join(encode(asdict(document)) for document in documents))
        write_json(fresh["score.json"], score.to_json())
        _keep_earlier(place, score)
        (place / "score.json").unlink(missing_ok=True)
        for name, file in fresh.items():
            file.replace(place / name)
        failure_file(folder, score.task, score.backend, score.step).unlink(missing_ok=True)
    finally:
        for file in fresh.values():
            file.unlink(missing_ok=True)


def _keep_earlier(place: Path, score: Score) -> None:
    """Adds the score that is about to be replaced to `EARLIER`, unless it is of the same weights.

    Killed before the replacement it is added again by the next: readers take each score once.
    """
    before = read_json(place / "score.json")
    if before is None or before.get("weights_hash") in (None, score.weights_hash):
        return
    file = place / EARLIER
    kept = file.read_text(encoding="utf-8") if file.exists() else ""
    write_atomic(file, kept + json.dumps(before, ensure_ascii=False) + "\n")


def update_score(
    folder: RunFolder, task: str, backend: str, step: int | None, change: Callable[[Score], Score]
) -> None:
    """Writes what became known of a score after it was written; nothing where there is none.

    Raises:
        OSError: the folder cannot be written.
    """
    score = read_score(folder, task, backend, step)
    if score is not None:
        write_json(folder_of(folder, task, backend, step) / "score.json", change(score).to_json())
