"""Which cells a chart shows in colour: all of a few, the best of many; the others are grey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.records.figures import called
from harness.records.results import Answer, CellSummary
from harness.report.shortnames import shortnames
from harness.report.style import COLOURS


@dataclass(frozen=True, kw_only=True, slots=True)
class Emphasis:
    """Colour by cell name, the same in every chart. `others` is how many cells of the matrix have none.

    `labels`: names as charts have room for them.
    """

    colours: Mapping[str, str]
    others: int
    labels: Mapping[str, str] = field(default_factory=dict)

    def label(self, kind: str, name: str) -> str:
        """What a chart calls a cell; the same in every chart."""
        return called(kind, self.labels.get(name, name))


def emphasise(answer: Answer) -> Emphasis:
    """Colours for the matrix in its order; of more cells than colours, for the best on the decision's metric."""
    matrix = [cell for cell in answer.cells if cell.kind == "cell"]
    chosen = matrix if len(matrix) <= len(COLOURS) else _best(answer, matrix)
    names = {cell.name for cell in chosen}
    shown = [cell.name for cell in matrix if cell.name in names]
    return Emphasis(
        colours=dict(zip(shown, COLOURS, strict=False)),
        others=len(matrix) - len(shown),
        labels=shortnames([cell.name for cell in answer.cells]),
    )


def _best(answer: Answer, matrix: list[CellSummary]) -> list[CellSummary]:
    decision = answer.decision
    if decision is None:
        return matrix[: len(COLOURS)]
    sign = -1 if decision.better == "higher" else 1
    able = [cell for cell in matrix if decision.metric in cell.metrics]
    return sorted(able, key=lambda cell: sign * cell.metrics[decision.metric].mean)[: len(COLOURS)]
