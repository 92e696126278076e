"""github-action-benchmark's custom JSON, for its tools `customBiggerIsBetter` and `customSmallerIsBetter`.

A list of `{name, value, unit, range, extra}`, as the action's README has it and its `src/extract.ts` reads it. One tool
takes one direction, so there are two files. The action takes a file that it cannot parse, and one that is missing, for
the beginning of a new history: no file is written empty.
"""

from __future__ import annotations

import json
from typing import Any

from harness.errors import InputError
from harness.export.given import Figures, Files, Given, figures, nothing, usual
from harness.records.metrics import Direction

FILES: dict[Direction, str] = {"higher": "bigger.json", "lower": "smaller.json"}


def files(given: Given) -> Files:
    """`bigger.json` and `smaller.json`, each where a metric of its direction was asked for.

    Raises:
        InputError: a metric that has no direction, or a file that would be empty.
    """
    metrics = usual(given)
    if aimless := [one.name for one in metrics if one.better == "none" and one.name in given.asked]:
        raise InputError.of(f"neither more nor less of {', '.join(aimless)} is better", hint="ask for other metrics")
    made: dict[str, str | bytes] = {}
    for direction, name in FILES.items():
        wanted = [one for one in metrics if one.better == direction]
        if not wanted and given.asked:
            continue
        found = figures(given, wanted)
        if not found:
            raise nothing(f"{name} would be empty")
        made[name] = json.dumps([_entry(one) for one in found], indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return made


def _entry(one: Figures) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": f"{one.label}: {one.metric.name}", "unit": one.metric.unit or "1"}
    entry["value"] = one.value
    if one.sd is not None:
        entry["range"] = f"± {one.sd:.6g}"
    return {**entry, "extra": f"{one.seeds}\n{one.metric.says}"}
