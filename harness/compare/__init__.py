"""Results → an answer, a comparison of two sides, what axes do, or a history; pure functions."""

from __future__ import annotations

from harness.compare.answer import answer, effects
from harness.compare.comparison import compare
from harness.compare.history import history
from harness.compare.precision import undecided
from harness.compare.summary import measured

__all__ = ["answer", "compare", "effects", "history", "measured", "undecided"]
