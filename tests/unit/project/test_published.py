"""Published reports and the figures they were made of lie side by side, and say the same."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from harness.store.baselines import Baselines

ROOT = Path(__file__).parents[3]
REPORTS = sorted((ROOT / "reports" / "reference").iterdir())


@pytest.mark.parametrize("report", REPORTS, ids=lambda path: path.name)
def test_a_published_report_tells_the_published_figures(report: Path) -> None:
    text = (report / "report.md").read_text(encoding="utf-8")
    published = Baselines(ROOT / "results" / "reference").load(report.name)
    speeds: dict[str, list[float]] = {}
    for trial in published.results.trials:
        if trial.kind == "cell" and trial.outcome == "ok":
            speeds.setdefault(trial.cell_name, []).append(trial.metrics["tokens_per_second"])
    assert speeds
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for cell, found in speeds.items():
        mean = re.compile(rf"[ *]{math.fsum(found) / len(found):,.0f}[ *]")
        assert any(row.startswith((f"| {cell} ", f"| {cell}†")) and mean.search(row) for row in rows), (cell, mean)
    assert all(device.partition(",")[0] in text for device in published.devices)


def test_every_published_result_has_its_report() -> None:
    kept = Baselines(ROOT / "results" / "reference").list()
    assert [one.name for one in kept] == [report.name for report in REPORTS]
    assert [one.problem for one in kept] == [None] * len(REPORTS)
