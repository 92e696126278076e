"""What a query answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of a query: `columns` by name, `types` as SQL writes them (VARCHAR, DOUBLE, …), `rows` of Python values."""

    columns: Sequence[str]
    types: Sequence[str]
    rows: Sequence[tuple[Any, ...]]
