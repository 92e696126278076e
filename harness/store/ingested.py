"""What an ingest did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Ingested:
    """Counts of what was new or changed and is stored now; `unchanged` counts run folders left as they were.

    `problems` names what could not be read; everything else of those folders is stored. `renewed`: the database was of
    an earlier schema version, and has been made anew from the run folders it named.
    """

    trials: int = 0
    attempts: int = 0
    samples: int = 0
    scores: int = 0
    documents: int = 0
    unchanged: int = 0
    seconds: float = 0.0
    problems: Sequence[Problem] = ()
    renewed: bool = False
