"""Trials to export, made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.export import FORMATS, Given
from harness.records.results import TrialResult

ENVIRONMENT = {
    "hash": "e1",
    "python": "3.11.7",
    "implementation": "CPython",
    "platform": {"system": "Linux", "machine": "x86_64", "release": "6.1"},
    "cpu": {"model": "Some CPU", "usable": 2},
    "harness": {"version": "0.1.0", "commit": "abc", "dirty": False},
}


def trial(cell: str, seed: int, metrics: Mapping[str, float] | None = None, **changes: Any) -> TrialResult:
    """One that ended ok at its first attempt."""
    fields: dict[str, Any] = {
        "trial_id": f"{cell}-id-{seed}",
        "cell_id": f"{cell}-id",
        "name": f"{cell}-s{seed}",
        "cell_name": cell,
        "kind": "cell",
        "levels": {"recipe": cell},
        "seed": seed,
        "method": "sft",
        "outcome": "ok",
        "phase": None,
        "cause": None,
        "attempts": 1,
        "environment": "e1",
        "metrics": dict(metrics or {}),
        "counted": 1,
        "last_outcome": "ok",
    }
    return TrialResult(**(fields | changes))


def figures(speed: float) -> dict[str, float]:
    return {
        "tokens_per_second": speed,
        "step_seconds_p50": 1 / speed,
        "peak_host_memory": 2.0**30,
        "trial_seconds": 12.5,
        "score.arithmetic_mc.acc": 0.9,
        "measured_steps": 50.0,
    }


def given(*trials: TrialResult, **changes: Any) -> Given:
    """Two cells of two seeds where no trials are given."""
    made = trials or tuple(trial(cell, seed, figures(100 + seed)) for cell in ("dpo", "sft") for seed in (0, 1))
    fields: dict[str, Any] = {
        "suite": "nightly",
        "trials": made,
        "environments": {"e1": ENVIRONMENT},
        "measured_at": "2026-11-22T10:00:30Z",
    }
    return Given(**(fields | changes))


def export(form: str, what: Given) -> str:
    """The one text file of a format."""
    (content,) = FORMATS[form].make(what).values()
    assert isinstance(content, str)
    return content


CHECK: dict[str, Any] = {
    "exit_code": 1,
    "baseline": "h100",
    "rules": {"strict": False, "fail_on_improvement": False, "allow_missing": False},
    "verdicts": [
        {
            "cell": "sft",
            "metric": "tokens_per_second",
            "ruling": "regressed",
            "effect": {"kind": "ratio", "value": 0.9, "low": 0.89, "high": 0.91, "reference": 1000.0},
            "why": "",
        },
        {"cell": "sft", "metric": "final_loss", "ruling": "equivalent", "effect": None, "why": ""},
        {"cell": "dpo", "metric": "final_loss", "ruling": "insufficient", "effect": None, "why": "one run a side"},
        {
            "cell": "dpo",
            "metric": "tokens_per_second",
            "ruling": "improved",
            "effect": {"kind": "ratio", "value": 1.1, "low": 1.09, "high": 1.11, "reference": 1.0},
            "why": "",
        },
    ],
    "missing": [
        {"cell": "orpo", "why": "it has no trials", "metric": None},
        {"cell": "sft", "why": "it is judged above", "metric": "tokens_per_second"},
    ],
    "refused": [{"cell": "sft", "metric": "score.a.acc", "why": "other documents"}],
    "ended": [{"cell": "dpo", "outcome": "oom", "before": [0, 2], "now": [2, 2]}],
}
