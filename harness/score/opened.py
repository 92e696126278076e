"""What a backend's child half offers: models opened one after the other. Imported by the scoring child alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.records.score import Served
from harness.score.jobs import JobCheckpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A checkpoint ready to be asked. `lm` is lm-eval's model object (`lm_eval.api.model.LM`) over its weights.

    `null` is true of an adapter whose matrices change nothing, so that it must answer as its base does. `bare` makes
    `lm` the base of an adapter that stands beside it, for as long as it is open.
    """

    lm: Any
    served: Served
    notes: tuple[str, ...] = ()
    null: bool = False
    bare: Callable[[], AbstractContextManager[Any]] | None = None


class Opener(Protocol):
    """Lives in the child, from the first checkpoint of a job to the last, and may share what is costly among them."""

    def open(self, checkpoint: JobCheckpoint) -> AbstractContextManager[Opened]:
        """The checkpoint's weights; closed before the next is opened."""

    def base(self, checkpoint: JobCheckpoint) -> AbstractContextManager[Any] | None:
        """lm-eval's model over an adapter's base; None where the backend would have to load it for that."""

    def again(self, checkpoint: JobCheckpoint) -> AbstractContextManager[Opened] | None:
        """The checkpoint by a way that cannot ignore it, where there is one and it was not taken at first."""

    def first(self) -> AbstractContextManager[Any] | None:
        """lm-eval's model over the weights that a shared engine began with; None without such an engine."""

    def lives(self) -> bool:
        """Whether it still answers, after something was raised."""

    def close(self) -> None:
        """Gives back what it holds."""


def changes_nothing(folder: Path) -> bool:
    """Whether an adapter's matrices are such that every product of theirs is zero: as before its first step."""
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        return False
    from safetensors.torch import load_file

    tensors = load_file(str(path))
    zero = {name: not tensor.any().item() for name, tensor in tensors.items()}
    for name in zero:
        if ".lora_A." in name:
            if not zero[name] and not zero.get(name.replace(".lora_A.", ".lora_B."), False):
                return False
        elif ".lora_B." not in name:
            return False  # something else than LoRA: whole layers, biases
    return True
