"""Results → an answer, or a comparison of two sides; pure functions."""

from __future__ import annotations

from harness.compare.answer import answer
from harness.compare.comparison import compare
from harness.compare.precision import undecided

__all__ = ["answer", "compare", "undecided"]
