"""The built-in sources by name. A new one is one file and one line here."""

from __future__ import annotations

from typing import Any

from harness.data.arithmetic import ARITHMETIC
from harness.data.pydoc import PYDOC
from harness.data.source import Document, Source
from harness.errors import DataError, did_you_mean

SOURCES: dict[str, Source] = {source.name: source for source in (ARITHMETIC, PYDOC)}


def source_of(name: str) -> Source:
    """The source of this name.

    Raises:
        DataError: no such source.
    """
    if name not in SOURCES:
        raise DataError.of(f"unknown data source {name!r}", hint=did_you_mean(name, SOURCES))
    return SOURCES[name]


def heldout(source: str, **options: Any) -> list[Document]:
    """The held-out documents of a source, always the same for the same options; light, no torch.

    Raises:
        DataError: an unknown source or option.
    """
    chosen = source_of(source)
    return chosen.heldout(chosen.resolve(options))
