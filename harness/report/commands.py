"""Commands of a report's suite."""

from __future__ import annotations

from harness.records import commands
from harness.records.results import Answer


def run(answer: Answer) -> str:
    """`harness run` of this suite."""
    return commands.run(answer.suite_file, answer.results, answer.reports)


def where(answer: Answer) -> str:
    """The option that finds the run folders, where they do not lie in the usual place."""
    return commands.within(answer.results)
