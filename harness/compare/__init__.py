"""Results → an answer, a comparison of two sides, or a history; pure functions."""

from __future__ import annotations

from harness.compare.answer import answer
from harness.compare.comparison import compare
from harness.compare.history import history
from harness.compare.precision import undecided

__all__ = ["answer", "compare", "history", "undecided"]
