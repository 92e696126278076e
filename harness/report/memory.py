"""Memory by what holds it, cell by cell, and cells that ran out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.records.figures import Scale, called, number, said, scale
from harness.records.results import Answer, CellSummary, OutOfMemory
from harness.report.format import NONE, short_title, text
from harness.report.names import row_name
from harness.report.tables import Column, tables

PARTS = ("weight_memory", "reference_memory", "gradient_memory", "optimizer_memory", "activation_memory")
_PEAK, _HOST = "peak_allocated", "peak_host_memory"
_HEADINGS = {_PEAK: "peak", _HOST: "host's peak"}

_Ooms = Mapping[tuple[str, str], Sequence[OutOfMemory]]
"""What ran out of memory, by kind and name of the cell."""


def memory(answer: Answer) -> str:
    """The section; empty where nothing is known beyond the peaks of the table of costs, and none ran out of memory."""
    cells = [cell for cell in answer.cells if cell.kind != "floor"]
    ooms = _by_cell(answer)
    told = any(name in cell.metrics for cell in cells for name in (*PARTS, _PEAK))
    rows = [
        cell
        for cell in cells
        if cell.peak_phases or (cell.kind, cell.name) in ooms or (told and _measured(cell, (*PARTS, _PEAK, _HOST)))
    ]
    if not rows:
        return ""
    how = memory_scale(rows)
    columns = [*(_column(name, rows, how, ooms) for name in _names(rows)), *_phases(rows, ooms)]
    first = Column(heading="cell", cells=[row_name(answer, cell) for cell in rows], align="left")
    sentences = [f"- {_sentence(oom)}" for found in ooms.values() for oom in found]
    parts = [tables(first, columns), _legend(rows, how, ooms), "\n".join(sentences)]
    return "\n\n".join(["## Memory", *(part for part in parts if part)])


def _by_cell(answer: Answer) -> dict[tuple[str, str], list[OutOfMemory]]:
    found: dict[tuple[str, str], list[OutOfMemory]] = {}
    for oom in answer.out_of_memory:
        found.setdefault((oom.kind, oom.cell), []).append(oom)
    return found


def _measured(cell: CellSummary, names: Sequence[str]) -> bool:
    return any(name in cell.metrics for name in names)


def memory_scale(cells: Sequence[CellSummary]) -> Scale:
    """One scale for all of memory, by its largest figure."""
    names = (*PARTS, _PEAK, _HOST)
    known = (cell.metrics[name].mean for cell in cells for name in names if name in cell.metrics)
    return scale(_HOST, max(known, default=0))


def _names(rows: Sequence[CellSummary]) -> list[str]:
    """Columns: the parts that were measured and the device's peak, or the host's where no device was used."""
    found = [name for name in PARTS if any(name in cell.metrics for cell in rows)]
    peak = next((name for name in (_PEAK, _HOST) if any(name in cell.metrics for cell in rows)), None)
    return [*found, *([peak] if peak else [])]


def _column(name: str, rows: Sequence[CellSummary], how: Scale, ooms: _Ooms) -> Column:
    cells = []
    for cell in rows:
        spread = cell.metrics.get(name)
        before = [oom.peak for oom in ooms.get((cell.kind, cell.name), ()) if oom.peak is not None]
        if spread is not None:
            cells.append(number(spread.mean, how))
        else:
            cells.append(f"≥ {number(max(before), how)}" if before and name in _HEADINGS else NONE)
    return Column(heading=_HEADINGS.get(name, short_title(name)), cells=cells)


def _phases(rows: Sequence[CellSummary], ooms: _Ooms) -> list[Column]:
    """The phases of the peaks; of what ran out of memory, that it did and where."""

    def phases(cell: CellSummary) -> str:
        ended = [f"**oom** in {text(oom.phase)}" if oom.phase else "**oom**" for oom in _own(cell, ooms)]
        return ", ".join([*(text(phase) for phase in cell.peak_phases), *ended])

    found = [phases(cell) for cell in rows]
    return [Column(heading="peak in", cells=[phase or NONE for phase in found], align="left")] if any(found) else []


def _own(cell: CellSummary, ooms: _Ooms) -> Sequence[OutOfMemory]:
    return ooms.get((cell.kind, cell.name), ())


def _sentence(oom: OutOfMemory) -> str:
    """What ran out of memory, where, and what was asked for."""
    seeds = f"seed{'s' if len(oom.seeds) > 1 else ''} {', '.join(map(str, oom.seeds))}"
    where = f" in {text(oom.phase)}" if oom.phase else ""
    of = f" on {'the ' if oom.device in ('host', 'device') else ''}{text(oom.device)}" if oom.device else ""
    asked = f": {said(_HOST, oom.requested)} more were asked for" if oom.requested is not None else ""
    free = f", {said(_HOST, oom.free)} were free" if oom.requested is not None and oom.free is not None else ""
    return f"{text(called(oom.kind, oom.cell))} ({seeds}) ran out of memory{where}{of}{asked}{free}."


def _legend(rows: Sequence[CellSummary], how: Scale, ooms: _Ooms) -> str:
    if not any(_measured(cell, (*PARTS, _PEAK, _HOST)) for cell in rows):
        return ""
    lines = [f"{how.unit}, means over seeds."]
    if any("activation_memory" in cell.metrics for cell in rows):
        lines.append("Activations are what the peak holds above all else that is told here.")
    if _HOST in _names(rows):
        lines.append("The host's peak also holds rows and what libraries allocate in the worker.")
    if any(oom.peak is not None for found in ooms.values() for oom in found):
        lines.append("≥ marks what a trial that ran out of memory had held before the request that failed.")
    return "\n".join(lines)
