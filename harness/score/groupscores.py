"""A group's figures: means of its tasks' scores, as lm-eval aggregates them. Needs no model: the scores are there.

Source: lm-eval 0.4.13, `lm_eval.api.group.Group.aggregate` and the three formulas it takes from `lm_eval.api.metrics`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.records.run_folder import RunFolder
from harness.records.score import Score
from harness.score.scorefiles import matches, read_score, write_score
from harness.score.taskfiles import TaskGroup
from harness.score.taskgroups import Mean

Causes = list[tuple[str, str]]


def score_groups(
    folder: RunFolder,
    groups: Sequence[TaskGroup],
    backend: str,
    *,
    flags: Mapping[str, Any],
    weights_hash: str | None,
    step: int | None = None,
) -> tuple[int, Causes]:
    """Writes each group's score beside those of its tasks, where all of these are there and of these weights and flags.

    Returns how many were written (one that would be the same is left alone), and (group, cause) of those that cannot
    be.

    Raises:
        OSError: the folder cannot be written.
    """
    written, causes = 0, Causes()
    for group in groups:
        known = {name: read_score(folder, name, backend, step) for name in group.members}
        there = [
            score
            for name, score in known.items()
            if score is not None
            and matches(score, task_hash=group.members[name], weights_hash=weights_hash, flags=flags)
        ]
        if len(there) < len(known):
            causes.append((group.name, f"{len(known) - len(there)} of its {len(known)} tasks have no score"))
            continue
        score = group_score(group, there)
        before = read_score(folder, group.name, backend, step)
        if before is None or json.dumps(before.to_json()) != json.dumps(score.to_json()):
            write_score(folder, score, [])
            written += 1
    return written, causes


def group_score(group: TaskGroup, scores: Sequence[Score]) -> Score:
    """The group's score from its tasks' (one each, at least one). It has no documents: the tasks' are its own.

    `n_documents` is the tasks' together, `duration_s` too; `scored_at` is that of the last.
    """
    metrics: dict[str, float] = {}
    stderr: dict[str, float] = {}
    better: dict[str, bool] = {}
    notes: list[str] = []
    for mean in group.means:
        for name in sorted({name for score in scores for name in score.metrics if mean.takes(name)}):
            having = [score for score in scores if name in score.metrics]
            metrics[name] = _mean(having, name, mean)
            better[name] = having[0].higher_is_better.get(name, True)
            error = _error(having, name, mean)
            if error is not None:
                stderr[name] = error
            if len(having) < len(scores):
                notes.append(f"{name} is over {len(having)} of the {len(scores)} tasks: the others have no such figure")
    last = max(scores, key=lambda score: score.scored_at)
    templates = {score.template_hash for score in scores}
    return Score(
        task=group.name,
        backend=last.backend,
        metrics=metrics,
        stderr=stderr,
        higher_is_better=better,
        n_documents=sum(score.n_documents for score in scores),
        task_hash=group.hash,
        task_version=group.version,
        weights_hash=last.weights_hash,
        flags=last.flags,
        versions=last.versions,
        scored_at=last.scored_at,
        duration_s=round(sum(score.duration_s for score in scores), 3),
        notes=(*notes, *_noted(scores)),
        members=tuple(score.task for score in scores),
        template_hash=last.template_hash if len(templates) == 1 else None,
        tokenizer_hash=last.tokenizer_hash,
        step=last.step,
        served=last.served,
        environment=last.environment,
    )


def _mean(scores: Sequence[Score], name: str, mean: Mean) -> float:
    weights = [score.n_documents if mean.by_size else 1 for score in scores]
    total = math.fsum(score.metrics[name] * weight for score, weight in zip(scores, weights, strict=True))
    return total / sum(weights)


def _error(scores: Sequence[Score], name: str, mean: Mean) -> float | None:
    """The mean's standard error; None where a task has none.

    By size: √(Σ(nᵢ−1)·nᵢ·eᵢ² / (Σnᵢ − k) / Σnᵢ), the pooled variance over all documents. Else √(Σeᵢ²) / k.
    """
    errors = [score.stderr.get(name) for score in scores]
    known = [error for error in errors if error is not None]
    if len(known) < len(errors):
        return None
    if not mean.by_size:
        return math.sqrt(math.fsum(error**2 for error in known)) / len(known)
    sizes = [score.n_documents for score in scores]
    if sum(sizes) <= len(sizes):
        return None
    pooled = math.fsum((size - 1) * size * error**2 for size, error in zip(sizes, known, strict=True))
    return math.sqrt(pooled / (sum(sizes) - len(sizes)) / sum(sizes))


def _noted(scores: Sequence[Score]) -> list[str]:
    """That tasks have notes, by name: what they say is in their own scores."""
    noted = [score.task for score in scores if score.notes]
    return [f"of its tasks these have notes: {', '.join(noted)}"] if noted else []
