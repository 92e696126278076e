"""Scores over the steps of trainings: those of weights saved on the way, and the end's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.compare.alike import differences, task_of
from harness.compare.summary import spread
from harness.records.figures import title
from harness.records.results import CellSummary, Curve, QualityRow, TaskScore, TrialResult


def quality_of(
    columns: Sequence[str], cells: Sequence[CellSummary], trials: Sequence[TrialResult], curves: Sequence[Curve]
) -> dict[str, tuple[QualityRow, ...]]:
    """Rows by column of scores, for columns and cells whose weights were scored on the way; finished trials only.

    Cells that were not (a floor, say) are told by their end alone, where another cell of the column has steps.
    """
    fine = {trial.trial_id: trial for trial in trials if trial.outcome == "ok"}
    found: dict[str, tuple[QualityRow, ...]] = {}
    for name in columns:
        points: dict[tuple[str, str], dict[int, list[float]]] = {}
        for curve in curves:
            if curve.metric == name and curve.trial_id in fine:
                trial = fine[curve.trial_id]
                own = points.setdefault((trial.kind, trial.cell_id), {})
                on_the_way = len(curve.steps) - curve.ended
                for step, value in zip(curve.steps[:on_the_way], curve.values[:on_the_way], strict=True):
                    own.setdefault(step, []).append(value)
        if points:
            rows = [_row(cell, name, points.get((cell.kind, cell.cell_id), {})) for cell in cells]
            found[name] = tuple(row for row in rows if row.steps or row.end)
    return found


def _row(cell: CellSummary, name: str, points: Mapping[int, Sequence[float]]) -> QualityRow:
    return QualityRow(
        cell=cell.name,
        kind=cell.kind,
        steps={step: spread(values) for step, values in sorted(points.items())},
        end=cell.metrics.get(name),
    )


def unlike_steps(
    quality: Mapping[str, object], trials: Sequence[TrialResult], scores: Sequence[TaskScore]
) -> tuple[str, ...]:
    """Sentences on scores over steps that were gravely not made alike."""
    fine = {trial.trial_id: trial for trial in trials if trial.outcome == "ok"}
    said: dict[str, str] = {}
    for name in quality:
        task = task_of(name)
        curved = {score.trial_id for score in scores if score.task == task and score.step is not None}
        made = [(fine[s.trial_id], s) for s in scores if s.task == task and s.trial_id in curved and s.trial_id in fine]
        told = differences(made)
        if told is not None and told[1]:
            said[title(name)] = told[0]
    return tuple(f"Scores of {name} over steps were not made alike: {text}." for name, text in said.items())
