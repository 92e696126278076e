"""Results → files that other tools read: one file per format, pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from harness.export import bencher, github_benchmark, github_summary, junit, pytest_benchmark, rows
from harness.export.checked import read as read_check
from harness.export.given import Files, Given, left_out

__all__ = ["FORMATS", "Files", "Format", "Given", "left_out", "read_check"]


class Make(Protocol):
    """Makes the files of one format."""

    def __call__(self, given: Given) -> Files:
        """Contents by name, whole, the same for the same results.

        Raises:
            InputError: the format has no place for what was asked, or nothing to hold.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """One format. `folder`: it comes to several files. `check`: it has a place for what a check said."""

    says: str
    make: Make
    folder: bool = False
    text: bool = True
    check: bool = False
    whole: bool = False  # it has every trial, those too whose figures do not count


FORMATS: Mapping[str, Format] = {
    "pytest-benchmark": Format(
        says="JSON that `pytest-benchmark compare` reads, and github-action-benchmark as tool `pytest`",
        make=pytest_benchmark.files,
    ),
    "github-benchmark": Format(
        says="bigger.json and smaller.json for github-action-benchmark's custom tools",
        make=github_benchmark.files,
        folder=True,
    ),
    "bencher": Format(says="Bencher Metric Format", make=bencher.files),
    "junit": Format(says="JUnit XML: a test case per trial and verdict", make=junit.files, check=True, whole=True),
    "github-summary": Format(
        says="Markdown for a step summary of GitHub Actions", make=github_summary.files, check=True, whole=True
    ),
    "csv": Format(says="every figure of every trial, one a row", make=rows.csv_files, whole=True),
    "parquet": Format(says="the same as Parquet", make=rows.parquet_files, text=False, whole=True),
}
