"""Runs of two sides → a verdict; pure functions, each naming the source of its method."""

from __future__ import annotations

from harness.compare.judging.corrections import adjusted, corrected
from harness.compare.judging.documents import judge_documents
from harness.compare.judging.effects import effect
from harness.compare.judging.flips import flips
from harness.compare.judging.judge import judge, ruled
from harness.compare.judging.pairing import paired

__all__ = ["adjusted", "corrected", "effect", "flips", "judge", "judge_documents", "paired", "ruled"]
