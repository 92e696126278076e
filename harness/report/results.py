"""The figures of every cell: what it reaches, and what it costs."""

from __future__ import annotations

from harness.records.metrics import metric
from harness.records.results import Answer, CellSummary
from harness.report.format import column_scale, figure, heading, text
from harness.report.names import DISTURBED, DIVERGED, UNLIKE, row_name
from harness.report.tables import Column, tables

_QUALITY = ("score", "nats", "")
"""Units of what a cell reaches; every other figure is what it costs."""


def results(answer: Answer) -> str:
    """The section of figures, in a table for quality and one for cost; empty without cells."""
    if not answer.cells:
        return ""
    shown = tried(answer)
    names = Column(heading="cell", cells=[row_name(answer, cell) for cell in shown], align="left")
    seeds = Column(heading="seeds", cells=[_seeds(cell) for cell in shown], align="left")
    parts = {"Quality": _columns(answer, quality=True), "Cost": _columns(answer, quality=False)}
    found = {title: columns for title, columns in parts.items() if columns}
    if len(found) < 2:
        made = [tables(names, [seeds, *(column for columns in found.values() for column in columns)])]
    else:
        made = [
            f"### {title}\n\n{tables(names, [seeds, *columns] if title == 'Quality' else columns)}"
            for title, columns in found.items()
        ]
    return "\n\n".join(part for part in ("## Results", *made, _legend(answer)) if part)


def tried(answer: Answer) -> list[CellSummary]:
    """The cells that ran or failed; all of them while none has. A few rows among many dashes are hard to find."""
    return [cell for cell in answer.cells if set(cell.outcomes) != {"missing"}] or list(answer.cells)


def _seeds(cell: CellSummary) -> str:
    fine = cell.outcomes.get("ok", 0)
    return str(fine) if fine == len(cell.seeds) else f"{fine} of {len(cell.seeds)}"


def _columns(answer: Answer, *, quality: bool) -> list[Column]:
    chosen = [name for name in answer.columns if (_unit(name) in _QUALITY) == quality]
    return [_column(answer, name) for name in chosen]


def _unit(name: str) -> str:
    known = metric(name)
    return known.unit if known else ""


def _column(answer: Answer, name: str) -> Column:
    how = column_scale(name, answer.cells)
    cells = []
    for cell in tried(answer):
        said = figure(cell.metrics.get(name), how)
        best = cell.kind == "cell" and cell.name in answer.best.get(name, ())
        cells.append(f"**{said}**" if best else said)
    mark = f" {UNLIKE}" if any(name in one.metrics for one in answer.unlike) else ""
    return Column(heading=heading(name, how, answer.directions[name]) + mark, cells=cells)


def _legend(answer: Answer) -> str:
    lines = []
    waiting = len(answer.cells) - len(tried(answer))
    if waiting:
        lines.append(f"{waiting} more {'cell has' if waiting == 1 else 'cells have'} not run yet.")
    if any(spread.sd is not None for cell in answer.cells for spread in cell.metrics.values()):
        lines.append("Mean ± sample standard deviation over seeds.")
    arrows = {answer.directions[name] for name in answer.columns} - {"none"}
    if arrows:
        lines.append(
            ", ".join(f"{'↑ more' if way == 'higher' else '↓ less'} is better" for way in sorted(arrows)) + "."
        )
    if answer.best:
        lines.append("**Bold** is the best mean of the matrix, or all that read the same.")
    if any(_unit(name) == "bytes" for name in answer.columns):
        lines.append("Memory is the most that was in use at once.")
    if any(cell.disturbed for cell in answer.cells):
        lines.append(f"{DISTURBED} measured while something disturbed it; see Disturbed.")
    if any(cell.diverged for cell in answer.cells):
        lines.append(f"{DIVERGED} diverged, and trained on to its end; see Findings.")
    lines += [f"{UNLIKE} {text(one.text)}" for one in answer.unlike]
    return "\n".join(lines)
