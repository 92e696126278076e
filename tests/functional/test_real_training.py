"""The main job through the real command line, with real training and real scoring."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Answer = subprocess.CompletedProcess[str]
Harness = Callable[..., Answer]

SMOKE = Path(__file__).parents[2] / "suites" / "smoke.yaml"

pytestmark = pytest.mark.slow


def test_the_smoke_suite_trains_scores_reports_and_resumes(tmp_path: Path, harness: Harness) -> None:
    first = harness("run", SMOKE, timeout=500)
    assert first.returncode == 0, first.stderr
    assert "report: reports/smoke/report.md" in first.stdout
    trials = {trial["name"]: trial for trial in json.loads(harness("list", "smoke", "--json").stdout)}
    assert {trial["outcome"] for trial in trials.values()} == {"ok"}
    assert trials["sft-s0"]["loss"] > 0

    shown = json.loads(harness("show", "sft-s0", "--json").stdout)
    assert shown["active"]["trainer"] == "SFTTrainer"
    assert shown["metrics"]["tokens_per_second"]["value"] > 0
    assert shown["scores"][0]["n_documents"] == 20
    scored = harness("query", "select count(*) as n from scores where task = 'arithmetic_mc'", "--csv")
    assert int(scored.stdout.splitlines()[1]) >= 3  # the floor and both trainings

    again = harness("run", SMOKE, timeout=120)
    assert again.returncode == 0, again.stderr
    assert "3 of 3 trials are finished already; 0 to run" in again.stderr
    assert "started" not in again.stderr
    assert "scoring" not in again.stderr
    assert again.stdout == first.stdout
