"""What a trial asked for by name and the built trainer does not do, where TRL and PEFT say nothing of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.measure.active import mixed_precision, padding_free
from harness.records.spec import Spec
from harness.records.suite import Format


def unheeded(spec: Spec, trainer: Any, rows: Format) -> Iterator[str]:
    """A sentence for each. `rows` is the format that the trainer was given."""
    yield from unmatched(spec.lora or {}, _targeted(trainer.model), [name for name, _ in trainer.model.named_modules()])
    if spec.train.get("padding_free") is False and padding_free(trainer):
        yield "padding-free batches are on, though train.padding_free is false: TRL's packing turns them on"
    if spec.train.get("completion_only_loss") and rows == "language_modeling":
        yield (
            "train.completion_only_loss masks nothing: the rows are language_modeling, which has no completion"
            " (of messages, train.assistant_only_loss masks what others say)"
        )
    if spec.train.get("fp16") is True and mixed_precision(trainer) == "no":
        yield "nothing is computed in float16, though train.fp16 is true: accelerate ignores it on a CPU"


def unmatched(lora: Mapping[str, Any], targeted: list[str], modules: list[str]) -> Iterator[str]:
    """What of a suite's `lora` matches nothing in the model; PEFT minds only if nothing at all does (and warns
    itself of patterns, of `exclude_modules` and of `target_parameters`).

    `targeted` are the adapted modules, `modules` all of the built model, by their paths.
    """
    if not targeted:
        return
    missed = [name for name in _listed(lora.get("target_modules")) if not _ends(targeted, f".{name}")]
    if nowhere := [name for name in missed if not _ends(modules, f".{name}")]:
        yield f"no module of the model is named {', '.join(nowhere)}: lora.target_modules names it in vain"
    if taken := [name for name in missed if name not in nowhere]:
        yield f"{', '.join(taken)} has no adapter: lora.target_modules names it, another field of lora takes it out"
    if kept := [name for name in _listed(lora.get("modules_to_save")) if not _ends(modules, name)]:
        yield f"no module of the model is named {', '.join(kept)}: lora.modules_to_save names it in vain"
    layers = lora.get("layers_to_transform")
    asked = [layers] if isinstance(layers, int) else _listed(layers)
    if beyond := [str(number) for number in asked if not any(f".{number}." in path for path in targeted)]:
        yield f"no layer with an adapter has the number {', '.join(beyond)}: lora.layers_to_transform names it in vain"


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _ends(paths: list[str], end: str) -> bool:
    """Whether one of the paths ends so, itself or after a dot."""
    return any(f".{path}".endswith(end) for path in paths)


def _targeted(model: Any) -> list[str]:
    return list(getattr(getattr(model, "base_model", None), "targeted_module_names", None) or ())
