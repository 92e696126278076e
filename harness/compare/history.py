"""A metric over all nights: series by cell and device, and the nights from which on each is at another level."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.compare.changes import LEAST, changes
from harness.compare.differences import of_environments
from harness.compare.judging import effect, ruled
from harness.compare.nights import nights
from harness.records.history import ChangePoint, History, Measured, Night, Past, Series
from harness.records.machine import machine
from harness.records.metrics import Metric
from harness.records.verdict import Run

_FLOOR = 0.1
"""Noise below this part of the metric's margin is taken as that much."""


def history(metric: Metric, past: Past) -> History:
    """The series of every cell on every device, in the order of suites, cells and devices.

    Environments differ along a series; only another device makes another one.
    """
    placed = _in_environments(past.attempts)
    known = past.environments
    series: dict[tuple[str, str, str], list[Measured]] = {}
    for one in placed:
        device = machine(known.get(one.environment or "", {})) or "unknown device"
        series.setdefault((one.suite, one.cell_id, device), []).append(one)
    made = [_series(metric, key[2], attempts, known) for key, attempts in series.items()]
    figureless = [one for one in made if _is_figureless(one)]
    made = [one for one in made if not _is_figureless(one)]
    made.sort(key=lambda one: (one.suite, one.cell, one.cell_id, one.device))
    return History(
        metric=metric.name,
        unit=metric.unit,
        series=tuple(_apart(made)),
        findings=tuple(_findings(made, figureless)),
    )


def _in_environments(attempts: Sequence[Measured]) -> list[Measured]:
    """Attempts that ended before they knew their environment get that of the others of their run, or of the attempt of
    their cell before: a night on which nothing came up still belongs to its series.
    """
    runs: dict[tuple[str, str], str] = {}
    cells: dict[tuple[str, str], str] = {}
    placed = []
    for one in attempts:
        if one.run is not None and one.environment is not None:
            runs.setdefault((one.suite, one.run), one.environment)
            cells.setdefault((one.suite, one.cell_id), one.environment)
    for one in attempts:
        place = (one.suite, one.cell_id)
        if one.environment is None:
            of_run = runs.get((one.suite, one.run)) if one.run is not None else None
            placed.append(replace(one, environment=of_run or cells.get(place)))
        else:
            cells[place] = one.environment
            placed.append(one)
    return placed


def _is_figureless(series: Series) -> bool:
    return all(night.state == "gap" for night in series.nights)


def _series(
    metric: Metric, device: str, attempts: Sequence[Measured], environments: Mapping[str, Mapping[str, Any]]
) -> Series:
    latest = attempts[-1]
    found = nights(attempts, metric.judged)
    series = Series(
        suite=latest.suite,
        cell_id=latest.cell_id,
        cell=latest.cell_name,
        kind=latest.kind,
        device=device,
        nights=tuple(found),
    )
    counted = [place for place, night in enumerate(found) if night.state == "counted"]
    if len(counted) < LEAST:
        said = "1 night counts" if len(counted) == 1 else f"{len(counted)} nights count"
        return replace(series, not_searched=f"{said}; it takes {LEAST} to look for changes")
    line = _line(metric, [found[place] for place in counted])
    at, noise = changes(line.values, floor=line.floor)
    bounds = [0, *at, len(counted)]
    points = [
        _change(metric, found, counted[start:middle], counted[middle:end], environments)
        for start, middle, end in zip(bounds, bounds[1:], bounds[2:], strict=False)
    ]
    return replace(series, changes=tuple(points), noise=math.expm1(noise) if line.in_logs else noise)


@dataclass(frozen=True, slots=True)
class _Line:
    """A series' values where equal changes are equal steps, and the least noise that is believed there."""

    values: list[float]
    floor: float
    in_logs: bool


def _line(metric: Metric, found: Sequence[Night]) -> _Line:
    values = [night.value for night in found if night.value is not None]
    margin = metric.margin.of(statistics.median(values))
    if metric.judged != "difference" and min(values) > 0:
        share = margin / statistics.median(values)
        return _Line([math.log(value) for value in values], _FLOOR * math.log1p(share), in_logs=True)
    return _Line(values, _FLOOR * margin or 1e-9, in_logs=False)


def _change(
    metric: Metric,
    found: Sequence[Night],
    before: Sequence[int],
    after: Sequence[int],
    environments: Mapping[str, Mapping[str, Any]],
) -> ChangePoint:
    old, new = found[before[-1]], found[after[0]]
    runs = [[Run(seed=place, value=found[place].value or 0.0) for place in side] for side in (before, after)]
    seen = effect(metric.judged, *runs)
    told = None if isinstance(seen, str) else seen
    ruling = None
    if told is not None and metric.better != "none":
        ruling = ruled(metric.name, told, metric.margin, metric.better).ruling
    differ = of_environments(_known(environments, old), _known(environments, new))
    return ChangePoint(
        night=after[0],
        after=before[-1],
        effect=told,
        ruling=ruling,
        environment=tuple(str(one) for one in differ),
        notes=tuple(_notes(found, before, after)),
    )


def _known(environments: Mapping[str, Mapping[str, Any]], night: Night) -> Mapping[str, Any]:
    return environments.get(night.environment or "", {})


def _notes(found: Sequence[Night], before: Sequence[int], after: Sequence[int]) -> list[str]:
    old, new = found[before[-1]], found[after[0]]
    notes = []
    between = after[0] - before[-1] - 1
    if between:
        said = "1 night between the two levels does" if between == 1 else f"{between} nights between the two levels do"
        notes.append(f"{said} not count: it may have come already then")
    if set(old.values) != set(new.values):
        notes.append(f"other seeds: {_seeds(old)} before, {_seeds(new)} after")
    return notes


def _seeds(night: Night) -> str:
    return ", ".join(map(str, night.values))


def _apart(series: Sequence[Series]) -> list[Series]:
    """Cells of one name that are not the same get the start of their id: an edited cell is another one."""
    ids: dict[tuple[str, str], set[str]] = {}
    for one in series:
        ids.setdefault((one.suite, one.cell), set()).add(one.cell_id)
    return [replace(one, cell=_named(one)) if len(ids[one.suite, one.cell]) > 1 else one for one in series]


def _named(one: Series) -> str:
    return f"{one.cell} [{one.cell_id[:8]}]"


def _findings(series: Sequence[Series], figureless: Sequence[Series]) -> list[str]:
    found = []
    if figureless:
        names = ", ".join(sorted({f"{one.suite}/{one.cell}" for one in figureless}))
        found.append(f"no attempt has a figure of {names}")
    devices: dict[tuple[str, str], set[str]] = {}
    for one in series:
        devices.setdefault((one.suite, one.cell_id), set()).add(one.device)
    several = sum(len(found) > 1 for found in devices.values())
    if several:
        cells = "1 cell" if several == 1 else f"{several} cells"
        found.append(f"{cells} ran on several devices: each has a series of its own")
    return found
