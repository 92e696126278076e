"""Results → an answer; pure functions."""

from __future__ import annotations

from harness.compare.answer import answer

__all__ = ["answer"]
