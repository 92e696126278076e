"""documents.jsonl → columns: what every score of the same documents shares, and what is this score's own.

The file is read by Arrow where it is whole and plain, at some ten times the speed of Python; anything else (a damaged
line, numbers spelled as text, other types) is read line by line, and says the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.records import lines
from harness.store import plain

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

HASHED = ("doc_hash", "prompt_hash", "target_hash", "target", "source_hash")
NO_CHOICE = -1
_MOST_CHOICES = 2**15 - 1  # of a SMALLINT
_LARGEST_INDEX = 2**31 - 1  # of an INTEGER


@dataclass(frozen=True, kw_only=True, slots=True)
class Documents:
    """The documents of one score.

    `asked`: document and `HASHED`, which scores of the same `digest` share. `results`: document, choice (that of the
    highest log-probability, `NO_CHOICE` where nothing was chosen), response, metrics (by `names`, without those that
    the document lacks), logprobs. `unreadable` counts the lines that hold no document; `first_unreadable` is the first.
    """

    asked: pa.Table
    results: pa.Table
    names: tuple[str, ...]
    digest: str
    unreadable: int = 0
    first_unreadable: int | None = None


def read(raw: bytes) -> Documents:
    """The documents of a file's bytes; by their lines where one has no index, or that of another."""
    fast = _by_arrow(raw)
    parsed = lines.Lines() if fast is not None else lines.parse(raw, may_be_torn=False)
    found = fast if fast is not None else _of_objects(parsed.objects)
    indices = _indices(found.indices)
    asked = _table({"document": indices, **{name: _whole(found.texts[name]) for name in HASHED}})
    response = _whole(found.texts["response"])
    results = _table(
        {
            "document": indices,
            "choice": _choices(found.logprobs, response),
            "response": response,
            "metrics": _maps(found.metrics, len(indices)),
            "logprobs": _single_precision(found.logprobs),
        }
    )
    return Documents(
        asked=asked,
        results=results,
        names=tuple(found.metrics),
        digest=_digest(asked),
        unreadable=parsed.unreadable,
        first_unreadable=parsed.first_unreadable,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Columns:
    """A file's columns of equal length: int64 indices, texts by field, doubles by metric, lists of doubles."""

    indices: pa.Array
    texts: dict[str, pa.Array]
    metrics: dict[str, pa.Array]
    logprobs: pa.Array


def _by_arrow(raw: bytes) -> _Columns | None:
    """None where Arrow would not say what line by line says."""
    import pyarrow as pa
    from pyarrow import json

    # Escapes of surrogates (lone ones are legal in JSON, and not in UTF-8) and of NUL are left to Python.
    escapes = b"\\u" in raw and any(escape in raw for escape in (b"\\ud", b"\\uD", b"\\u0000"))
    if escapes or not raw.endswith(b"\n"):
        return None
    texts = {name: pa.string() for name in (*HASHED, "response")}
    schema = pa.schema({"index": pa.int64(), **texts, "logprobs": pa.list_(pa.float64())})
    options = json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer")
    try:
        found = json.read_json(pa.BufferReader(raw), json.ReadOptions(block_size=max(len(raw), 1)), options)
        metrics = _struct(_column(found, "metrics"))
        columns = {name: _column(found, name) for name in schema.names}
    except (pa.ArrowException, KeyError, TypeError):
        return None
    if found.num_rows != raw.count(b"\n"):  # Arrow passes over what is no whole line, or takes two for one
        return None
    return _Columns(
        indices=columns["index"],
        texts={name: columns[name] for name in texts},
        metrics=metrics,
        logprobs=columns["logprobs"].fill_null(pa.scalar([], schema.field("logprobs").type)),
    )


def _column(found: pa.Table, name: str) -> Any:
    import pyarrow as pa

    return pa.concat_arrays(found.column(name).chunks)  # without an offset


def _struct(metrics: Any) -> dict[str, Any]:
    """Doubles by name, sorted. Raises TypeError for anything but numbers."""
    import pyarrow as pa

    kinds = {field.name: field.type for field in metrics.type} if pa.types.is_struct(metrics.type) else None
    plain_kinds = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean, pa.types.is_null)
    if kinds is None or not all(any(is_kind(kind) for is_kind in plain_kinds) for kind in kinds.values()):
        raise TypeError(str(metrics.type))
    flat = dict(zip(kinds, metrics.flatten(), strict=True))
    return {name: flat[name].cast(pa.float64(), safe=False) for name in sorted(flat)}


def _of_objects(objects: Sequence[dict[str, Any]]) -> _Columns:
    import pyarrow as pa

    metrics = [dict(plain.pairs(value.get("metrics"), plain.figure)) for value in objects]
    logprobs = [value.get("logprobs") for value in objects]
    return _Columns(
        indices=pa.array([plain.integer(value.get("index")) for value in objects], pa.int64()),
        texts={
            name: pa.array([plain.text(value.get(name)) for value in objects], pa.string())
            for name in (*HASHED, "response")
        },
        metrics={
            name: pa.array([value.get(name) for value in metrics], pa.float64())
            for name in sorted({name for value in metrics for name in value})
        },
        logprobs=pa.array(
            [[plain.figure(number) for number in value] if isinstance(value, list) else [] for value in logprobs],
            pa.list_(pa.float64()),
        ),
    )


def _table(columns: dict[str, Any]) -> pa.Table:
    import pyarrow as pa

    return pa.table(columns)


def _whole(column: Any) -> Any:
    """The column in 64-bit offsets, so that tables of several scores can be joined whatever their size."""
    import pyarrow as pa

    return column.cast(pa.large_string())


def _indices(indices: Any) -> Any:
    """As they are where each document has one of its own, else the numbers of the lines."""
    import numpy as np
    import pyarrow as pa

    if indices.null_count == 0:
        found = indices.to_numpy(zero_copy_only=False)
        fits = not len(found) or (found.min() >= 0 and found.max() <= _LARGEST_INDEX)
        if fits and len(np.unique(found)) == len(found):
            return pa.array(found.astype(np.int32))
    return pa.array(np.arange(len(indices), dtype=np.int32))


def _flat(lists: Any) -> tuple[np.ndarray, np.ndarray]:
    """Where each list begins and the last ends, and all their numbers in a row; a missing one is NaN."""
    offsets = lists.offsets.to_numpy()
    return offsets - offsets[0], lists.flatten().to_numpy(zero_copy_only=False)


def _choices(logprobs: Any, response: Any) -> Any:
    """The first highest of each list of two or more, as numpy finds it (a NaN counts as the highest)."""
    import numpy as np
    import pyarrow as pa

    offsets, numbers = _flat(logprobs)
    sizes = np.diff(offsets)
    found: Any = np.full(len(sizes), NO_CHOICE, dtype=np.int16)
    answered = response.is_valid().to_numpy(zero_copy_only=False)
    for size in np.unique(sizes):
        if 2 <= size <= _MOST_CHOICES:
            rows = np.flatnonzero(sizes == size)
            found[rows] = np.argmax(numbers[offsets[rows][:, None] + np.arange(size)], axis=1)
    found[~answered] = NO_CHOICE
    return pa.array(found)


def _maps(metrics: dict[str, Any], rows: int) -> Any:
    """One map per document, from the names of its metrics to their values; without those that it lacks."""
    import numpy as np
    import pyarrow as pa

    if not metrics:
        nothing = pa.array([], pa.string()), pa.array([], pa.float64())
        return pa.MapArray.from_arrays(pa.array(np.zeros(rows + 1, dtype=np.int32)), *nothing)
    there = np.column_stack([column.is_valid().to_numpy(zero_copy_only=False) for column in metrics.values()])
    values = np.column_stack([column.to_numpy(zero_copy_only=False) for column in metrics.values()])
    places = np.broadcast_to(np.arange(len(metrics)), there.shape)
    offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
    keys = pa.array(list(metrics), pa.string()).take(pa.array(places[there]))
    return pa.MapArray.from_arrays(pa.array(offsets), keys, pa.array(values[there]))


def _single_precision(logprobs: Any) -> Any:
    """Models compute them so; what a sum over tokens adds in double precision lies far below what they mean."""
    import pyarrow as pa

    return logprobs.cast(pa.large_list(pa.float32()), safe=False)


def _digest(asked: Any) -> str:
    """Of every index, hash and target; the same however the file was read."""
    import numpy as np

    digest = hashlib.blake2b(asked.column("document").to_numpy().tobytes(), digest_size=20)
    for name in HASHED:
        for array in asked.column(name).chunks:
            missing = array.is_null().to_numpy(zero_copy_only=False)
            _, offsets, text = array.fill_null("").buffers()
            ends = np.frombuffer(offsets, dtype=np.int64)[: len(array) + 1]
            for part in (missing.tobytes(), ends.tobytes(), b"" if text is None else memoryview(text)[: ends[-1]]):
                digest.update(part)
    return digest.hexdigest()
