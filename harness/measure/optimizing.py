"""The optimizer as it is after a step: whose it is, what its state is made of, and which kernels it steps with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

_PLAIN = ("Tensor", "Parameter", "DTensor")
_OPEN = ("torch", "transformers")
"""Packages whose optimizers keep all their options in the groups of weights; bitsandbytes' have others beside them."""
_NO_OPTION = (
    *("params", "lr", "initial_lr", "foreach", "fused", "capturable", "differentiable", "maximize"),
    *("amsgrad", "decoupled_weight_decay"),
)
"""Of a group: the weights, what the schedule moves, how it is computed, and what no field of TRL's reaches."""


def optimizer_facts(trainer: Any) -> dict[str, Callable[[], Any]]:
    """Readers of the facts by name, for a trainer that has stepped."""
    return {
        "optimizer": lambda: type(bare(trainer.optimizer)).__name__,
        "optimizer_package": lambda: type(bare(trainer.optimizer)).__module__.partition(".")[0],
        "optimizer_options": lambda: options(bare(trainer.optimizer)),
        "optimizer_state": lambda: state_dtypes(bare(trainer.optimizer)),
        "optimizer_state_elements": lambda: state_elements(bare(trainer.optimizer)),
        "optimizer_paged": lambda: paged(bare(trainer.optimizer)),
        "optimizer_kernel": lambda: kernel(bare(trainer.optimizer)),
    }


def bare(optimizer: Any) -> Any:
    """The optimizer behind accelerate's wrapper, and behind what that may wrap."""
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return optimizer


def options(optimizer: Any) -> dict[str, Any] | None:
    """Numbers and switches that it steps with, as its groups hold them (`betas`, `eps`, `weight_decay`, `momentum`, …).

    One value where all groups have it, else every value there is: weights of norms and biases do not decay. None for
    an optimizer that keeps options elsewhere.
    """
    if type(optimizer).__module__.partition(".")[0] not in _OPEN:
        return None
    found: dict[str, list[Any]] = {}
    for group in optimizer.param_groups:
        for name, value in group.items():
            numbers = value if isinstance(value, tuple | list) else [value]
            if name in _NO_OPTION or not all(one is None or isinstance(one, int | float) for one in numbers):
                continue
            told = list(value) if isinstance(value, tuple) else value
            if told not in found.setdefault(name, []):
                found[name].append(told)
    return {name: values[0] if len(values) == 1 else values for name, values in sorted(found.items())}


def states(optimizer: Any) -> list[Mapping[Any, Any]]:
    """What it keeps of each weight, by weight; empty where it shows nothing of the kind.

    transformers steps GaLore `layerwise` with an optimizer for each weight, and GrokAdamW keeps a state in its groups.
    """
    each = getattr(optimizer, "optimizer_dict", None)
    found: list[Any] = []
    for one in each.values() if isinstance(each, Mapping) else [optimizer]:
        found.append(getattr(one, "state", None))
        found += [group.get("state") for group in getattr(one, "param_groups", ())]
    return [state for state in found if isinstance(state, Mapping)]


def tensors(optimizer: Any) -> Iterator[tuple[str, Any]]:
    """Every tensor of the state with its name; counters of one element are left out."""
    for state in (state for whole in states(optimizer) for state in whole.values()):
        for name, value in state.items() if isinstance(state, Mapping) else ():
            if hasattr(value, "dtype") and hasattr(value, "numel") and value.numel() > 1:
                yield str(name), value


def dtype_of(tensor: Any) -> str:
    """A tensor's dtype; for a quantized subclass, which claims that of the weights, its class and what it stores."""
    kind = type(tensor).__name__
    codes = getattr(tensor, "codes", None)
    if kind in _PLAIN or codes is None:
        return str(tensor.dtype).removeprefix("torch.")
    return f"{kind}[{str(codes.dtype).removeprefix('torch.')}]"


def state_dtypes(optimizer: Any) -> dict[str, list[str]]:
    """Dtypes by the name of the state (exp_avg, state1, …), those of most elements first; empty without a state.

    bitsandbytes keeps the state of weights below 4,096 elements, and of embeddings, in 32 bits beside the 8 of others.
    """
    found: dict[str, dict[str, int]] = {}
    for name, tensor in tensors(optimizer):
        elements = found.setdefault(name, {})
        dtype = dtype_of(tensor)
        elements[dtype] = elements.get(dtype, 0) + int(tensor.numel())
    largest = sorted(found, key=lambda name: (-sum(found[name].values()), name))
    return {name: sorted(found[name], key=lambda dtype: (-found[name][dtype], dtype)) for name in largest}


def state_elements(optimizer: Any) -> dict[str, int]:
    """Elements of the state by dtype."""
    found: dict[str, int] = {}
    for _, tensor in tensors(optimizer):
        dtype = dtype_of(tensor)
        found[dtype] = found.get(dtype, 0) + int(tensor.numel())
    return dict(sorted(found.items()))


def paged(optimizer: Any) -> bool:
    """Whether state lies in memory that moves between device and host: bitsandbytes' marks its tensors so."""
    return any(bool(getattr(tensor, "is_paged", False)) for _, tensor in tensors(optimizer))


def kernel(optimizer: Any) -> str | None:
    """How torch's optimizers step: `fused`, `foreach` or `loop`; None for an optimizer that knows no such choice."""
    defaults = getattr(optimizer, "defaults", {})
    if "fused" not in defaults and "foreach" not in defaults:
        return None
    if defaults.get("fused"):
        return "fused"
    if defaults.get("foreach") is None:
        return "foreach" if _foreach_by_default(optimizer) else "loop"
    return "foreach" if defaults["foreach"] else "loop"


def _foreach_by_default(optimizer: Any) -> bool:
    """What torch chooses where nothing was asked for, by torch's own rule."""
    from torch.optim.optimizer import _default_to_fused_or_foreach

    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    return bool(_default_to_fused_or_foreach(weights, differentiable=False, use_fused=False)[1])
