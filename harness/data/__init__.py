"""Sources and formats → datasets, with a fingerprint."""

from __future__ import annotations

from harness.data.identity import identity
from harness.data.source import Document, Option, Row, Source
from harness.data.sources import SOURCES, heldout

__all__ = ["SOURCES", "Document", "Option", "Row", "Source", "heldout", "identity"]
