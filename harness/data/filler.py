"""Rows of a chosen length, for trials that ask what memory the longest rows take. What they say means nothing.

Every digit stands alone between spaces, so that any tokenizer makes at least one token of it. Every third row is a
quarter as long, chosen and rejected in turn, so that batches are padded and attention gets its mask: real batches are.
Not so where rows are packed: short ones would leave gaps, and batches would be smaller than they can get.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from harness.data.source import Row
from harness.records.run_folder import write_atomic

VERSION = 1
"""Moves when the same numbers give other rows."""


def rows(tokens: int, count: int, *, ragged: bool = True) -> Iterator[Row]:
    """`count` preference rows, always the same; answers of at least `tokens` tokens; `ragged`: some a quarter of it."""
    draw = random.Random(tokens)
    for number in range(count):
        chosen = tokens // 4 + 1 if ragged and number % 3 == 1 else tokens
        rejected = tokens // 4 + 1 if ragged and number % 3 == 2 else tokens
        yield {"prompt": f"{number}: ", "chosen": _digits(draw, chosen), "rejected": _digits(draw, rejected)}


def write(file: Path, tokens: int, count: int, *, ragged: bool = True) -> None:
    """Writes the rows as .jsonl, unless the file is there already.

    Raises:
        OSError: it cannot be written.
    """
    import json

    if not file.is_file():
        write_atomic(file, "".join(json.dumps(row) + "\n" for row in rows(tokens, count, ragged=ragged)))


def _digits(draw: random.Random, count: int) -> str:
    return " ".join(draw.choices("0123456789", k=count))
