"""What memory is held for, summed from the tensors themselves: weights, gradients, optimizer state, a reference model.

What the device's allocator holds beside them is told by its own blocks: cuBLAS's workspaces, and what it rounds up.

Bytes are those of storages, each counted once: tied weights and views share one, a quantised tensor counts what it
really holds. They are summed right after an optimizer step, when gradients and optimizer state are there together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.measure.device import Allocator, Block, TorchAllocator
from harness.measure.optimizing import bare, states
from harness.measure.probe import Probe
from harness.measure.recorder import Recorder

STEPS = 2
"""Taken after the first step, in case there is no other, and after the second, which counts."""
UNEXPLAINED_SHARE = 0.03
WORKSPACES = 128 * 2**20
"""What nothing explains is worth a note from this share of the device's memory on, and beyond what cuBLAS takes where
its part is not told: on Hopper 32 MiB (NVIDIA, cublasSetWorkspace) for each of its two libraries in each of torch's two
threads."""

_HOLDERS = ("QuantState", "GaLoreProjector", "GradientProjector")
"""Classes that hold tensors: bitsandbytes' scales and code books beside 4-bit weights; what GaLore and APOLLO project
gradients with."""


@dataclass(slots=True)
class Ledger:
    """Counts storages, each once. `elsewhere`: bytes that torch's allocator of `device` does not hold."""

    device: Any
    elsewhere: int = 0
    _seen: set[tuple[str, int]] = field(default_factory=set)

    def knows(self, address: int) -> bool:
        """Whether a storage that was counted begins at this address of the device."""
        return (str(self.device), address) in self._seen

    def add(self, tensors: Iterable[Any]) -> int:
        """Bytes of the tensors' storages that were not counted before."""
        return sum(self._bytes(part) for tensor in tensors for part in parts(tensor))

    def _bytes(self, tensor: Any) -> int:
        if tensor.device.type == "meta":
            return 0
        storage = tensor.untyped_storage()
        key = (str(tensor.device), int(storage.data_ptr()))
        if key in self._seen or not storage.nbytes():
            return 0
        self._seen.add(key)
        # bitsandbytes' paged state lies in CUDA's managed memory; torch sees a tensor of the host.
        paged = bool(getattr(tensor, "is_paged", False))
        held = tensor.numel() * tensor.element_size() if paged else int(storage.nbytes())
        if paged or tensor.device != self.device:
            self.elsewhere += held
        return held


def parts(tensor: Any) -> Iterator[Any]:
    """The plain tensors that a tensor is made of: itself, or those inside a subclass that wraps others."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is not None:
        names, _ = flatten()
        for name in names:
            yield from parts(getattr(tensor, name))
    elif tensor.is_sparse:
        yield from (tensor._indices(), tensor._values())
    else:
        yield tensor


def tensors_in(value: Any, depth: int = 5) -> Iterator[Any]:
    """Every tensor in nested mappings and sequences, and in the attributes of `_HOLDERS`."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif depth and isinstance(value, Mapping):
        for inner in value.values():
            yield from tensors_in(inner, depth - 1)
    elif depth and isinstance(value, list | tuple):
        for inner in value:
            yield from tensors_in(inner, depth - 1)
    elif depth and type(value).__name__ in _HOLDERS:
        yield from tensors_in(vars(value), depth - 1)


def weights_of(model: Any) -> Iterator[Any]:
    """A module's parameters, with what bitsandbytes keeps beside quantised ones."""
    for weight in model.parameters():
        yield weight
        for name in ("quant_state", "CB", "SCB"):
            yield from tensors_in(getattr(weight, name, None))


def summed(trainer: Any, device: Any) -> tuple[dict[str, int], int]:
    """Bytes by what they are for, and how many of them lie elsewhere than on `device`; what cannot be told is left out.

    `weights` are all of the trained model's, frozen ones and adapters included; `buffers` its buffers; `reference` the
    other models that the trainer holds. The first category that names a storage has it.
    """
    ledger = Ledger(device)
    return sum_in(ledger, trainer), ledger.elsewhere


def sum_in(ledger: Ledger, trainer: Any) -> dict[str, int]:
    """`summed` into a ledger, which then knows every storage by its address."""
    import torch

    found = {"weights": ledger.add(weights_of(trainer.model)), "buffers": ledger.add(trainer.model.buffers())}
    others = [value for value in vars(trainer).values() if isinstance(value, torch.nn.Module)]
    found["reference"] = sum(ledger.add(weights_of(other)) + ledger.add(other.buffers()) for other in others)
    gradients = [weight.grad for weight in trainer.model.parameters() if weight.grad is not None]
    if gradients:
        found["gradients"] = ledger.add(gradients)
    if state := states(bare(trainer.optimizer)):
        found["optimizer"] = sum(ledger.add(tensors_in(one)) for one in state)
    return found


def beside(ledger: Ledger, blocks: Iterable[Block], workspace: int | None) -> dict[str, int]:
    """Bytes that the allocator's blocks hold beside the tensors of the ledger.

    `rounding`: what blocks take beyond what was asked for (sizes are multiples of 512 bytes, and of a large block a
    rest below 1 MiB is not split off; torch, `CUDACachingAllocator.cpp`). `workspace`: blocks of exactly the size of a
    workspace of cuBLAS where no storage in the ledger begins; torch keeps one for each thread and stream that
    multiplies (`CublasHandlePool.cpp`). They are looked at, not freed, so that the training allocates as without it.
    """
    found = {"rounding": 0, **({"workspace": 0} if workspace else {})}
    for block in blocks:
        found["rounding"] += block.taken - block.asked
        if workspace and block.asked == workspace and not ledger.knows(block.address):
            found["workspace"] += block.asked
    return found


def doubt(values: Mapping[str, int]) -> str | None:
    """What to say where the parts do not add up to what the device's allocator holds at the same moment."""
    unexplained, allocated = values.get("unexplained", 0), values.get("allocated", 0)
    untold = 0 if "workspace" in values else WORKSPACES
    if -UNEXPLAINED_SHARE * allocated <= unexplained <= max(UNEXPLAINED_SHARE * allocated, untold):
        return None
    return f"{abs(unexplained) / allocated:.1%} of the device's memory after a step is " + (
        "no weight, gradient, optimizer state, reference or workspace"
        if unexplained > 0
        else "counted that is not there"
    )


class Breakdown(Probe):
    """Records `breakdown` events of the first steps that stepped; costs nothing afterwards."""

    def __init__(self, recorder: Recorder, allocator: Allocator | None = None) -> None:
        super().__init__(recorder)
        self._allocator = allocator or TorchAllocator()
        self._trainer: Any = None
        self._left = 0
        self._said: set[str] = set()

    def attached(self, trainer: Any, method: Any) -> None:
        self._trainer, self._left = trainer, STEPS

    def optimizer_end(self) -> None:
        if not self._left:
            return
        if getattr(getattr(self._trainer, "accelerator", None), "optimizer_step_was_skipped", False):
            return  # fp16's scaler looks for its scale; there may be no state yet
        self._left -= 1
        try:
            self._record()
        except Exception as error:  # an exotic tensor must not end a training
            self._left = 0
            self._say(f"the breakdown of memory is not measured: {type(error).__name__}: {error}")

    def _record(self) -> None:
        device = next(self._trainer.model.parameters()).device
        ledger = Ledger(device)
        found = sum_in(ledger, self._trainer)
        elsewhere = ledger.elsewhere
        if "gradients" not in found:
            self._say("memory of gradients is not measured: none are there after the optimizer's step")
        if "optimizer" not in found:
            self._say("memory of the optimizer's state is not measured: it shows none")
        values = {**found, "elsewhere": elsewhere}
        if device.type == "cuda" and self._allocator.ready():
            values["allocated"] = self._allocator.figures()["device_allocated"]
            more = self._beside(ledger)
            values |= {
                **more,
                "unexplained": values["allocated"] - (sum(found.values()) - elsewhere) - sum(more.values()),
            }
        self.recorder.add("breakdown", values=values, device=device.type)
        if not self._left and (text := doubt(values)):
            self._say(text)

    def _beside(self, ledger: Ledger) -> dict[str, int]:
        try:
            return beside(ledger, self._allocator.blocks(), self._allocator.workspace())
        except Exception as error:  # other allocators than torch's own have no snapshot
            self._say(
                f"the allocator's rounding and cuBLAS's workspaces are not measured: {type(error).__name__}: {error}"
            )
            return {}

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.recorder.note("info", text)
