"""Findings of health, as trials have them → one for all seeds of a cell."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.plan import Kind
from harness.records.results import CellFinding, CellSummary, Finding, TrialResult
from harness.records.wording import wording


def health_of(trials: Sequence[TrialResult], cells: Sequence[CellSummary]) -> tuple[CellFinding, ...]:
    """What trainings showed, those that failed too: warnings first, then cell by cell, kind by kind.

    One name may tell of several things (`not_finite` of each curve): these stay apart.
    """
    found: dict[tuple[Kind, str, str, str, str], list[tuple[TrialResult, Finding]]] = {}
    for trial in trials:
        for finding in trial.findings:
            key = (trial.kind, trial.cell_id, finding.name, finding.level, wording(finding.text))
            found.setdefault(key, []).append((trial, finding))
    order = {(cell.kind, cell.cell_id): place for place, cell in enumerate(cells)}
    keys = sorted(found, key=lambda key: (key[3] != "warning", order.get((key[0], key[1]), len(order))))
    return tuple(_folded(found[key]) for key in keys)


def _folded(entries: Sequence[tuple[TrialResult, Finding]]) -> CellFinding:
    ordered = sorted(entries, key=lambda entry: (entry[0].seed, entry[1].step is None, entry[1].step or 0))
    trial, first = ordered[0]
    return CellFinding(
        cell=trial.cell_name,
        kind=trial.kind,
        name=first.name,
        level=first.level,
        text=first.text,
        seen=tuple(dict.fromkeys((trial.seed, finding.step) for trial, finding in ordered)),
    )
