"""Writes the report: report.md, and its charts beside it."""

from __future__ import annotations

from pathlib import Path

from harness.records.results import Answer
from harness.records.run_folder import write_atomic
from harness.report.charts import CHARTS, draw
from harness.report.markdown import markdown


def render(answer: Answer, folder: Path) -> Path:
    """Writes `<folder>/report.md` and its SVG charts, each whole or not at all, and returns the path of report.md.

    The charts come first, so that the text never names one that is not there; charts of an earlier report that
    this one lacks are removed.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = draw(answer)
    for chart, svg in drawn.items():
        write_atomic(folder / chart.file, svg)
    report = folder / "report.md"
    write_atomic(report, markdown(answer, tuple(drawn)))
    for chart in CHARTS:
        if chart not in drawn:
            (folder / chart.file).unlink(missing_ok=True)
    return report
