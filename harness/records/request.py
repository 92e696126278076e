"""What somebody asks for: where things lie, and which trials of a suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where things lie. `results` holds run folders and the database, `reports` the rendered reports."""

    results: Path = Path("results")
    reports: Path = Path("reports")

    @property
    def database(self) -> Path:
        return self.results / "harness.duckdb"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Which trials of a suite, and what to do with those that were tried before."""

    only: Sequence[str] = ()
    skip: Sequence[str] = ()
    retry: Literal["none", "failed", "disturbed"] = "none"
    force: bool = False
