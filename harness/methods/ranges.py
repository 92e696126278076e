"""Values that have the right type and cannot work: TRL, transformers, torch or PEFT would refuse them mid-trial.

Said at plan time, so that a matrix does not end in a column of crashes. Only what is certain is here; what is merely
unwise is the suite's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import Problem
from harness.records.jsontypes import shown


@dataclass(frozen=True, slots=True)
class Range:
    """The values that work: a test, what it says in words, why others do not, and the same as JSON Schema."""

    holds: Callable[[float], bool]
    says: str
    why: str
    schema: Mapping[str, Any]


def _at_least(least: int, why: str) -> Range:
    return Range(lambda value: value >= least, f"at least {least}", why, {"minimum": least})


_BATCH = _at_least(1, "torch's DataLoader refuses a smaller batch")
_LENGTH = _at_least(1, "nothing would be left of a row")

TRAIN: Mapping[str, Range] = {
    # torch.utils.data.BatchSampler: "batch_size should be a positive integer value"
    "per_device_train_batch_size": _BATCH,
    "per_device_eval_batch_size": _BATCH,
    # transformers.Trainer.set_initial_training_values: anything but a positive number means num_train_epochs
    "max_steps": Range(
        lambda value: value > 0 or value == -1,
        "above 0, or -1",
        "transformers would train num_train_epochs instead",
        {"minimum": -1, "not": {"const": 0}},
    ),
    # torch.optim.Optimizer subclasses: "Invalid learning rate"
    "learning_rate": _at_least(0, "torch's optimizers refuse it"),
    # transformers.Trainer divides the number of batches by it
    "gradient_accumulation_steps": _at_least(1, "every step takes one batch or more"),
    # SFTConfig, DPOConfig, ORPOConfig: sequences are cut to it; null does not cut
    "max_length": _LENGTH,
    "max_completion_length": _LENGTH,
    # transformers.TrainingArguments: "warmup_steps must be an integer or a float"; below 1 it is a share of all steps
    "warmup_steps": _at_least(0, "transformers refuses it"),
    # transformers.TrainingArguments: "--save_steps must be an integer if bigger than 1"; below 1 it is a share
    "save_steps": Range(
        lambda value: 0 < value < 1 or (value >= 1 and value % 1 == 0),
        "a whole number, or a share of all steps between 0 and 1",
        "transformers counts in whole steps",
        {"anyOf": [{"type": "integer", "minimum": 1}, {"exclusiveMinimum": 0, "exclusiveMaximum": 1}]},
    ),
    # transformers.DefaultFlowCallback takes the step's remainder by it
    "logging_steps": Range(lambda value: value > 0, "above 0", "the trainer divides by it", {"exclusiveMinimum": 0}),
}
LORA: Mapping[str, Range] = {
    # peft.tuners.lora.layer: "`r` should be a positive integer value"
    "r": _at_least(1, "PEFT refuses an adapter without a rank"),
    # torch.nn.Dropout: "dropout probability has to be between 0 and 1"; at 1 nothing is left to learn from
    "lora_dropout": Range(
        lambda value: 0 <= value < 1, "from 0 to below 1", "it is a probability", {"minimum": 0, "exclusiveMaximum": 1}
    ),
}


def out_of_range(root: str, name: str, value: Any) -> Problem | None:
    """What is wrong with a number of `train` or `lora` (the `root`); None for what is no number or has no range."""
    allowed = (TRAIN if root == "train" else LORA).get(name)
    if allowed is None or isinstance(value, bool) or not isinstance(value, int | float) or allowed.holds(value):
        return None
    return Problem(what=f"{root}.{name} must be {allowed.says}, not {shown(value)}", why=allowed.why)


BESIDE: Mapping[str, tuple[str, ...]] = {
    "train.fp16": ("train.bf16",),
    "train.padding_free": ("train.packing", "train.max_length"),
}
"""The field paths of `contradictions` and the others that each is about."""


def contradictions(train: Mapping[str, Any]) -> list[tuple[str, Problem]]:
    """Field path and problem of values that do not go together."""
    found = []
    # transformers.TrainingArguments.__post_init__: "At most one of fp16 and bf16 can be True"
    if train.get("bf16") is True and train.get("fp16") is True:
        what = "train.bf16 and train.fp16 are both true"
        why, hint = "a training has one precision", "set one of them to false"
        found.append(("train.fp16", Problem(what=what, why=why, hint=hint)))
    # trl.SFTTrainer: "When `padding_free=True` without packing, `max_length` is not enforced"; its default is 1024
    if train.get("padding_free") and not train.get("packing") and train.get("max_length", 1024) is not None:
        what = "train.padding_free without packing takes no train.max_length"
        why = "TRL cuts no row there, and refuses a length it would not keep (its default is 1024)"
        hint = "set train.max_length: null beside it, or turn train.packing on"
        found.append(("train.padding_free", Problem(what=what, why=why, hint=hint)))
    return found
