"""Made-up trials and outcomes for the command line's tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from harness.records.outcome import Outcome, OutcomeName
from harness.records.plan import Cell, Kind, Trial

MakeTrial = Callable[..., Trial]
MakeOutcome = Callable[..., Outcome]


@pytest.fixture
def trial_of() -> MakeTrial:
    def make(name: str, method: str | None = "sft", seed: int = 0, expect: str = "ok") -> Trial:
        kind: Kind = "floor" if method is None else "cell"
        config = {"method": method, "limits": {"expect": expect}}
        cell = Cell(id=f"cell-{name}", name=name, kind=kind, levels={}, config=config)
        return Trial(id=f"id-{name}-{seed}", name=f"{name}-s{seed}", cell=cell, seed=seed)

    return make


@pytest.fixture
def outcome_of() -> MakeOutcome:
    def make(
        outcome: OutcomeName = "ok",
        *,
        seconds: float = 10.0,
        cause: str | None = None,
        summary: Mapping[str, float] | None = None,
    ) -> Outcome:
        return Outcome(
            outcome=outcome,
            attempt=1,
            started_at="2026-01-01T00:00:00+00:00",
            ended_at="2026-01-01T00:00:10+00:00",
            duration_s=seconds,
            phase="train",
            cause=cause,
            summary=summary or {},
        )

    return make
