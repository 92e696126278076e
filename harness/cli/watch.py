"""Who watches a run: the live table, plain lines, or nobody."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.records.progress import Observer


@contextmanager
def observing(title: str, *, quiet: bool) -> Iterator[Observer]:
    """Nobody when quiet, the live table on a terminal, plain lines elsewhere."""
    if quiet:
        from harness.records.progress import Silent

        yield Silent()
    elif sys.stderr.isatty():
        from harness.cli.live import LiveTable

        with LiveTable(title) as observer:
            yield observer
    else:
        from harness.cli.plain import PlainLines

        yield PlainLines()
