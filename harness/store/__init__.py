"""Run folders → DuckDB; the only user of duckdb."""

from __future__ import annotations

from harness.store.ingested import Ingested
from harness.store.ingesting import Ingesting
from harness.store.store import Store
from harness.store.table import Table

__all__ = ["Ingested", "Ingesting", "Store", "Table"]
