"""Attempts of one cell → nights, the points of its series."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby

from harness.records.history import Measured, Night
from harness.records.metrics import Judged, middle

NIGHT = timedelta(hours=12)
"""How long after the last attempt of a night another run may still go on with it."""


@dataclass(slots=True)
class _Open:
    environment: str | None
    attempts: list[Measured] = field(default_factory=list)


def nights(attempts: Sequence[Measured], judged: Judged) -> list[Night]:
    """The nights of one cell, oldest first.

    A night is what one run measured of the cell in one environment. A run that goes on with another within `NIGHT`, in
    the same environment and repeating nothing that stood, belongs to the same night: so one that was stopped and went
    on, one that tried again what had failed or was disturbed, and one that added seeds. An attempt without a run is a
    run of its own. Nothing is left out: what does not count is told in the night.
    """
    found: list[_Open] = []
    for run in _runs(attempts):
        open_ = next((night for night in reversed(found) if night.environment == run[0].environment), None)
        if open_ is None or not _goes_on(open_, run):
            open_ = _Open(run[0].environment)
            found.append(open_)
        open_.attempts += run
    return sorted((_night(one, judged) for one in found), key=lambda night: night.at)


def _runs(attempts: Iterable[Measured]) -> list[list[Measured]]:
    """Attempts by run and environment, in the order the runs began."""
    in_order = sorted(attempts, key=lambda one: (one.at, one.trial_id, one.attempt))
    runs: dict[tuple[object, str | None], list[Measured]] = {}
    for one in in_order:
        runs.setdefault((one.run or (one.trial_id, one.attempt), one.environment), []).append(one)
    return list(runs.values())


def _goes_on(night: _Open, run: Sequence[Measured]) -> bool:
    last = max(one.at for one in night.attempts)
    standing = {one.trial_id for one in night.attempts if one.outcome == "ok" and not one.disturbed}
    return run[0].at - last <= NIGHT and not any(one.trial_id in standing for one in run)


def _night(night: _Open, judged: Judged) -> Night:
    standing = [one for trial in _by_trial(night.attempts) if (one := _counting(trial)) is not None]
    quiet = {one.seed: one.value for one in standing if not one.disturbed and one.value is not None}
    loud = {one.seed: one.value for one in standing if one.disturbed and one.value is not None}
    values = quiet or loud
    reasons = [reason for one in standing if one.disturbed for reason in one.disturbed]
    return Night(
        started_at=min(night.attempts, key=lambda one: one.at).started_at,
        runs=tuple(dict.fromkeys(one.run for one in night.attempts if one.run is not None)),
        environment=night.environment,
        state="counted" if quiet else "disturbed" if loud else "gap",
        value=middle(list(values.values()), judged) if values else None,
        values=dict(sorted(values.items())),
        outcomes=dict(sorted(Counter(one.outcome for one in night.attempts).items())),
        disturbed=tuple(dict.fromkeys(reasons)),
    )


def _by_trial(attempts: Iterable[Measured]) -> list[list[Measured]]:
    ordered = sorted(attempts, key=lambda one: one.trial_id)
    return [list(trial) for _, trial in groupby(ordered, key=lambda one: one.trial_id)]


def _counting(attempts: Sequence[Measured]) -> Measured | None:
    """A night's attempt that counts for a trial: its last `ok` one that nothing disturbed, else its last `ok` one."""
    fine = [one for one in attempts if one.outcome == "ok" and one.value is not None and math.isfinite(one.value)]
    quiet = [one for one in fine if not one.disturbed]
    return max(quiet or fine, key=lambda one: one.attempt, default=None)
