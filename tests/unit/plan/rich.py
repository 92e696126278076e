"""A suite whose parts need each other, and what becomes of it with one of them wrong."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import Problem, in_order
from harness.methods.catalog import Catalog
from harness.plan import attempt, unready
from harness.suite import read

RICH: Mapping[str, Any] = {
    "name": "demo",
    "question": "Which one?",
    "base": {
        "method": "sft",
        "model": {"shape": "tiny", "seed": 1},
        "data": {"source": "arithmetic", "rows": 20},
        "train": {"max_steps": 10, "learning_rate": 1e-4, "packing_strategy": None, "save_steps": 4},
        "measure": {"warmup_steps": 2},
        "limits": {"timeout": "5m", "retries": 0},
        "checkpoint": "keep",
    },
    "stages": {
        "start": {"method": "sft", "train": {"max_steps": 40, "weight_decay": 0.5}, "seed": 3},
        "then": {"method": "orpo", "init": {"stage": "start"}, "train.beta": 0.3},
    },
    "matrix": {
        "recipe": {
            "sft": {"method": "sft"},
            "dpo": {"method": "dpo", "init": {"stage": "start"}, "train": {"learning_rate": 1e-6, "beta": 0.3}},
            "orpo": {"method": "orpo", "init": {"stage": "then"}, "train.learning_rate": 1e-5},
        },
        "lora": {"full": None, "r8": {"r": 8, "use_dora": False}},
        "train.packing": [False, True],
        "data": [
            {"source": "arithmetic"},
            {"path": "rows.jsonl", "columns": {"prompt": "q", "chosen": "a", "rejected": "b"}, "format": "auto"},
        ],
        "train.weight_decay": {"none": 0.0, "some": 0.1, "much": 0.2},
    },
    "exclude": [
        {"method": ["dpo", "orpo"], "train.packing": True},
        {"recipe": "sft", "lora": "r8"},
        {"train": {"weight_decay": 0.2}, "lora": None},
    ],
    "include": [
        {"recipe": "sft", "lora": "full", "train.learning_rate": 3e-5, "name": "slow"},
        {"method": "dpo", "train": {"max_length": 5}, "init": None},
    ],
    "baseline": {"recipe": "dpo", "lora": "r8", "train.weight_decay": "much"},
    "replicates": {"seeds": [0, 1]},
    "score": {"tasks": ["arithmetic_mc"], "limit": 5, "every": "checkpoint"},
    "decide": {"maximise": "score.arithmetic_mc.acc", "keep": {"train_seconds": "<= 60"}},
}
ROWS = "".join(json.dumps({"q": f"{n}+1=", "a": str(n + 1), "b": "x"}) + "\n" for n in range(5))

Path_ = tuple[str | int, ...]


def told(file: Path, catalog: Catalog) -> tuple[list[Problem], list[Problem]]:
    """What the reading of a suite finds, and what its plan and its data do; each once and in order."""
    reading = read(file, catalog=catalog)
    found: list[Problem] = []
    if reading.suite is not None:
        attempted = attempt(reading.suite, catalog, reading.doubts)
        found = [*attempted.problems, *unready(reading.suite, attempted.cells)]
    return list(in_order(reading.problems, file)), list(in_order(found, file))


def mistakes(tree: Mapping[str, Any] = RICH) -> list[tuple[Path_, str]]:
    """Every place of a suite with every way in which it can be spoilt."""
    return [(path, way) for path in _paths(tree) for way in _WAYS]


def spoilt(path: Path_, way: str, tree: Mapping[str, Any] = RICH) -> dict[str, Any]:
    """The suite with one mistake."""
    whole: dict[str, Any] = copy.deepcopy(dict(tree))
    holder: Any = whole
    for step in path[:-1]:
        holder = holder[step]
    _WAYS[way](holder, path[-1])
    return whole


def _paths(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from _paths(inner, (*path, step))


def _rename(new: Callable[[str], str]) -> Callable[[Any, Any], None]:
    def change(holder: Any, step: Any) -> None:
        if isinstance(holder, dict):
            entries = [(new(key) if key == step else key, inner) for key, inner in holder.items()]
            holder.clear()
            holder.update(entries)
        elif isinstance(holder[step], str):
            holder[step] = new(holder[step])

    return change


def _put(value: Any) -> Callable[[Any, Any], None]:
    def change(holder: Any, step: Any) -> None:
        holder[step] = value

    return change


_WAYS: Mapping[str, Callable[[Any, Any], None]] = {
    "misspelled": _rename(lambda key: key[0] + key[2:] if len(key) > 2 else key + "x"),
    "nonsense": _rename(lambda key: "zzqq"),
    "text": _put("zz qq"),
    "number": _put(3.5),
    "negative": _put(-7),
    "list": _put([["x"]]),
    "mapping": _put({"zz": 1}),
    "nothing": _put(None),
}
