"""Sides of a difference made by hand: a packed training beside a plain one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.compare.differences import Side

ACTIVE: dict[str, Any] = {
    "trainer": "SFTTrainer",
    "attention": "sdpa",
    "packing": False,
    "padding_free": False,
    "optimizer": "AdamW",
    "optimizer_package": "torch",
    "optimizer_state": {"exp_avg": ["float32"]},
    "train_rows": 100,
    "config": {"seed": 0, "output_dir": "/a", "packing": False, "beta1": 0.9},
}
ENVIRONMENT = {
    "hash": "e1",
    "packages": {"torch": "2.13.0", "trl": "1.16.0"},
    "device": {"name": "H200", "pcie": {"generation": 5, "max_generation": 5}},
}


def made_spec(levels: Mapping[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    plain = {
        "suite": "s",
        "suite_file": "/a/s.yaml",
        "trial_id": "t",
        "cell_id": "c",
        "name": "n",
        "cell_name": "c",
        "levels": dict(levels or {}),
        "seed": 0,
        "method": "sft",
        "model": {"shape": "tiny"},
        "data": {"source": "arithmetic"},
        "train": {"max_steps": 10},
        "lora": None,
        "start": None,
        "timeout_s": 60.0,
        "defaults": {"packing": False, "padding_free": False, "learning_rate": 2e-5},
    }
    return plain | fields


def made_side(
    levels: Mapping[str, str] | None = None, *, active: Mapping[str, Any] | None = None, **fields: Any
) -> Side:
    return Side(spec=made_spec(levels, **fields), active={**ACTIVE, **(active or {})}, environment=ENVIRONMENT)


def names(entries: Any) -> list[str]:
    return [entry.name for entry in entries]


PLAIN = made_side({"train.packing": "false"}, train={"max_steps": 10, "packing": False})
PACKED = made_side(
    {"train.packing": "true"},
    train={"max_steps": 10, "packing": True},
    active={"packing": True, "padding_free": True, "train_rows": 30, "config": {**ACTIVE["config"], "packing": True}},
)
