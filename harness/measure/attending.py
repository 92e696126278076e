"""Which kernels torch's scaled_dot_product_attention chose: asked of torch's own choice at each call of one step.

Which it may choose is a switch; which it does depends on mask, dtype, head size and device, call by call.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

_NAMES = {0: "math", 1: "flash", 2: "memory_efficient", 3: "cudnn"}  # torch.nn.attention.SDPBackend
_NAME = "scaled_dot_product_attention"


class Kernels:
    """Stands before torch's attention from `watch` to `stop`; `found` are the kernels it chose for trained layers.

    Forwards without gradients are passed over: those of a reference, and the first ones of checkpointed layers.
    """

    def __init__(self) -> None:
        self._chosen: set[str] = set()
        self._seen: set[Any] = set()
        self._torchs: Any = None
        self._watching = False

    def watch(self) -> None:
        """Begins to look."""
        from torch.nn import functional

        if not self._watching:
            self._torchs, self._watching = getattr(functional, _NAME), True
            setattr(functional, _NAME, self._called)

    def stop(self) -> None:
        """Puts torch's own function back."""
        if self._watching:
            from torch.nn import functional

            setattr(functional, _NAME, self._torchs)
            self._watching = False

    @property
    def found(self) -> list[str] | None:
        """The kernels by name, sorted; None where attention never came by."""
        return sorted(self._chosen) or None

    def _called(self, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        with suppress(Exception):  # a torch that is asked otherwise: the fact stays unknown, the forward goes on
            self._look(query, key, value, *args, **kwargs)
        return self._torchs(query, key, value, *args, **kwargs)

    def _look(
        self,
        query: Any,
        key: Any,
        value: Any,
        attn_mask: Any = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        import torch

        if not torch.is_grad_enabled():
            return
        mask = None if attn_mask is None else (attn_mask.shape, attn_mask.dtype, attn_mask.requires_grad)
        alike = [(one.shape, one.dtype, one.stride(), one.requires_grad) for one in (query, key, value)]
        sort = (*alike, mask, dropout_p, is_causal, enable_gqa)
        if sort in self._seen:
            return
        self._seen.add(sort)
        kind = query.device.type
        if torch.is_autocast_enabled(kind):  # it casts on the way in, before the choice
            to = torch.get_autocast_dtype(kind)
            query, key, value = (
                one.detach().to(to).requires_grad_(one.requires_grad) for one in (query, key, value)
            )  # beside the graph: a checkpointed layer has to come by the same tensors when it is computed again
            if attn_mask is not None and attn_mask.is_floating_point():
                attn_mask = attn_mask.detach().to(to)
        chosen = torch._fused_sdp_choice(
            query,
            key,
            value,
            attn_mask=attn_mask,
            dropout_p=dropout_p,
            is_causal=is_causal,
            scale=scale,
            enable_gqa=enable_gqa,
        )
        self._chosen.add(_NAMES.get(int(chosen), str(chosen)))
