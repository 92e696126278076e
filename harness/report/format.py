"""Figures and text as they stand in the report."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from harness.records.figures import Scale, decimals, number, scale, title
from harness.records.metrics import Direction
from harness.records.results import CellSummary, Spread

NONE = "—"
_SHORT = {
    "peak_host_memory": "host memory",
    "peak_device_memory": "device memory",
    "startup_seconds": "start-up",
    "weight_memory": "weights",
    "reference_memory": "reference",
    "gradient_memory": "gradients",
    "optimizer_memory": "optimizer",
    "activation_memory": "activations",
    "step_seconds_p50": "step p50",
    "step_seconds_p90": "step p90",
    "step_seconds_p99": "step p99",
    "data_share": "data wait",
    "device_step_seconds_p50": "device p50",
    "energy_per_token": "energy",
    "model_flops_per_second": "model FLOPs",
    "import_seconds": "import",
    "model_seconds": "model",
    "data_seconds": "data",
    "trainer_seconds": "trainer",
    "first_step_seconds": "first step",
    "mean_power": "power",
    "mean_device_utilization": "utilization",
    "mean_sm_clock": "SM clock",
    "max_temperature": "highest temp.",
}
_ARROWS = {"higher": " ↑", "lower": " ↓", "none": ""}


def column_scale(name: str, cells: Sequence[CellSummary]) -> Scale:
    """One scale for a whole column, by its largest mean."""
    means = [abs(cell.metrics[name].mean) for cell in cells if name in cell.metrics]
    return scale(name, max(means, default=0.0))


def short_title(name: str) -> str:
    """A metric's title where columns are narrow."""
    return _SHORT.get(name, title(name))


def heading(name: str, how: Scale, better: Direction) -> str:
    """`host memory, MiB ↓`."""
    return f"{short_title(name)}{', ' if how.unit else ''}{how.unit}{_ARROWS[better]}"


def figure(spread: Spread | None, how: Scale) -> str:
    """`0.985 ± 0.007`; the mean alone for one value, a dash for none."""
    if spread is None:
        return NONE
    places = how.decimals if how.decimals is not None else decimals(spread.mean / how.divisor)
    tiny = spread.mean and abs(spread.mean / how.divisor) < 0.001 and how.decimals is None
    mean = number(spread.mean, how, places=None if tiny else places)
    if spread.sd is None:
        return mean
    return f"{mean} ± {number(spread.sd, how, places=None if tiny else places)}"


def share(value: float) -> str:
    """A ratio in per cent: 3.2%, 41.3%."""
    return f"{number(100 * value, Scale(unit=''), places=1)}{'%' if math.isfinite(value) else ''}"


def signed_share(value: float) -> str:
    """An error in per cent: +3.2%, −11%, 0%."""
    places = 0 if abs(value) >= 0.0995 else 1
    said = f"{number(100 * value, Scale(unit=''), places=places)}{'%' if math.isfinite(value) else ''}"
    return "0%" if said == "0.0%" else f"+{said}" if value > 0 else said


def text(value: str) -> str:
    """Anybody's text as Markdown that shows it as it is, on one line."""
    escaped = re.sub(r"([\\`*|\[\]]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", " ".join(value.split()))  # a_b means nothing
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", escaped)


def shortened(value: str, most: int) -> str:
    """At most so many characters, on one line, cut with an ellipsis."""
    line = " ".join(value.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
