"""PEFT's adapters as they sit in the built model: read from their layers where these tell, else from their options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.records.secrets import plain

_OPTIONS = (
    "peft_type",
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "modules_to_save",
    "use_dora",
    "use_rslora",
    "lora_bias",
    "bias",
    "init_lora_weights",
)
_OF_LAYERS: Mapping[str, Callable[[Any], Any]] = {
    "r": lambda value: value,
    "lora_alpha": lambda value: value,
    "scaling": lambda value: value,
    "lora_dropout": lambda module: getattr(module, "p", 0.0),  # torch's Identity stands for no dropout
}
"""What each layer has of its own by adapter, and how it is read. Patterns make layers differ, and TRL takes the
dropout out of them (`disable_dropout`)."""


def adapters(model: Any) -> dict[str, Any] | None:
    """PEFT's adapters by name: their options, and how many modules they sit on; None without an adapter."""
    found = getattr(model, "peft_config", None)
    if not isinstance(found, Mapping) or not found:
        return None
    return {str(name): _adapter(model, str(name), config) for name, config in found.items()}


def _adapter(model: Any, adapter: str, config: Any) -> dict[str, Any]:
    options = {name: plain(value) for name in _OPTIONS if (value := getattr(config, name, None)) is not None}
    found = {**options, **dict(_of_layers(model, adapter))}
    if isinstance(found.get("target_modules"), list):
        found["target_modules"] = sorted(found["target_modules"])
    targeted = getattr(getattr(model, "base_model", None), "targeted_module_names", None)
    if not targeted:
        return found
    # Those it sits on: an option may name some in vain, or be a pattern.
    return {**found, "target_modules": sorted({name.rpartition(".")[2] for name in targeted}), "modules": len(targeted)}


def _of_layers(model: Any, adapter: str) -> Iterator[tuple[str, Any]]:
    """One value where all layers have it, else every value there is."""
    layers = [module for module in model.modules() if hasattr(module, "lora_A") and hasattr(module, "scaling")]
    for name, read in _OF_LAYERS.items():
        held = [getattr(layer, name) for layer in layers if adapter in getattr(layer, name, ())]
        values = sorted({read(one[adapter]) for one in held})
        if values:
            yield name, values[0] if len(values) == 1 else values
