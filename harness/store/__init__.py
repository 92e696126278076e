"""Run folders → DuckDB, whose only user it is; and trials kept as baselines."""

from __future__ import annotations

from harness.store.baselines import Baselines
from harness.store.ingested import Ingested
from harness.store.ingesting import Ingesting
from harness.store.store import Store
from harness.store.table import Table

__all__ = ["Baselines", "Ingested", "Ingesting", "Store", "Table"]
