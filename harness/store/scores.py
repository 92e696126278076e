"""scores/ of a run folder → rows: one folder per score, and what was found of a task in the data, a file each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.records.run_folder import RunFolder, read_json
from harness.records.score import EARLIER
from harness.store import plain
from harness.store.documents import Documents

if TYPE_CHECKING:
    import pyarrow as pa

OVERLAP = ".overlap.json"
_STEP = re.compile(r"@(\d{1,18})$")

Metric = tuple[str, float | None, float | None, bool | None]
"""Name, value, standard error, whether more is better."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRows:
    """One score on its way into the tables, without its number there.

    `values` are those of `VALUES`; `results` and `names` as `Documents` has them, `digest` names the documents asked.
    """

    suite: str
    trial_id: str
    source: str
    values: tuple[Any, ...]
    metrics: tuple[Metric, ...]
    names: tuple[str, ...]
    digest: str
    results: pa.Table


VALUES = (
    *("task", "backend", "step", "n_documents", "task_hash", "task_version", "template_hash", "weights_hash"),
    *("tokenizer_hash", "served", "flags", "versions", "environment", "canary", "parity", "notes", "members"),
    *("scored_at", "duration_s"),
)


def folders_of(folder: RunFolder) -> list[Path]:
    """Those of finished scores: score.json is written last, so a folder without one is still being written."""
    return sorted(path.parent for path in folder.scores.glob("*/score.json"))


def earlier_rows(path: Path) -> list[tuple[Any, ...]]:
    """Task, backend, weights, moment, metric and value of the scores that this one has replaced; lines that are none
    are left out, and a score that is there twice is taken once."""
    try:
        lines = (path / EARLIER).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for line in lines:
        try:
            score = plain.mapping(json.loads(line))
        except ValueError:
            continue
        how = tuple(plain.text(score.get(name)) for name in ("task", "backend", "weights_hash", "scored_at"))
        for metric, value in plain.mapping(score.get("metrics")).items():
            rows[(*how, metric)] = (*how, plain.text(metric), plain.figure(value))
    return list(rows.values())


def overlaps_of(folder: RunFolder) -> list[Path]:
    """Files that say how much of a task is in the data."""
    return sorted(path for path in folder.scores.glob(f"*{OVERLAP}") if path.is_file())


def score_of(path: Path) -> Mapping[str, Any] | None:
    """The score.json of a score's folder; None where it is no score."""
    score = read_json(path / "score.json")
    if score is None or not isinstance(score.get("task"), str) or not isinstance(score.get("metrics"), dict):
        return None
    return score


def rows_of(suite: str, trial_id: str, source: str, score: Mapping[str, Any], found: Documents) -> ScoreRows:
    """The rows of a score and its documents; those of earlier versions of score.json lack some values."""
    stderr, higher = plain.mapping(score.get("stderr")), plain.mapping(score.get("higher_is_better"))
    return ScoreRows(
        suite=suite,
        trial_id=trial_id,
        source=source,
        values=_values(score, source),
        metrics=tuple(
            (
                str(plain.text(metric)),
                plain.figure(value),
                plain.figure(stderr.get(metric)),
                better if isinstance(better := higher.get(metric), bool) else None,
            )
            for metric, value in score["metrics"].items()
        ),
        names=found.names,
        digest=found.digest,
        results=found.results,
    )


def _values(score: Mapping[str, Any], source: str) -> tuple[Any, ...]:
    names = ("task_hash", "task_version", "template_hash", "weights_hash", "tokenizer_hash")
    proofs = (plain.json_text(found) if (found := plain.mapping(score.get(key))) else None for key in _PROOFS)
    lists = (told if isinstance(told := score.get(key), list) else [] for key in ("notes", "members"))
    return (
        plain.text(score["task"]),
        plain.text(score.get("backend")) or "unknown",
        _step(score, source),
        plain.integer(score.get("n_documents")),
        *(plain.text(score.get(key)) for key in names),
        plain.text(score.get("served")) or "loaded",  # all there was before the field
        *(plain.json_text(plain.mapping(score.get(key))) for key in ("flags", "versions")),
        *proofs,
        *([plain.text(entry) for entry in told if entry is not None] for told in lists),
        plain.text(score.get("scored_at")),
        plain.figure(score.get("duration_s")),
    )


_PROOFS = ("environment", "canary", "parity")


def _step(score: Mapping[str, Any], source: str) -> int | None:
    """The step that score.json names, else the one of its folder: a checkpoint on the way must not pass for the end."""
    named = _STEP.search(source)
    step = plain.integer(score.get("step"))
    return step if step is not None else int(named[1]) if named else None


def overlap_row(path: Path) -> tuple[Any, ...] | None:
    """What follows suite and trial in a row of data_overlaps; None for a damaged file."""
    found = read_json(path)
    if found is None or not isinstance(found.get("task"), str):
        return None
    lists = {key: told if isinstance(told := found.get(key), list) else [] for key in ("trained_on", "examples")}
    return (
        *(plain.text(found.get(key)) for key in ("task", "task_hash", "data_fingerprint")),
        *(plain.integer(found.get(key)) for key in ("documents", "exact", "ngram", "short", "n")),
        plain.figure(found.get("share")),
        plain.integer(found.get("rows")),
        plain.json_text(lists["trained_on"]),
        plain.text(found.get("reason")),
        plain.json_text(lists["examples"]),
        path.name,
    )
