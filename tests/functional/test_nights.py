"""A suite that runs every night, through the real command line: its history, and files for other tools."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

Answer = subprocess.CompletedProcess[str]
Harness = Callable[..., Answer]


def test_nights_are_kept_apart_and_exported(harness: Harness, tmp_path: Path, a_finished_run: Path) -> None:
    shutil.copytree(a_finished_run, tmp_path, dirs_exist_ok=True)
    night = ("run", "tiny.yaml", "--engine", "debug", "--quiet", "--no-score", "--force")
    assert harness(*night).returncode == 0
    assert harness(*night, "--pretend", "*0.002*=crash").returncode == 5

    told = harness("history", "tokens_per_second", "tiny.yaml", "--json", "--out", "speed.svg")
    assert told.returncode == 0, told.stderr
    series = json.loads(told.stdout)["series"]
    assert [[point["state"] for point in one["nights"]] for one in series] == [
        ["counted", "counted", "counted"],
        ["counted", "counted", "gap"],
    ]
    assert len({tuple(point["runs"]) for one in series for point in one["nights"]}) == 3
    assert (tmp_path / "speed.svg").read_text(encoding="utf-8").startswith("<?xml")

    rows = list(
        csv.DictReader(io.StringIO(harness("history", "tokens_per_second", "--only", "*0.002*", "--csv").stdout))
    )
    assert [(row["state"], row["outcomes"]) for row in rows][-1] == ("gap", "crashed=2")
    assert rows[-1]["value"] == ""
    text = harness("history", "tokens_per_second").stdout
    assert "3 nights count; it takes 6 to look for changes" in " ".join(text.split())

    junit = harness("export", "tiny", "--format", "junit", "--out", "made/junit.xml")
    assert junit.returncode == 0, junit.stderr
    assert "ended crashed; its figures are of attempt 2" in (tmp_path / "made" / "junit.xml").read_text(
        encoding="utf-8"
    )
    figures = harness("export", "tiny", "--format", "github-benchmark", "--out", "made")
    assert figures.stdout.split() == ["made/bigger.json", "made/smaller.json"]
    assert "figures of an earlier attempt" in figures.stderr
    summary = harness("export", "tiny", "--format", "github-summary", env={"GITHUB_STEP_SUMMARY": "step.md"})
    assert summary.stdout == "step.md\n"
    assert "1 crashed" in (tmp_path / "step.md").read_text(encoding="utf-8")


def test_what_is_asked_wrongly_is_told(harness: Harness, tmp_path: Path, a_finished_run: Path) -> None:
    shutil.copytree(a_finished_run, tmp_path, dirs_exist_ok=True)

    metric = harness("history", "tokens_per_secon")
    assert (metric.returncode, metric.stdout) == (2, "")
    assert "did you mean 'tokens_per_second'" in metric.stderr
    form = harness("export", "tinny", "--format", "csv")
    assert form.returncode == 2
    assert "did you mean 'tiny'" in form.stderr
    assert list(tmp_path.glob("*.csv")) == []
