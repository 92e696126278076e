"""What was really active: the configuration TRL resolved, and what the built trainer shows of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Where the run happened to lie, and what services it would tell, decide no result; tokens are nobody's business.
_LEFT_OUT = ("output_dir", "logging_dir", "run_name", "hub_token", "push_to_hub_token")


def active(trainer: Any, method: Any) -> dict[str, Any]:
    """JSON-able facts of a built trainer; each is read from the trainer or the model, never from the suite."""
    model = trainer.model
    counts = parameter_counts(model)
    adapter = getattr(model, "peft_config", None)
    return {
        "trainer": type(trainer).__name__,
        "optimizer": optimizer_class(trainer),
        "attention": getattr(model.config, "_attn_implementation", None),
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "device": str(trainer.args.device),
        "gradient_checkpointing": bool(getattr(model, "is_gradient_checkpointing", False))
        or bool(trainer.args.gradient_checkpointing),
        "packing": bool(getattr(trainer.args, "packing", False)),
        "padding_free": bool(getattr(trainer, "padding_free", False)),
        "loss_type": _loss_type(trainer, method),
        "reference": reference_kind(trainer, method),
        "train_rows": _rows(trainer.train_dataset),
        "eval_rows": _rows(trainer.eval_dataset),
        "adapter": {name: _adapter(config) for name, config in adapter.items()} if adapter else None,
        **counts,
        "config": sanitised(trainer.args.to_dict()),
    }


def parameter_counts(model: Any) -> dict[str, int]:
    """Trainable and total parameters; tied weights count once."""
    trainable = total = 0
    for weight in model.parameters():
        total += weight.numel()
        trainable += weight.numel() if weight.requires_grad else 0
    return {"trainable_parameters": trainable, "total_parameters": total}


def optimizer_class(trainer: Any) -> str:
    """The class that the trainer will make its optimizer from."""
    if trainer.optimizer is not None:
        return type(trainer.optimizer).__name__
    made = trainer.get_optimizer_cls_and_kwargs(trainer.args, trainer.model)
    return str(made[0].__name__)


def reference_kind(trainer: Any, method: Any) -> str | None:
    """`copy`: a second model; `adapter_off`: the base without its adapter; `precomputed`; None: the method has none."""
    if not method.reference:
        return None
    if getattr(trainer.args, "precompute_ref_log_probs", False):
        return "precomputed"
    return "copy" if getattr(trainer, "ref_model", None) is not None else "adapter_off"


def sanitised(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without places and secrets, its values JSON-able."""
    return {
        name: _plain(value)
        for name, value in config.items()
        if name not in _LEFT_OUT and not (name.endswith("_token") and isinstance(value, str) and name != "eos_token")
    }


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(inner) for inner in value]
    return str(value)


def _loss_type(trainer: Any, method: Any) -> Any:
    return _plain(getattr(trainer.args, "loss_type", None)) or method.name


def _rows(dataset: Any) -> int | None:
    return len(dataset) if dataset is not None and hasattr(dataset, "__len__") else None


def _adapter(config: Any) -> dict[str, Any]:
    names = ("peft_type", "r", "lora_alpha", "lora_dropout", "target_modules", "use_dora", "use_rslora", "bias")
    found = {name: _plain(getattr(config, name, None)) for name in names}
    if isinstance(found["target_modules"], list):
        found["target_modules"] = sorted(found["target_modules"])
    return found
