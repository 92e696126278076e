"""What a trial asked for by name and the built trainer does not do, where TRL and PEFT say nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.measure.active import mixed_precision, padding_free
from harness.records.spec import Spec
from harness.records.suite import Format


def unheeded(spec: Spec, trainer: Any, rows: Format) -> Iterator[str]:
    """A sentence for each. `rows` is the format that the trainer was given."""
    missed = missed_targets(spec.lora.get("target_modules") if spec.lora else None, _targeted(trainer.model))
    if missed:
        yield f"no module of the model is named {', '.join(missed)}: lora.target_modules names it in vain"
    if spec.train.get("padding_free") is False and padding_free(trainer):
        yield "padding-free batches are on, though train.padding_free is false: TRL's packing turns them on"
    if spec.train.get("completion_only_loss") and rows == "language_modeling":
        yield (
            "train.completion_only_loss masks nothing: the rows are language_modeling, which has no completion"
            " (of messages, train.assistant_only_loss masks what others say)"
        )
    if spec.train.get("fp16") is True and mixed_precision(trainer) == "no":
        yield "nothing is computed in float16, though train.fp16 is true: accelerate ignores it on a CPU"


def missed_targets(asked: Any, targeted: list[str]) -> list[str]:
    """The names in a list of target modules that none of the adapted modules ends in; PEFT minds only if all miss."""
    if not isinstance(asked, list) or not targeted:
        return []
    return [name for name in asked if not any(f".{module}".endswith(f".{name}") for module in targeted)]


def _targeted(model: Any) -> list[str]:
    return list(getattr(getattr(model, "base_model", None), "targeted_module_names", None) or ())
