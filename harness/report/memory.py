"""Memory by what holds it, cell by cell; cells that ran out of it; and what was predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.records.figures import Scale, called, number, said, scale
from harness.records.results import Answer, CellSummary, OutOfMemory, Prediction
from harness.report.format import NONE, short_title, signed_share, text
from harness.report.names import row_name
from harness.report.tables import Column, tables

PARTS = ("weight_memory", "reference_memory", "gradient_memory", "optimizer_memory", "activation_memory")
_PEAK, _HOST = "peak_allocated", "peak_host_memory"
_HEADINGS = {_PEAK: "peak", _HOST: "host's peak"}
_OF_BATCHES = ("activations", "peak", "device")
_MANY = 8
"""Rows above which parts that were predicted exactly are a sentence and no columns."""
_NO_BOUND = (
    "`device` is about what to expect, and no bound: where batches vary in length the allocator's cache "
    "grows beyond it."
)
_OUTSIDE = (
    "A phase behind an error: the measured peak fell there and in no step of the training, which alone is predicted. "
    "Batches of an evaluation are `per_device_eval_batch_size` rows."
)
_PREDICTED = ("weights", "reference", "gradients", "optimizer", *_OF_BATCHES)

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


def predicted(answer: Answer) -> str:
    """What the plan predicted beside what was measured; empty without predictions."""
    rows = answer.predictions
    if not rows:
        return ""
    measured = [part for part in _PREDICTED if any(part in row.predicted and part in row.measured for row in rows)]
    parts = measured or [part for part in _PREDICTED if any(part in row.predicted for row in rows)]
    exact = [part for part in measured if len(rows) > _MANY and _is_exact(part, rows)]
    parts = [part for part in parts if part not in exact] or parts
    largest = max(value for row in rows for values in (row.predicted, row.measured) for value in values.values())
    how = scale(_HOST, largest)
    names = {(cell.kind, cell.name): row_name(answer, cell) for cell in answer.cells}
    first = Column(
        heading="cell", cells=[names.get((row.kind, row.cell), text(row.cell)) for row in rows], align="left"
    )
    columns = [Column(heading=_heading(part), cells=[_beside(row, part, how) for row in rows]) for part in parts]
    legend = (
        f"{how.unit}: what the plan predicted, and how far that lies from the measured mean; "
        "oom where that ran out of memory."
        if any(not row.measured for row in rows)
        else f"{how.unit}: what the plan predicted, and how far that lies from the measured mean."
    )
    if "device" in parts:
        legend += f"\n{_NO_BOUND}"
    if any(row.loose and _compared(row, part) for row in rows for part in parts if part in _OF_BATCHES):
        legend += (
            "\n≤ marks a bound far above what real batches take: nothing cuts the rows there "
            "(`train.max_length: null`), and the longest are taken to have a token for each byte."
        )
    if any(row.outside and row.error("peak") is not None for row in rows):
        legend += f"\n{_OUTSIDE}"
    if exact:
        legend = f"As predicted, to a tenth of a per cent, in every cell: {', '.join(exact)}.\n{legend}"
    made = [f"## Predicted and measured memory\n\n{tables(first, columns)}", legend, _forwarded(rows, first, how)]
    return "\n\n".join(part for part in made if part)


def _is_exact(part: str, rows: Sequence[Prediction]) -> bool:
    """Whether a part that does not depend on batches came out everywhere as it was predicted."""
    errors = [row.error(part) for row in rows]
    return part not in _OF_BATCHES and all(error is None or abs(error) < 0.0005 for error in errors)


def _forwarded(rows: Sequence[Prediction], first: Column, how: Scale) -> str:
    """The same formulas for the largest batch that came: what is left of the error is theirs."""
    if not any(row.forwarded for row in rows):
        return ""
    batch = [NONE if row.batch is None else f"{row.batch[0]:,} × {row.batch[1]:,}" for row in rows]
    columns = [Column(heading="largest batch", cells=batch)]
    for part in ("peak", "device"):  # activations are those of the measured window: its batches may be smaller
        errors = [row.error(part, forwarded=True) for row in rows]
        if any(error is not None for error in errors):
            cells = [
                NONE if error is None else f"{number(row.forwarded[part], how)} ({_error(row, part, error)})"
                for row, error in zip(rows, errors, strict=True)
            ]
            columns.append(Column(heading=_heading(part), cells=cells))
    legend = (
        f"{how.unit}: what the same formulas give for the largest batch that was forwarded, in rows × positions. "
        "The plan has to assume rows of `max_length`; what is left of the error here is the formulas' own."
    )
    return f"{tables(first, columns)}\n\n{legend}"


def _heading(part: str) -> str:
    return "device ≈" if part == "device" else part


def _compared(row: Prediction, part: str) -> bool:
    return part in row.predicted and (part in row.measured or not row.measured)


def _beside(row: Prediction, part: str, how: Scale) -> str:
    predicted = row.predicted.get(part)
    if predicted is None or not _compared(row, part):
        return NONE
    error = row.error(part)
    beside = "oom" if not row.measured else NONE if error is None else _error(row, part, error)
    bound = "≤ " if row.loose and part in _OF_BATCHES else ""
    return f"{bound}{number(predicted, how)} ({beside})"


def _error(row: Prediction, part: str, error: float) -> str:
    """The error, and the phase of a peak that fell in no step."""
    return f"{signed_share(error)}, {row.outside}" if part == "peak" and row.outside else signed_share(error)
