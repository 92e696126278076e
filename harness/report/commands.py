"""Commands that a reader may copy."""

from __future__ import annotations

from harness.records.results import Answer
from harness.report.format import quoted, shown_path

_RESULTS = "results"


def run(answer: Answer) -> str:
    """`harness run` of this suite."""
    return f"harness run {word(shown_path(answer.suite_file))}{where(answer)}"


def where(answer: Answer) -> str:
    """The option that finds the run folders, where they do not lie in the usual place."""
    return within(answer.results)


def within(results: str) -> str:
    """The option that finds run folders in `results`, where that is not the usual place."""
    folder = shown_path(results)
    return "" if folder == _RESULTS else f" --results {word(folder)}"


def word(value: str) -> str:
    """One word of a shell's line, quoted where it must be."""
    plain = all(c.isalnum() or c in "/._-+=" for c in value)
    return value if plain and value else quoted(value)
