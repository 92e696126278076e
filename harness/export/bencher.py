"""Bencher Metric Format: benchmark → measure → `{value, lower_value, upper_value}`.

https://bencher.dev/docs/reference/bencher-metric-format, its schema https://bencher.dev/bmf.json. Measures are slugs.
"""

from __future__ import annotations

import json

from harness.export.given import Files, Given, figures, nothing, usual

_LONGEST = 1024  # letters of a benchmark's name
_LONGEST_MEASURE = 64


def files(given: Given) -> Files:
    """One benchmark per cell. The bounds are the lowest and the highest seed, left out where there is one.

    Raises:
        InputError: nothing to export.
    """
    document: dict[str, dict[str, dict[str, float]]] = {}
    for one in figures(given, usual(given)):
        value = {"value": one.value}
        if len(one.values) > 1:
            value |= {"lower_value": min(one.values.values()), "upper_value": max(one.values.values())}
        document.setdefault(f"{given.suite}/{one.label}"[:_LONGEST], {})[slug(one.metric.name)] = value
    if not document:
        raise nothing("no benchmark has a figure")
    return {"": json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"}


def slug(name: str) -> str:
    """A metric's name as Bencher writes measures: lower case, digits and hyphens, at most 64 letters."""
    letters = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower())
    return "-".join(part for part in letters.split("-") if part)[:_LONGEST_MEASURE]
