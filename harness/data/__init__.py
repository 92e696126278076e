"""Sources and formats → datasets, with a fingerprint. Light to import; `load` imports datasets when called."""

from __future__ import annotations

from harness.data.ask import ask_previews
from harness.data.check import check, speaks
from harness.data.formats import detect
from harness.data.identity import identity
from harness.data.prepare import Prepared, load
from harness.data.source import Document, Option, Row, Source
from harness.data.sources import SOURCES, heldout

__all__ = [
    "SOURCES",
    "Document",
    "Option",
    "Prepared",
    "Row",
    "Source",
    "ask_previews",
    "check",
    "detect",
    "heldout",
    "identity",
    "load",
    "speaks",
]
