"""torch's own FLOP counter, taught the CPU's kernels that it has no formula for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def counting() -> Any:
    """A `FlopCounterMode` that knows the CPU's attention kernel and `addmm_`, which it leaves out otherwise."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

    def forward(query: Any, key: Any, value: Any, *rest: Any, **more: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    def backward(gradient: Any, query: Any, key: Any, value: Any, *rest: Any, **more: Any) -> int:
        return int(sdpa_backward_flop_count(gradient, query, key, value))

    def product(into: Any, left: Any, right: Any, *rest: Any, **more: Any) -> int:
        return 2 * int(left[0]) * int(left[1]) * int(right[1])

    aten = torch.ops.aten
    known: dict[Any, Callable[..., int]] = {
        aten._scaled_dot_product_flash_attention_for_cpu: forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
        aten.addmm_: product,
    }
    return FlopCounterMode(display=False, custom_mapping=known)
