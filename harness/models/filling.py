"""Random weights on every core: torch's own generator fills a tensor on one, 7 billion weights in two minutes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

BLOCK = 2**20
"""Elements that one generator fills. Part of what decides the weights: see `identity.INIT_VERSION`."""

_FILLS = (torch.ops.aten.normal_.default, torch.ops.aten.uniform_.default)


class OnEveryCore(TorchDispatchMode):
    """While it is entered, a large tensor of the CPU is filled block by block, blocks beside each other.

    Each block has a generator of its own, seeded from the default generator and the block's place, so the weights are
    the same for any number of threads. Tensors of less than two blocks are filled as ever. Layers fill their weights
    when they are made, and models fill them again: both are met here, whichever function of torch asks.
    """

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func in _FILLS and _is_large(args[0]) and named.get("generator") is None:
            return _filled(func, args[0], args[1:])
        return func(*args, **named)


def _is_large(tensor: torch.Tensor) -> bool:
    return bool(tensor.device.type == "cpu" and tensor.numel() >= 2 * BLOCK and tensor.is_contiguous())


def _filled(fill: Callable[..., Any], tensor: torch.Tensor, how: Sequence[Any]) -> torch.Tensor:
    first = int(torch.randint(2**62, ()))
    blocks = tensor.detach().view(-1).split(BLOCK)

    def one(index: int) -> None:
        fill(blocks[index], *how, generator=torch.Generator().manual_seed(first + index))

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(one, range(len(blocks))))
    return tensor
