"""What a suite's file still says of results that are stored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.errors import SuiteError
from harness.records.metrics import Margin
from harness.records.progress import Observer
from harness.records.results import SuiteResults
from harness.suite.load import load


def margins_stored(results: SuiteResults, observer: Observer) -> Mapping[str, Margin]:
    """Those of the suite's file, if it is still there and still is of this suite."""
    file = Path(results.suite_file)
    if not results.suite_file or not file.is_file():
        return {}
    try:
        found = load(file, say=None)
    except SuiteError:
        observer.message(f"{file} is not right any more: margins of this suite are those of the metrics")
        return {}
    return found.margins if found.name == results.suite else {}
