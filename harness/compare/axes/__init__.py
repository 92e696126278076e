"""A matrix → what each of its axes does; pure functions."""

from __future__ import annotations

from harness.compare.axes.effects import axis_effects
from harness.compare.axes.planned import axes_of, effects_of

__all__ = ["axes_of", "axis_effects", "effects_of"]
