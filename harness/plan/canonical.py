"""One spelling for equal JSON values, so that they hash and compare alike."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def canonical(value: Any) -> str:
    """The value as JSON text with sorted keys; 1 and 1.0 are the same number, true and 1 are not the same value."""
    kind = type(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if kind is float and math.isfinite(value):
        return str(int(value)) if value.is_integer() else repr(value)
    return _encode(_plain(value))


def digest(text: str) -> str:
    """First 12 hex digits of the text's sha256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


@dataclass(slots=True)
class Canon:
    """`canonical` that remembers mappings by identity: cells share most of theirs. They must not change meanwhile."""

    seen: dict[int, tuple[Any, str]] = field(default_factory=dict)

    def __call__(self, value: Any) -> str:
        if not isinstance(value, dict):
            return canonical(value)
        known = self.seen.get(id(value))
        if known is None:
            known = self.seen[id(value)] = (value, canonical(value))  # holding the value keeps its id its own
        return known[1]


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is float:
        return int(value) if value.is_integer() else value
    if kind is dict:
        return {key: _plain(inner) for key, inner in value.items()}
    if kind is list or kind is tuple:
        return [_plain(inner) for inner in value]
    return value
