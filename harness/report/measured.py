"""Figures beside those of the main table: compute and energy, steps, and what starting a trial takes. Means only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from harness.records.figures import Scale, number
from harness.records.metrics import metric
from harness.records.results import Answer, CellSummary
from harness.report.format import NONE, column_scale, heading, share, short_title
from harness.report.names import row_name
from harness.report.tables import Column, tables

_OF_COMPUTE = ("mfu", "hfu", "model_flops_per_second", "tokens_per_second_per_device")
_OF_ENERGY = ("mean_power", "energy_per_token", "mean_sm_clock", "mean_device_utilization", "max_temperature")
_STEPS = ("step_seconds_p50", "step_seconds_p90", "step_seconds_p99", "device_step_seconds_p50", "data_share")
_STARTUP = ("import_seconds", "model_seconds", "data_seconds", "trainer_seconds", "first_step_seconds")
_MS_BELOW = 0.1  # seconds


def compute(answer: Answer) -> str:
    """FLOPs, energy and what the device did; empty where none of it was measured."""
    left_out = set() if _several_devices(answer) else {"tokens_per_second_per_device"}
    left_out |= {"model_flops_per_second"} if _measured(answer, "mfu") else set()
    names = [name for name in (*_OF_COMPUTE, *_OF_ENERGY) if name not in left_out and _measured(answer, name)]
    rows = _rows(answer, names)
    if not rows:
        return ""
    legend = "Means over seeds, of the measured window."
    if _measured(answer, "mfu"):
        legend += (
            "\nMFU is the share of the device's peak that the mathematics ask for; HFU counts what was done,\n"
            "recomputation and padding included."
        )
    title = "Compute" if not set(names) - set(_OF_COMPUTE) else "Compute and energy"
    return f"## {title}\n\n{_table(answer, rows, [_column(name, rows) for name in names])}\n\n{legend}"


def _several_devices(answer: Answer) -> bool:
    """Whether a rate per device says anything that the rate itself does not."""
    names = ("tokens_per_second_per_device", "tokens_per_second")
    both = [[cell.metrics[name].mean for name in names] for cell in answer.cells if set(names) <= set(cell.metrics)]
    return any(per_device < 0.99 * whole for per_device, whole in both)


def steps(answer: Answer) -> str:
    """How long steps take and what they wait for; empty where the table of costs tells as much."""
    times = [name for name in _STEPS if name != "data_share"]
    rows = _rows(answer, times)
    if not rows:
        return ""
    how = _of_seconds(cell.metrics[name].mean for cell in rows for name in times if name in cell.metrics)
    columns = [_column(name, rows, how) for name in _STEPS if any(name in cell.metrics for cell in rows)]
    beside = ", and the device's time," if _on_device(rows) else ""
    legend = f"Wall time of optimizer steps{beside} in {how.unit}, means over seeds, of the measured window."
    return f"## Steps\n\n{_table(answer, rows, columns)}\n\n{legend}"


def _on_device(rows: Sequence[CellSummary]) -> bool:
    return any("device_step_seconds_p50" in cell.metrics for cell in rows)


def startup(answer: Answer) -> str:
    """The parts of a start, in their order; empty where they were not measured."""
    names = [name for name in _STARTUP if _measured(answer, name)]
    rows = _rows(answer, names)
    if not rows:
        return ""
    columns = [_column(name, rows, Scale(unit="s", decimals=2)) for name in names]
    legend = "Seconds, means over seeds, one after the other; tokenizing is in the trainer's."
    return f"## Start-up\n\n{_table(answer, rows, columns)}\n\n{legend}"


def _measured(answer: Answer, name: str) -> bool:
    return any(name in cell.metrics for cell in answer.cells)


def _rows(answer: Answer, names: Sequence[str]) -> list[CellSummary]:
    return [cell for cell in answer.cells if any(name in cell.metrics for name in names)]


def _of_seconds(values: Iterable[float]) -> Scale:
    """ms where one of the figures is short, so that it has digits to compare."""
    least = min((value for value in values if math.isfinite(value)), default=1.0)
    return Scale(unit="ms", divisor=0.001) if least < _MS_BELOW else Scale(unit="s")


def _table(answer: Answer, rows: Sequence[CellSummary], columns: Sequence[Column]) -> str:
    return tables(Column(heading="cell", cells=[row_name(answer, cell) for cell in rows], align="left"), columns)


def _column(name: str, rows: Sequence[CellSummary], how: Scale | None = None) -> Column:
    """Means of one metric; ratios in per cent. `how` is the scale of the whole table, which its legend tells."""
    known = metric(name)
    if known is not None and known.unit == "ratio":
        cells = [share(cell.metrics[name].mean) if name in cell.metrics else NONE for cell in rows]
        return Column(heading=short_title(name), cells=cells)
    own = how or column_scale(name, rows)
    cells = [number(cell.metrics[name].mean, own) if name in cell.metrics else NONE for cell in rows]
    return Column(heading=short_title(name) if how else heading(name, own, "none"), cells=cells)
