"""Values from other people's JSON → values a typed column takes. What does not fit becomes None, never an exception."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

_SPELLED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def text(value: Any) -> str | None:
    """As text; None stays None. Lone surrogates, legal only in JSON's escapes, become question marks."""
    if value is None:
        return None
    said = value if isinstance(value, str) else str(value)
    return said if said.isascii() else said.encode("utf-8", "replace").decode()


def integer(value: Any) -> int | None:
    """An integer of 64 bits."""
    return value if type(value) is int and -(2**63) <= value < 2**63 else None


def figure(value: Any) -> float | None:
    """A number, also one spelled "NaN", "Infinity" or "-Infinity" as events are."""
    if isinstance(value, str):
        return _SPELLED.get(value)
    try:
        return float(value) if isinstance(value, int | float) else None
    except OverflowError:
        return None


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def pairs(value: Any, of: Callable[[Any], Any]) -> list[tuple[str, Any]]:
    """A JSON object as Arrow's map columns take it, sorted by key."""
    return sorted((str(text(key)), of(inner)) for key, inner in mapping(value).items())


def json_text(value: Any) -> str:
    """JSON that every parser reads: keys sorted, NaN and infinities as strings."""
    lax = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    strict = json.loads(lax, parse_constant=str) if "NaN" in lax or "Infinity" in lax else None
    said = lax if strict is None else json.dumps(strict, ensure_ascii=False, sort_keys=True)
    return str(text(said))
