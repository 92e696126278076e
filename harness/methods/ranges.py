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
_BETA = Range(
    lambda value: 0 <= value < 1,
    "from 0 to below 1",
    "torch's optimizers refuse it",
    {"minimum": 0, "exclusiveMaximum": 1},
)
_EVERY = Range(
    lambda value: 0 < value < 1 or (value >= 1 and value % 1 == 0),
    "a whole number above 0, or a share of all steps between 0 and 1",
    "transformers counts in whole steps",
    {"anyOf": [{"type": "integer", "minimum": 1}, {"exclusiveMinimum": 0, "exclusiveMaximum": 1}]},
)

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
    # torch.optim.Optimizer subclasses: "Invalid learning rate", "Invalid beta parameter", "Invalid epsilon value"
    "learning_rate": _at_least(0, "torch's optimizers refuse it"),
    "adam_beta1": _BETA,
    "adam_beta2": _BETA,
    "adam_epsilon": _at_least(0, "torch's optimizers refuse it"),
    # transformers.Trainer divides the number of batches by it
    "gradient_accumulation_steps": _at_least(1, "every step takes one batch or more"),
    # torch.utils.data.DataLoader: "num_workers option should be non-negative"
    "dataloader_num_workers": _at_least(0, "torch's DataLoader refuses it"),
    # trl.trainer.utils.pad takes the length's remainder by it
    "pad_to_multiple_of": _at_least(1, "TRL divides by it"),
    # transformers' NEFTune draws its noise from -alpha to alpha; at 0 there is none
    "neftune_noise_alpha": _at_least(0, "noise is drawn from its negative to it"),
    # trl.trainer.callbacks.SyncRefModelCallback takes the step's remainder by it
    "ref_model_sync_steps": _at_least(1, "TRL divides by it"),
    # SFTConfig, DPOConfig, ORPOConfig: sequences are cut to it; null does not cut
    "max_length": _LENGTH,
    "max_completion_length": _LENGTH,
    # transformers.TrainingArguments: "warmup_steps must be an integer or a float"; below 1 it is a share of all steps
    "warmup_steps": _at_least(0, "transformers refuses it"),
    # transformers.TrainingArguments: "--save_steps must be an integer if bigger than 1"; below 1 it is a share
    "save_steps": _EVERY,
    # transformers.TrainingArguments: the same of logging, and of evaluation, where 0 means logging_steps
    "logging_steps": _EVERY,
    "eval_steps": Range(
        lambda value: value == 0 or _EVERY.holds(value),
        "a whole number, or a share of all steps between 0 and 1",
        _EVERY.why,
        {"anyOf": [{"type": "integer", "minimum": 0}, {"minimum": 0, "exclusiveMaximum": 1}]},
    ),
    # transformers.TrainingArguments: "`torch_empty_cache_steps` must be an integer bigger than 0"
    "torch_empty_cache_steps": _at_least(1, "transformers refuses it"),
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
