"""Baselines: trials of a suite in one small file, to be kept, committed, moved, and compared with."""

from __future__ import annotations

from harness.store.baselines.shelf import SUFFIX, Baselines, Kept

__all__ = ["SUFFIX", "Baselines", "Kept"]
