"""Made-up scores for checkpoints of the debug engine, which hold no model: plausible, and the same every time.

A cell has a quality; its replicates scatter a little around it; the floor stays at chance. Nothing is imported
and nothing is computed, so whole pipelines can be tried in a second. Such scores say so: their backend is `debug`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from harness.records.run_folder import RunFolder
from harness.records.score import Document, Score
from harness.score.taskfiles import TASKS, TaskFile

MARKER = "debug.json"
"""The file in checkpoint/ that says there is no model in it."""

_DOCUMENTS = 100


def is_debug(folder: RunFolder) -> bool:
    """Whether the checkpoint is the debug engine's, or was before it was dropped."""
    if folder.checkpoint.is_dir():
        return (folder.checkpoint / MARKER).is_file()
    return any(folder.scores.glob("*.debug"))


def debug_score(
    folder: RunFolder, task: TaskFile, *, weights_hash: str | None, flags: Mapping[str, Any], step: int | None = None
) -> tuple[Score, list[Document]]:
    """A score and its documents, from hashes of the trial's ids."""
    info = TASKS.get(task.name)
    spec = folder.spec() or {}
    quality = _quality(spec, task.name, info.chance if info else 0.0)
    trial = str(spec.get("trial_id", folder.path.name))
    metric = info.metric if info else "acc"
    count = min(flags.get("limit") or _DOCUMENTS, _DOCUMENTS)
    right = [float(_uniform(trial, task.name, str(index)) < quality) for index in range(count)]
    mean = sum(right) / count
    documents = [_document(task.name, metric, index, value) for index, value in enumerate(right)]
    stderr = {metric: math.sqrt(mean * (1 - mean) / (count - 1))} if count > 1 else {}
    score = Score(
        task=task.name,
        backend="debug",
        metrics={metric: mean},
        stderr=stderr,
        higher_is_better={metric: True},
        n_documents=count,
        task_hash=task.hash,
        task_version="debug",
        weights_hash=weights_hash,
        flags=dict(flags),
        versions={},
        scored_at=datetime.now(UTC).isoformat(timespec="seconds"),
        duration_s=0.0,
        step=step,
        notes=("made up by the debug backend: no model was run",),
    )
    return score, documents


def _quality(spec: Mapping[str, Any], task: str, chance: float) -> float:
    if spec.get("kind") == "floor":
        return chance
    cell = 0.55 + 0.4 * _uniform(str(spec.get("cell_id", "")), task)
    return cell + 0.04 * (_uniform(str(spec.get("trial_id", "")), task, "seed") - 0.5)


def _document(task: str, metric: str, index: int, value: float) -> Document:
    name = f"{task}-{index}"
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Document(
        index=index,
        doc_hash=digest,
        prompt_hash=digest,
        target_hash=digest,
        target=name,
        response=name if value else "",
        metrics={metric: value},
    )


def _uniform(*parts: str) -> float:
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
