"""Cells as rows of a table: their name, what they are, and whether their figures are to be trusted."""

from __future__ import annotations

from harness.records.figures import called
from harness.records.results import Answer, CellSummary
from harness.report.format import text

DISTURBED = "†"
UNLIKE = "‡"
"""Marks scores that were not made alike."""
DIVERGED = "§"


def row_name(answer: Answer, cell: CellSummary) -> str:
    """The cell's name as it stands first in a row."""
    label = " (untrained)" if cell.kind == "floor" else ""
    if cell.kind == "cell" and cell.name in answer.baseline:
        label = " (baseline)"
    return text(called(cell.kind, cell.name)) + label + marks(cell)


def marks(cell: CellSummary) -> str:
    """What follows a cell's name where its figures are not to be trusted."""
    return (f" {DISTURBED}" if cell.disturbed else "") + (f" {DIVERGED}" if cell.diverged else "")
