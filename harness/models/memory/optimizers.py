"""What optimizers keep per parameter, by transformers' names for them, and what a step needs beside it.

Sources, each read as installed: torch 2.13 `torch/optim/*.py` (states are `zeros_like` of the parameter), bitsandbytes
0.50 `optim/optimizer.py` (fp32 states, or one byte and a 4-byte maximum per 256 elements; tensors below 4,096 elements
stay fp32; paged ones from 100,000 elements on lie in managed memory), transformers 5.19 `optimization.py` (Adafactor's
rows and columns) and `trainer.py` (embeddings keep fp32 states under 8-bit optimizers of bitsandbytes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from harness.models.architecture import Unknown
from harness.models.memory.held import Held

_SMALL = 4096  # elements; bitsandbytes keeps smaller tensors in fp32
_PAGED_FROM = 100_000  # elements
_BLOCK = 256  # elements that share one scale
_BOOK = 1024  # bytes of a code book of bitsandbytes, one a state, whatever the number of tensors
_STEP = 4  # bytes of torch's fp32 step counter, or of Adafactor's scale; one a tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Bytes that an optimizer keeps. `paged`: those in managed memory; `step`: what one step needs for a moment."""

    kept: int = 0
    paged: int = 0
    step: int = 0


Rule = Callable[[Held], tuple[int, int]]
"""(bytes kept, bytes of them paged) for one tensor."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    rule: Rule
    copies: int = 0  # of all trained parameters, held during a step by torch's multi-tensor code
    largest: int = 0  # fp32 copies of the largest tensor, held during a step
    casts: int = 0  # and further ones where it is in half precision
    books: int = 0  # code books of 8-bit states


def _like(states: int, *, counter: bool = True) -> Rule:
    """`states` tensors like the parameter, in its dtype, as torch's own optimizers keep them."""

    def rule(tensor: Held) -> tuple[int, int]:
        return states * tensor.numel * tensor.width + _STEP * counter, 0

    return rule


def _eight_bit(tensor: Held) -> bool:
    return tensor.numel >= _SMALL and not tensor.embedding


def _bnb(states: int, bits: int, *, paged: bool = False) -> Rule:
    """bitsandbytes: fp32, or a byte per element and a scale per block."""

    def rule(tensor: Held) -> tuple[int, int]:
        eight = bits == 8 and _eight_bit(tensor)
        elements = states * tensor.numel * (1 if eight else 4)
        scales = states * 4 * -(-tensor.numel // _BLOCK) if eight else 0
        return elements + scales, elements if paged and tensor.numel >= _PAGED_FROM else 0

    return rule


def _torchao(bits: int, block: int) -> Rule:
    """torchao's low-bit AdamW: codes and a scale per block; what the block does not divide stays in its dtype."""

    def rule(tensor: Held) -> tuple[int, int]:
        low = tensor.numel >= _SMALL and tensor.numel % block == 0
        one = tensor.numel * bits // 8 + 4 * (tensor.numel // block) if low else tensor.numel * tensor.width
        return 2 * one + _STEP, 0

    return rule


def _adafactor(tensor: Held) -> tuple[int, int]:
    """Second moments only, in fp32: a row and a column of a matrix, all of a vector, and a scale (`beta1` is null)."""
    if len(tensor.shape) < 2:
        return 4 * tensor.numel + _STEP, 0
    rows, columns = tensor.shape[-2:]
    return 4 * tensor.numel // (rows * columns) * (rows + columns) + _STEP, 0


_KINDS: Mapping[str, _Kind] = {
    "adamw_torch": _Kind(rule=_like(2), copies=1),
    "adamw_torch_fused": _Kind(rule=_like(2)),
    "adamw_torch_8bit": _Kind(rule=_torchao(8, 256), largest=2),
    "adamw_torch_4bit": _Kind(rule=_torchao(4, 128), largest=2),
    "adafactor": _Kind(rule=_adafactor, largest=2, casts=2),  # update and its scale; gradient and weight
    "sgd": _Kind(rule=lambda tensor: (0, 0)),
    "adagrad": _Kind(rule=_like(1), copies=1),
    "rmsprop": _Kind(rule=_like(1), copies=1),
    **dict.fromkeys(("adamw_bnb_8bit", "adamw_8bit"), _Kind(rule=_bnb(2, 8), books=2)),
    "paged_adamw_32bit": _Kind(rule=_bnb(2, 32, paged=True)),
    "paged_adamw_8bit": _Kind(rule=_bnb(2, 8, paged=True), books=2),
    "lion_32bit": _Kind(rule=_bnb(1, 32)),
    "lion_8bit": _Kind(rule=_bnb(1, 8), books=1),
    "paged_lion_32bit": _Kind(rule=_bnb(1, 32, paged=True)),
    "paged_lion_8bit": _Kind(rule=_bnb(1, 8, paged=True), books=1),
    **dict.fromkeys(("rmsprop_bnb", "rmsprop_bnb_32bit"), _Kind(rule=_bnb(1, 32))),
    "rmsprop_bnb_8bit": _Kind(rule=_bnb(1, 8), books=1),
    "ademamix": _Kind(rule=_bnb(3, 32)),
    "ademamix_8bit": _Kind(rule=_bnb(3, 8), books=2),
    "paged_ademamix_32bit": _Kind(rule=_bnb(3, 32, paged=True)),
    "paged_ademamix_8bit": _Kind(rule=_bnb(3, 8, paged=True), books=2),
}
OPTIMIZERS = tuple(_KINDS)
"""Names whose state is known here."""


def state(name: str, options: object, tensors: Iterable[Held]) -> State:
    """What the optimizer keeps for the trained of these tensors; `options` is `optim_args`.

    Raises:
        Unknown: an optimizer that is not known here, or one with options of its own.
    """
    kind = _KINDS.get(name)
    if kind is None:
        raise Unknown(f"what the optimizer {name!r} keeps is not known here")
    if options:
        raise Unknown("train.optim_args may change what the optimizer keeps")
    trained = [tensor for tensor in tensors if tensor.trained]
    kept = paged = 0
    for tensor in trained:
        held, on_host = kind.rule(tensor)
        kept += held * tensor.count
        paged += on_host * tensor.count
    if any(_eight_bit(tensor) for tensor in trained):
        kept += kind.books * _BOOK
    everything = sum(tensor.bytes for tensor in trained)
    one = max((4 * t.numel * (kind.largest + kind.casts * (t.width < 4)) for t in trained), default=0)
    return State(kept=kept, paged=paged, step=kind.copies * everything + one)
