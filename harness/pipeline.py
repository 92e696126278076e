"""The story: a suite file becomes a plan, a plan becomes run folders, run folders become an answer.

This is the only file that knows the order of the stages; each of them does its part and knows no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness import compare, execute, plan, report, score, suite
from harness.errors import FolderError, InputError, Problem
from harness.methods import catalog
from harness.records.outcome import Outcome
from harness.records.plan import Plan
from harness.records.progress import Observer
from harness.records.results import Answer
from harness.records.run_folder import RunFolder, run_folders, suite_folder
from harness.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where things lie. `results` holds run folders and harness.duckdb, `reports` the rendered reports."""

    results: Path = Path("results")
    reports: Path = Path("reports")

    @property
    def store(self) -> Store:
        return Store(self.results / "harness.duckdb")


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Which trials of a suite, and what to do with those that were tried before."""

    only: Sequence[str] = ()
    skip: Sequence[str] = ()
    retry: Literal["none", "failed"] = "none"
    force: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What a run came to: how every chosen trial ended, what was scored, the answer and its report."""

    outcomes: Mapping[str, Outcome]
    scores: score.ScoreReport | None
    answer: Answer
    report: Path

    @property
    def failed(self) -> list[str]:
        """Ids of trials that ended otherwise than `ok`."""
        return [trial for trial, outcome in self.outcomes.items() if outcome.outcome != "ok"]


@dataclass(kw_only=True, slots=True)
class _Ingesting:
    """Takes each finished run folder into the store at once, so that queries see it while the suite runs."""

    store: Store
    problems: list[Problem] = field(default_factory=list)

    def __call__(self, folder: RunFolder) -> None:
        self.problems.extend(self.store.ingest([folder]).problems)
