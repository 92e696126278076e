from __future__ import annotations

from pathlib import Path

import pytest

from harness.store import Store


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def store(results: Path) -> Store:
    return Store(results / "harness.duckdb", patience_s=0.2)
