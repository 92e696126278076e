"""Suites and a catalogue made by hand, so that planning is tested without YAML and without TRL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.methods.catalog import Catalog, Field
from harness.records.plan import Cell, Plan
from harness.records.suite import Axis, Level, Setup, ShapeModel, SourceData, Suite

TINY = ShapeModel(shape="tiny")
ARITHMETIC = SourceData(source="arithmetic")


def _field(name: str, types: str, default: Any) -> Field:
    return Field(name=name, types=tuple(types.split()), default=default)


def _fields(*fields: Field) -> dict[str, Field]:
    return {field.name: field for field in fields}


COMMON = _fields(
    _field("max_steps", "integer", -1),
    _field("learning_rate", "number", 2e-5),
    _field("weight_decay", "number", 0.0),
    _field("warmup_steps", "integer number", 0),
    _field("max_length", "integer null", 1024),
    _field("per_device_train_batch_size", "integer", 8),
    _field("gradient_checkpointing", "boolean", True),
    _field("bf16", "boolean null", None),
    _field("fp16", "boolean", False),
    _field("lr_scheduler_kwargs", "null object", None),
    _field("optim", "string", "adamw_torch"),
    _field("output_dir", "null string", None),
    _field("save_strategy", "string", "steps"),
    _field("eval_strategy", "string", "no"),
    _field("save_steps", "integer number", 500),
    _field("train_sampling_strategy", "string", "random"),
)

CATALOG = Catalog(
    methods={
        "sft": {
            **COMMON,
            **_fields(
                _field("packing", "boolean", False),
                _field("packing_strategy", "string", "bfd"),
                _field("eos_token", "null string", None),
                _field("shuffle_dataset", "boolean", False),
                _field("pad_all", "boolean", True),
                _field("eval_packing", "boolean null", None),
                _field("neftune_noise_alpha", "null number", None),
            ),
        },
        "dpo": {
            **COMMON,
            **_fields(_field("beta", "number", 0.1), _field("precompute_ref_log_probs", "boolean", False)),
        },
        "orpo": {**COMMON, **_fields(_field("beta", "number", 0.1))},
    },
    lora=_fields(
        _field("r", "integer", 8),
        _field("use_dora", "boolean", True),
        _field("lora_alpha", "integer", 8),
        _field("target_modules", "array null string", None),
    ),
    versions={"trl": "0"},
)


def setup(**fields: Any) -> Setup:
    """A base that can be trained, with some of its fields replaced."""
    return Setup(**{"method": "sft", "model": TINY, "data": ARITHMETIC, "train": {"max_steps": 10}, **fields})


def suite(*axes: Axis, file: Path = Path("made/suite.yaml"), **fields: Any) -> Suite:
    """A suite of these axes over `setup()`."""
    return Suite(**{"name": "made", "question": "which?", "file": file, "base": setup(), "matrix": axes, **fields})


def values(field: str, *levels: Any) -> Axis:
    """An axis of plain values, its levels named as the reader of suites names them."""
    named = [Level(name=name_of(value), sets={field: value}) for value in levels]
    return Axis(name=field, field=field, levels=tuple(named))


def named(name: str, levels: Mapping[str, Mapping[str, Any]]) -> Axis:
    """An axis of named override sets."""
    return Axis(name=name, levels=tuple(Level(name=level, sets=dict(sets)) for level, sets in levels.items()))


def name_of(value: Any) -> str:
    """What a plain value is called as a level."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "-".join(f"{key}{inner}" for key, inner in value.items())
    return str(value)


def cells(plan: Plan) -> dict[str, Cell]:
    """The matrix' own cells by name."""
    return {cell.name: cell for cell in plan.cells if cell.kind == "cell"}


RECIPE = named(
    "recipe",
    {
        "sft": {"method": "sft"},
        "dpo": {"method": "dpo", "init": {"stage": "start"}, "train.learning_rate": 5e-6},
        "orpo": {"method": "orpo"},
    },
)
