"""Rows as a `datasets.Dataset` that gives each of them back as it is. Imports datasets: for the child."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from datasets import Dataset, Json

from harness.data.formats import AnyRow, is_plain_message


class AnyJson(Json):
    """Values whose keys and types may differ from row to row.

    Arrow's structs would give every row the keys of all others, as None, and a chat template would render them.
    datasets' own `Json` reads by ujson, which gives some numbers another last digit (0.002991 becomes
    0.0029909999999999997); this reads by Python's json. Only the first `Dataset.map` over it sees the rows as they are:
    what a map returns, datasets writes anew by ujson. TRL 1.16 reads messages in its first map alone for SFT and DPO;
    for ORPO `harness.methods.build` renders them in one of its own.
    """

    def decode_example(self, value: str | None, token_per_repo_id: Any = None) -> Any:
        """The value of its text."""
        return None if value is None else json.loads(value)


def dataset(rows: list[AnyRow]) -> Any:
    """The rows, all of the same columns. Those of text, or of messages of role and text alone, are plain columns."""
    mixed = [name for name in (rows[0] if rows else ()) if not _is_plain(row[name] for row in rows)]
    if not mixed:
        return Dataset.from_list(rows)
    made = Dataset.from_list([{**row, **{name: _text(row[name]) for name in mixed}} for row in rows])
    for name in mixed:
        made = made.cast_column(name, AnyJson())
    return made


def _is_plain(values: Iterable[Any]) -> bool:
    return all(
        isinstance(value, str) or (isinstance(value, list) and all(map(is_plain_message, value))) for value in values
    )


def _text(value: Any) -> str | None:
    # What JSON has no word for (a time, out of a parquet file) is what a template writes of it: its str.
    return None if value is None else json.dumps(value, default=str)
