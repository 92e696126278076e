"""Keeps a long record small: every sample at first, then means and extremes of ever longer stretches.

A trial of a minute keeps each of its samples. After that one line stands for 2, then for 4, 8, … samples, so that
an hour at 10 Hz is some 3,600 lines and a day some 6,000. What lies between is in the lines: means, and where values
differed their least and their greatest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LINES = 600
"""Lines before the stretches get twice as long."""

_LAST = frozenset({"energy"})
_GREATEST = frozenset({"memory_used", "temperature", "others", "others_memory"})
"""What a line says of its stretch: a counter's last value, the greatest of what fills up or heats up, else the mean."""

Values = Mapping[str, float | None]


@dataclass
class Thinned:
    """Samples in, lines out; None stands for a value that could not be read, and never gets mixed with one that was."""

    lines: int = LINES
    _stretch: int = 1
    _written: int = 0
    _held: list[tuple[float, Values]] = field(default_factory=list)

    def add(self, t: float, values: Values) -> list[dict[str, Any]]:
        """The lines that are complete with this sample."""
        out: list[dict[str, Any]] = []
        if self._held and _missing(values) != _missing(self._held[-1][1]):
            out += self.flush()
        self._held.append((t, values))
        if len(self._held) >= self._stretch:
            out += self.flush()
        return out

    def flush(self) -> list[dict[str, Any]]:
        """The line of what is held, if anything is."""
        if not self._held:
            return []
        line = _line(self._held)
        self._held = []
        self._written += 1
        if self._written >= self.lines:
            self._written, self._stretch = 0, self._stretch * 2
        return [line]


def _missing(values: Values) -> frozenset[str]:
    return frozenset(name for name, value in values.items() if value is None)


def _line(held: list[tuple[float, Values]]) -> dict[str, Any]:
    """`t` of the last sample, `samples`, `values`, and `low` and `high` of those that are means of different values."""
    t, last = held[-1]
    if len(held) == 1:
        return {"t": round(t, 6), "values": {name: _short(value) for name, value in last.items()}}
    values: dict[str, float | None] = {}
    low: dict[str, float | None] = {}
    high: dict[str, float | None] = {}
    for name in dict.fromkeys(name for _, sample in held for name in sample):
        # A reason that is not named in a sample did not hold then.
        found = [sample.get(name, 0.0) for _, sample in held]
        known = [value for value in found if value is not None]
        if len(known) < len(found):
            values[name] = None
            continue
        values[name] = _short(_of_stretch(name, known))
        if name not in _LAST and name not in _GREATEST and min(known) < max(known):
            low[name], high[name] = _short(min(known)), _short(max(known))
    extremes = {"low": low, "high": high} if low else {}
    return {"t": round(t, 6), "samples": len(held), "values": values, **extremes}


def _of_stretch(name: str, known: list[float]) -> float:
    if name in _LAST:
        return known[-1]
    return max(known) if name in _GREATEST else math.fsum(known) / len(known)


def _short(value: float | None) -> float | None:
    """Three decimals are finer than any sensor, and a whole number needs none."""
    if value is None:
        return None
    rounded = round(value, 3)
    return int(rounded) if rounded == int(rounded) else rounded
