"""scores/<task>.overlap.json of a run folder: how much of a task's documents the rows of a training hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.records.run_folder import RunFolder, read_json

VERSION = 1
"""Moves when the same documents and rows give other figures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """One task's overlap with all that a trial was trained on: its own data, and that of the stages it started from.

    `exact` and `ngram` count documents (see `harness.data.overlap`); one may be in both, and `share` is that of the
    documents in either. `short` ones have fewer than `n` words, so only `exact` can speak of them. Where `reason`
    says why nothing could be measured, all figures are None.
    """

    task: str
    task_hash: str
    data_fingerprint: str | None  # of the rows; of a chain of trainings the hash of theirs, first stage first
    limit: int | None  # the first so many documents; None for all
    documents: int | None = None
    exact: int | None = None
    ngram: int | None = None
    short: int | None = None
    n: int = 13
    share: float | None = None
    examples: Sequence[Mapping[str, Any]] = ()  # document (from 0), row, trial_id, how, shared, text
    rows: int | None = None  # training rows looked at
    trained_on: Sequence[Mapping[str, Any]] = field(default_factory=tuple)  # trial_id, stage, rows, fingerprint
    duration_s: float = 0.0  # to read the rows and look through them, for all tasks and trials that share them
    reason: str | None = None
    version: int = VERSION

    def to_json(self) -> dict[str, Any]:
        """The JSON object of the file."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Overlap:
        """The overlap of a parsed file; unknown keys are ignored."""
        return cls(**{key: inner for key, inner in value.items() if key in cls.__dataclass_fields__})


def read_overlap(file: Path) -> Overlap | None:
    """What was measured, or why it could not be; None where the file is missing or damaged."""
    value = read_json(file)
    try:
        return None if value is None else Overlap.from_json(value)
    except TypeError:
        return None


def overlaps(folder: RunFolder) -> list[Overlap]:
    """Those of a run folder, sorted by task; damaged ones are left out."""
    found = (read_overlap(file) for file in folder.scores.glob("*.overlap.json"))
    return sorted((one for one in found if one is not None), key=lambda one: one.task)
