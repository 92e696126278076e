"""Figures as people read them: the title and unit of a metric, and as many digits as mean something.

The same in headlines, tables, charts and on the terminal, so that a figure never looks different in two places.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.records.metrics import metric
from harness.records.units import format_duration, format_size

_MIB, _GIB = 2**20, 2**30
_TITLES = {
    "tokens_per_second": "tokens/s",
    "padded_tokens_per_second": "padded tokens/s",
    "samples_per_second": "samples/s",
    "step_seconds_p50": "step time p50",
    "step_seconds_p90": "step time p90",
    "step_seconds_p99": "step time p99",
    "device_step_seconds_p50": "device time p50",
    "device_step_seconds_p90": "device time p90",
    "device_step_seconds_p99": "device time p99",
    "tokens_per_second_per_device": "tokens/s per device",
    "model_flops_per_second": "model FLOP/s",
    "mfu": "MFU",
    "hfu": "HFU",
    "mean_sm_clock": "mean SM clock",
    "max_grad_norm": "highest gradient norm",
    "max_temperature": "highest temperature",
    "train_seconds": "train time",
    "startup_seconds": "start-up time",
    "trial_seconds": "trial time",
    "final_reward_margin": "reward margin",
    "first_reward_margin": "first reward margin",
}
_LARGE = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"))
_IN_PREFIXES = ("FLOP", "FLOP/s")
_IN_THOUSANDTHS = {"s": ("ms", 0.1), "J/token": ("mJ/token", 0.1)}
"""Units whose figures, where all of a column are below this, are written in thousandths."""
_UNITS_NOT_SHOWN = ("score", "ratio", "nats", "parameters", "tokens", "steps", "tokens/s", "samples/s")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """How the figures of one column are written: divided by `divisor`, `unit` (may be empty) in the column's title."""

    unit: str
    divisor: float = 1.0
    decimals: int | None = None  # None: three significant digits


def title(name: str) -> str:
    """A metric in words, without its unit: `score.arithmetic_mc.acc` is `arithmetic_mc acc`."""
    if name.startswith("score.") and name.count(".") >= 2:
        task, _, kind = name.removeprefix("score.").rpartition(".")
        return f"{task} {kind}"
    return _TITLES.get(name, name.replace("_", " "))


def scale(name: str, largest: float) -> Scale:
    """The scale of a column whose largest figure is `largest`, in the metric's own unit."""
    known = metric(name)
    unit = known.unit if known else ""
    if unit == "bytes":
        if largest >= 10 * _GIB:
            return Scale(unit="GiB", divisor=_GIB)
        return Scale(unit="MiB", divisor=_MIB)
    if unit == "score" and abs(largest) <= 1:
        return Scale(unit="", decimals=3)
    if unit in _IN_PREFIXES:
        for divisor, prefix in _LARGE:
            if largest >= divisor:
                return Scale(unit=f"{prefix}{unit}", divisor=divisor)
    if unit in _IN_THOUSANDTHS and 0 < abs(largest) < _IN_THOUSANDTHS[unit][1]:
        return Scale(unit=_IN_THOUSANDTHS[unit][0], divisor=0.001)
    return Scale(unit="" if unit in _UNITS_NOT_SHOWN else unit)


def decimals(value: float) -> int:
    """Decimals that leave three significant digits, none from 100 on."""
    size = abs(value)
    if not math.isfinite(size) or size >= 99.95:
        return 0
    if size >= 9.995:
        return 1
    if size >= 0.9995 or size == 0:
        return 2
    return 3 if size >= 0.09995 else 4 if size >= 0.009995 else 5


def number(value: float, how: Scale, *, places: int | None = None) -> str:
    """One figure: 0.985, 12.3, 1,234; `places` overrides the number of decimals."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    scaled = value / how.divisor
    digits = places if places is not None else how.decimals if how.decimals is not None else decimals(scaled)
    if scaled and abs(scaled) < 0.001 and how.decimals is None and places is None:
        return f"{scaled:.2e}".replace("-", "−", 1) if scaled < 0 else f"{scaled:.2e}"
    text = f"{scaled:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")  # no −0.00
    return text.replace("-", "−")


def said(name: str, value: float) -> str:
    """A figure with its unit, for a sentence: 0.985, 1,234 tokens/s, 512 MiB, 2m 5s."""
    known = metric(name)
    unit = known.unit if known else ""
    if math.isfinite(value):
        if unit == "bytes":
            return format_size(value)
        if unit == "s" and not 0 < abs(value) < _IN_THOUSANDTHS["s"][1]:
            return format_duration(value)
    how = scale(name, value)
    text = number(value, how)
    shown = how.unit if how.unit and math.isfinite(value) else unit
    return text if unit in ("", "score", "ratio", "nats") else f"{text} {shown}"


def alike(name: str, one: float, other: float) -> bool:
    """Whether two figures read the same once they are rounded for a reader."""
    how = scale(name, max(abs(one), abs(other)))
    return number(one, how) == number(other, how)


def called(kind: str, name: str) -> str:
    """A cell in a sentence or on a chart: stages are said to be stages, once (the plan names them `stage-base`)."""
    return f"stage {name.removeprefix('stage-')}" if kind == "stage" else name
