"""One forward as it is called: positions, sequences, logits, read without making anything wait for the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, Literal

from harness.measure.flops import Window, Work, pairs
from harness.measure.owed import Transfer, on_device, send_from_device

Kind = Literal["policy", "reference", "metrics"]
"""`metrics`: a forward without gradients that no loss asks for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Forward:
    """A forward of `rows` × `length` positions, and the tensors that tell the rest, on whatever device they are.

    `tensors`: `mask`, real positions of each row; or `boundaries` of the documents of a padding-free row; or its
    `places` (position ids). `loss`: positions that carry loss. `labelled`: positions a fused head makes logits for,
    where it leaves out those without a label. `fused`: TRL's head, which makes logits in tiles and keeps none.
    """

    kind: Kind
    rows: int
    length: int
    padded_to: int | None
    fused: bool
    tensors: Mapping[str, Any]

    def read(self, numbers: Mapping[str, Sequence[int]]) -> Counted:
        """The forward with what its tensors hold."""
        labelled = numbers.get("labelled")
        return Counted(
            kind=self.kind,
            rows=self.rows,
            length=self.length,
            fused=self.fused,
            lengths=self._lengths(numbers),
            loss=numbers["loss"][0],
            labelled=None if labelled is None else labelled[0],
        )

    def _lengths(self, numbers: Mapping[str, Sequence[int]]) -> list[int]:
        if "mask" in numbers:
            return list(numbers["mask"])
        if "boundaries" in numbers:
            return self._documents(numbers["boundaries"])
        if "places" in numbers:
            starts = [at for at, place in enumerate(numbers["places"]) if place == 0]
            return self._documents([*starts, len(numbers["places"])]) * (
                self.rows * self.length // len(numbers["places"])
            )
        return [self.length] * self.rows

    def _documents(self, boundaries: Sequence[int]) -> list[int]:
        """`pad_to_multiple_of` ends a padding-free row in positions that look like documents of one token each."""
        found = [end - start for start, end in pairwise(boundaries)]
        most = (self.padded_to or 1) - 1
        while most and found and found[-1] == 1:
            found, most = found[:-1], most - 1
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """A forward in numbers. `lengths`: real positions of each sequence that attends to itself alone."""

    kind: Kind
    rows: int
    length: int
    fused: bool
    lengths: Sequence[int]
    loss: int
    labelled: int | None

    def asked(self, windows: Iterable[Window]) -> Work:
        """What the loss asks for: real positions, logits where there is loss."""
        return Work(sum(self.lengths), self.loss, pairs(self.lengths, windows))

    def done(self, windows: Iterable[Window], *, dense: bool) -> Work:
        """What is computed: padding too, and with a `dense` attention kernel all pairs of a row, masked or not."""
        positions = self.rows * self.length
        formed = dict.fromkeys(windows, positions * self.length) if dense else pairs(self.lengths, windows)
        if not self.fused:
            return Work(positions, positions, formed)
        return Work(positions, positions - self.rows if self.labelled is None else self.labelled, formed)


def seen(
    kind: Kind, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, padded_to: int | None, compact: bool, loss: Any
) -> Forward:
    """The forward that a model is called with. `compact`: a fused head leaves out positions without a label.

    `loss`: positions that carry loss, a tensor or a number.
    """
    ids = kwargs.get("input_ids")
    if ids is None:
        ids = args[0]
    fused = bool(kwargs.get("fused_lm_head"))
    tensors = {"loss": loss, **_sequences(args, kwargs)}
    if fused and compact and kwargs.get("labels") is not None:
        tensors["labelled"] = (kwargs["labels"][:, 1:] != -100).sum()
    return Forward(
        kind=kind, rows=int(ids.shape[0]), length=int(ids.shape[1]), padded_to=padded_to, fused=fused, tensors=tensors
    )


def _sequences(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    mask = kwargs.get("attention_mask")
    if mask is None and len(args) > 1:
        mask = args[1]
    if mask is not None:
        return {"mask": mask.sum(-1)}
    for name, key in (("boundaries", "cu_seq_lens_q"), ("places", "position_ids")):
        if kwargs.get(key) is not None:
            return {name: kwargs[key]}
    return {}


class Fetched:
    """Tensors of many forwards on their way to the host: in one copy that nothing waits for."""

    def __init__(self, forwards: Sequence[Forward]) -> None:
        self._forwards = forwards
        tensors = [tensor for forward in forwards for tensor in forward.tensors.values()]
        self._sizes = [1 if isinstance(tensor, int) else int(tensor.numel()) for tensor in tensors]
        self._transfer = _send(tensors)

    def ready(self) -> bool:
        """Whether they have arrived; never waits."""
        return self._transfer.ready()

    def read(self) -> list[Counted]:
        """The forwards in numbers, in order. Waits for what has not arrived."""
        flat, at, sizes = self._transfer.read(), 0, iter(self._sizes)
        found = []
        for forward in self._forwards:
            numbers = {}
            for name in forward.tensors:
                size = next(sizes)
                numbers[name] = flat[at : at + size]
                at += size
            found.append(forward.read(numbers))
        return found


def _send(tensors: Sequence[Any], copy: Callable[[Sequence[Any]], Transfer] = send_from_device) -> Transfer:
    """Starts one copy to the host of all tensors that lie on a device, of whatever shapes; the rest is read at once.

    Nothing is moved to the device for it: such a copy would wait for all that the device has still to do.
    """
    lying = [tensor for tensor in tensors if on_device(tensor)]
    here = [None if on_device(tensor) else _numbers(tensor) for tensor in tensors]
    if not lying:
        flat = [number for numbers in here for number in numbers or ()]
        return Transfer(ready=lambda: True, read=lambda: flat)
    transfer, sizes = copy(lying), [int(tensor.numel()) for tensor in lying]

    def read() -> list[int]:
        arrived, size = iter(transfer.read()), iter(sizes)
        parts = (islice(arrived, next(size)) if numbers is None else numbers for numbers in here)
        return [number for part in parts for number in part]

    return Transfer(ready=transfer.ready, read=read)


def _numbers(tensor: Any) -> list[int]:
    return [tensor] if isinstance(tensor, int) else [int(number) for number in tensor.reshape(-1).tolist()]
