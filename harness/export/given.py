"""What is exported: chosen trials of one suite, and what a check said of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import InputError, did_you_mean
from harness.records.figures import called
from harness.records.metrics import Metric, metric, middle
from harness.records.results import TrialResult

MAIN = ("tokens_per_second", "step_seconds_p50", "peak_device_memory", "peak_host_memory", "final_loss")
"""Exported, beside every score, where no metric is asked for."""

Files = Mapping[str, str | bytes]
"""Contents by name inside the folder that was asked for; the empty name is the file itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """`trials` are those chosen, in the order of their names. `asked`: metrics by name; none: the format's usual ones.

    `measured_at` is when the last of the suite's attempts ended (ISO 8601), `check` the document of
    `harness check --json`.
    """

    suite: str
    trials: Sequence[TrialResult]
    environments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    asked: Sequence[str] = ()
    measured_at: str | None = None
    check: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """One metric of one cell: its counted figures by seed. `label` tells cells of one name apart."""

    label: str
    metric: Metric
    values: Mapping[int, float]
    levels: Mapping[str, str]

    @property
    def value(self) -> float:
        """Over the seeds, as verdicts take it."""
        return middle(list(self.values.values()), self.metric.judged)

    @property
    def sd(self) -> float | None:
        """Sample standard deviation; None below two seeds."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None

    @property
    def seeds(self) -> str:
        """`seeds: 0, 1, 2`."""
        return f"seed{'s' if len(self.values) > 1 else ''}: {', '.join(map(str, self.values))}"


def usual(given: Given) -> list[Metric]:
    """The metrics asked for, else the main ones and all scores, as far as one of the trials has them.

    Raises:
        InputError: a metric that was asked for and that no trial has.
    """
    there = {name for trial in given.trials for name in trial.metrics}
    if missing := [name for name in given.asked if name not in there]:
        hint = did_you_mean(missing[0], there) if there else "none has any figure"
        raise InputError.of(f"no chosen trial has {', '.join(missing)}", hint=hint)
    scores = sorted(name for name in there if name.startswith("score."))
    names = given.asked or [*(name for name in MAIN if name in there), *scores]
    return [known for name in names if (known := metric(name)) is not None]


def labels(trials: Sequence[TrialResult]) -> dict[tuple[str, str], str]:
    """What each cell is called, by kind and id; cells of one name carry the start of their id."""
    cells = {(trial.kind, trial.cell_id): called(trial.kind, trial.cell_name) for trial in trials}
    names = list(cells.values())
    return {key: name if names.count(name) == 1 else f"{name} [{key[1][:8]}]" for key, name in cells.items()}


def counts(trial: TrialResult) -> bool:
    """Whether its figures go into those of its cell."""
    return trial.outcome == "ok" and not trial.disturbed and not trial.stale


def figures(given: Given, metrics: Sequence[Metric]) -> list[Figures]:
    """Each metric of each cell that has it: finite figures of trials whose latest attempt ended ok and undisturbed."""
    names = labels(given.trials)
    found: dict[tuple[str, str], list[TrialResult]] = {key: [] for key in names}
    for trial in given.trials:
        if counts(trial):
            found[trial.kind, trial.cell_id].append(trial)
    made = []
    for key, trials in found.items():
        for one in metrics:
            values = {
                trial.seed: trial.metrics[one.name]
                for trial in sorted(trials, key=lambda trial: trial.seed)
                if one.name in trial.metrics and math.isfinite(trial.metrics[one.name])
            }
            if values:
                made.append(Figures(label=names[key], metric=one, values=values, levels=trials[0].levels))
    return made


def left_out(given: Given) -> list[str]:
    """Sentences: trials whose figures files of figures alone do not have."""
    bad = [trial for trial in given.trials if trial.outcome != "ok"]
    fine = [trial for trial in given.trials if trial.outcome == "ok"]
    odd = [trial.name for trial in fine if any(not math.isfinite(value) for value in trial.metrics.values())]
    told = {
        "did not end well": [trial.name for trial in bad if trial.failed or trial.outcome is None],
        "ended badly, as expected": [trial.name for trial in bad if not trial.failed and trial.outcome is not None],
        "were disturbed": [trial.name for trial in fine if trial.disturbed],
        "have figures of an earlier attempt than the latest": [trial.name for trial in fine if trial.stale],
        "have figures that are not finite": odd,
    }
    return [f"left out: {len(names)} that {why} ({_few(names)})" for why, names in told.items() if names]


def _few(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def nothing(what: str) -> InputError:
    """The error for a file that would be empty: readers take an empty one for an empty history."""
    return InputError.of(
        f"there is nothing to export: {what}",
        why="no chosen trial ended ok and undisturbed with such a figure",
        hint="see `harness list SUITE`; --metric asks for other metrics",
    )
