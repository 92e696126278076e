"""Results → an answer, a comparison of two sides, or what axes do; pure functions."""

from __future__ import annotations

from harness.compare.answer import answer, effects
from harness.compare.comparison import compare

__all__ = ["answer", "compare", "effects"]
