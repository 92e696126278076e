"""Which documents of a task were made from the same text, where the task's YAML names the field that holds it:
`metadata: {source_field: passage}`. Such documents are right or wrong together, and comparisons count them so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


def field_of(config: object) -> str | None:
    """The field's name in a task's configuration as lm-eval tells it; None where it names none."""
    metadata = config.get("metadata") if isinstance(config, Mapping) else None
    named = metadata.get("source_field") if isinstance(metadata, Mapping) else None
    return named if isinstance(named, str) else None


def source_of(document: object, field: str | None) -> str | None:
    """The hash of what stands in the field of a document; None where there is no such field."""
    if field is None or not isinstance(document, Mapping) or document.get(field) is None:
        return None
    value = document[field]
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def missing(field: str | None, hashes: list[str | None]) -> list[str]:
    """A note where documents lack the field that the task names."""
    lost = sum(found is None for found in hashes) if field is not None else 0
    return [f"{lost} of {len(hashes)} documents have no field {field!r}, which source_field names"] if lost else []
