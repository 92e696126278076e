"""Runs of two sides → a verdict; pure functions, each naming the source of its method."""

from __future__ import annotations

from harness.compare.judging.corrections import corrected
from harness.compare.judging.effects import effect
from harness.compare.judging.judge import judge, ruled

__all__ = ["corrected", "effect", "judge", "ruled"]
