"""What the benchmarks share: figures are told at the end, beside what they must reach."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_told: list[str] = []

Tell = Callable[[str, str, str], None]


@pytest.fixture
def tell() -> Tell:
    """tell(figure, measured, bound): one line of the summary that `make bench` ends with."""

    def remember(figure: str, measured: str, bound: str) -> None:
        _told.append(f"{figure:<52} {measured:<44} must reach: {bound}")

    return remember


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures, one a line."""
    if _told:
        terminalreporter.section("figures")
        for line in _told:
            terminalreporter.write_line(line)
