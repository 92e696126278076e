"""Arithmetic of the hollow device: integers are computed, on the memory itself; of floats there are only zeros.

Token counts, masks, labels and lengths are integers, so that what a training forwards, packs and counts is right;
losses and weights mean nothing. torch calls `install` when it is imported (entry point `torch.backends`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

_SMALL = 4096
"""Elements. A block that held integers may be handed out again for floats: results up to this size are made zeros."""
_NATIVE = ("_local_scalar_dense", "record_stream", "set_", "resize_", "_pin_memory", "is_pinned")
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "logical_not")
_INDEXED = ("index", "index_put", "index_put_", "_unsafe_index_put", "_index_put_impl_", "masked_select")
_LOOKUPS = ("embedding",)


def install() -> None:
    """Enters the mode for good, in this thread and in what it forks. cuDNN, which needs a driver, is left out."""
    if torch.version.cuda:
        torch._C._set_sdp_use_cudnn(False)
        Integers().__enter__()


class Integers(TorchDispatchMode):
    """Computes on the host, in the device's own memory, what works on integers alone."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        name = func._schema.name.split("::")[1]
        tensors = [part for part in tree_flatten((args, named))[0] if isinstance(part, torch.Tensor)]
        if name in _NATIVE or _is_view(func):
            return func(*args, **named)
        if name in ("_to_copy", "copy_") and not all(map(_is_device, tensors)):
            return func(*args, **named)
        if name == "_to_copy" and _is_for(named, "cpu"):
            return (
                func(*args, **named) if tensors[0].is_floating_point() else func(_on_host(tensors[0]), **named).clone()
            )
        if name == "masked_scatter_backward":  # it would count a mask where nothing was counted
            return torch.zeros(args[2], dtype=args[0].dtype, device=args[0].device)
        if name in _INDEXED and _has_mask(args[1]):
            args = (args[0], _positions(args[1]), *args[2:])
            if name == "masked_select":
                return torch.ops.aten.index.Tensor(*args)
        if any(map(_is_device, tensors)) and not any(map(_is_float, tensors)) and name not in _LOOKUPS:
            return _computed(func, args, named)
        if not tensors and _is_for(named, "cuda") and not name.startswith("empty"):
            made = func(*args, **{**named, "device": "cpu", **({"pin_memory": False} if "pin_memory" in named else {})})
            if not _is_float(made):
                return _on_device(made)
        if name in _COMPARISONS and _is_device(args[0]):
            return _on_device(func(*tree_map_only(torch.Tensor, _zeros, args)).contiguous())
        result = func(*args, **named)
        for part in tree_flatten(result)[0]:
            if _is_device(part) and _is_float(part) and 0 < part.numel() <= _SMALL and not _is_among(part, tensors):
                _on_host(part).zero_()
        return result


def _computed(func: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    back: dict[int, torch.Tensor] = {}
    seen: list[torch.Tensor] = []  # keeps their ids their own

    def host(value: torch.Tensor) -> torch.Tensor:
        if not _is_device(value):
            return value
        seen.append(_on_host(value))
        back[id(seen[-1])] = value
        return seen[-1]

    host_args, host_named = tree_map_only(torch.Tensor, host, (args, named))
    if host_named.get("device") is not None:
        host_named["device"] = "cpu"
    result = func(*host_args, **host_named)
    return tree_map_only(torch.Tensor, lambda made: back[id(made)] if id(made) in back else _on_device(made), result)


def _on_host(value: torch.Tensor) -> torch.Tensor:
    """The same memory as a tensor of the CPU."""
    storage = value.untyped_storage()
    if storage.nbytes() == 0:
        return torch.empty(value.shape, dtype=value.dtype)
    memory = (ctypes.c_char * storage.nbytes()).from_address(storage.data_ptr())
    flat = torch.frombuffer(memory, dtype=torch.uint8).untyped_storage()
    return torch.empty(0, dtype=value.dtype).set_(flat, value.storage_offset(), value.shape, value.stride())


def _on_device(value: torch.Tensor) -> torch.Tensor:
    made = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="cuda")
    _on_host(made).copy_(value)
    return made


def _zeros(value: torch.Tensor) -> torch.Tensor:
    """What a tensor holds here, without its memory where it holds floats."""
    if _is_float(value):
        return torch.zeros((), dtype=value.dtype).expand(value.shape)
    return _on_host(value) if _is_device(value) else value


def _positions(mask: Any) -> list[Any]:
    """Indices with masks among them, as indices: where the masks are true."""
    found: list[Any] = []
    for index in [mask] if isinstance(mask, torch.Tensor) else mask:
        masks = index is not None and index.dtype == torch.bool
        found += [_on_device(part) for part in _on_host(index).nonzero(as_tuple=True)] if masks else [index]
    return found


def _has_mask(index: Any) -> bool:
    listed = [index] if isinstance(index, torch.Tensor) else index
    return any(part is not None and _is_device(part) and part.dtype == torch.bool for part in listed)


def _is_view(func: Any) -> bool:
    aliases = (result.alias_info for result in func._schema.returns)
    return any(alias is not None and not alias.is_write for alias in aliases)


def _is_device(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == "cuda"


def _is_float(value: torch.Tensor) -> bool:
    return bool(value.is_floating_point() or value.is_complex())


def _is_for(named: Mapping[str, Any], device: str) -> bool:
    return bool(torch.device(named.get("device") or "meta").type == device)


def _is_among(value: torch.Tensor, tensors: Sequence[torch.Tensor]) -> bool:
    return any(value is other for other in tensors)
