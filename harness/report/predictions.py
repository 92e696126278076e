"""What the plan predicted of memory beside what was measured, cell by cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.records.figures import Scale, number, scale
from harness.records.results import Answer, Prediction
from harness.report.format import NONE, signed_share, text
from harness.report.names import row_name
from harness.report.tables import Column, tables

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
_UNBOUNDED = (
    "≤ marks a bound far above what real batches take: nothing cuts the rows there "
    "(`train.max_length: null`), and the longest are taken to have a token for each byte."
)


def predicted(answer: Answer) -> str:
    """The section; empty without predictions."""
    rows = answer.predictions
    if not rows:
        return ""
    parts, exact = _parts(rows)
    largest = max(value for row in rows for value in (*row.predicted.values(), *row.measured.values()))
    how = scale("peak_host_memory", largest)
    names = {(cell.kind, cell.name): row_name(answer, cell) for cell in answer.cells}
    cells = [names.get((row.kind, row.cell), text(row.cell)) for row in rows]
    first = Column(heading="cell", cells=cells, align="left")
    columns = [Column(heading=_heading(part), cells=[_beside(row, part, how) for row in rows]) for part in parts]
    legend = "\n".join(_legend(rows, parts, exact, how))
    made = [f"## Predicted and measured memory\n\n{tables(first, columns)}", legend, _forwarded(rows, first, how)]
    return "\n\n".join(part for part in made if part)


def _parts(rows: Sequence[Prediction]) -> tuple[list[str], list[str]]:
    """Parts with a column, of those measured where any was; and parts that need none, having come out as predicted."""
    measured = [part for part in _PREDICTED if any(part in row.predicted and part in row.measured for row in rows)]
    parts = measured or [part for part in _PREDICTED if any(part in row.predicted for row in rows)]
    exact = [part for part in measured if len(rows) > _MANY and _is_exact(part, rows)]
    return [part for part in parts if part not in exact] or parts, exact


def _legend(rows: Sequence[Prediction], parts: Sequence[str], exact: Sequence[str], how: Scale) -> Iterator[str]:
    if exact:
        yield f"As predicted, to a tenth of a per cent, in every cell: {', '.join(exact)}."
    ran_out = "" if all(row.measured for row in rows) else "; oom where that ran out of memory"
    yield f"{how.unit}: what the plan predicted, and how far that lies from the measured mean{ran_out}."
    if "device" in parts:
        yield _NO_BOUND
    if any(row.loose and _compared(row, part) for row in rows for part in parts if part in _OF_BATCHES):
        yield _UNBOUNDED
    if any(row.outside and row.error("peak") is not None for row in rows):
        yield _OUTSIDE


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
