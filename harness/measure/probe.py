"""What a probe is: something that listens to one attempt and records what it sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.measure.recorder import Recorder
from harness.records.events import Event


class Probe:
    """Listens to an attempt; every method does nothing unless a probe says otherwise.

    Order of calls: `phase_begin` and `phase_end` from the attempt's start; `attached` once the trainer is built;
    `train_begin`; then per optimizer step `waited`, for each micro-batch `batch_begin`, `backward_begin` and
    `batch_end`, then `optimizer_begin`, `optimizer_end`, and `step_end`, which fills in the step's event; `logged` when
    the trainer logs; `paused` after an evaluation or a save inside training; `train_end`.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def attached(self, trainer: Any, method: Any) -> None:
        """The trainer is built and has not begun."""

    def train_begin(self) -> None:
        """Right before the first batch is fetched."""

    def waited(self, seconds: float) -> None:
        """The loop waited so long for one batch."""

    def batch_begin(self, batch: Mapping[str, Any]) -> None:
        """A micro-batch, as the trainer received it, is about to be forwarded."""

    def backward_begin(self) -> None:
        """The loss of that micro-batch is there; its backward is about to begin."""

    def batch_end(self, loss: Any) -> None:
        """Forward and backward of that micro-batch are done (on CUDA: launched); `loss` is a detached tensor."""

    def optimizer_begin(self) -> None:
        """All gradients of the step are there; the optimizer is about to use them."""

    def optimizer_end(self) -> None:
        """The optimizer has stepped; the gradients are not yet set to zero."""

    def paused(self, name: str, seconds: float) -> None:
        """An evaluation or a save inside training took so long."""

    def step_end(self, event: Event) -> None:
        """An optimizer step is done; `event` is its `step` event with `step` and `measured` set."""

    def logged(self, step: int, values: Mapping[str, Any]) -> None:
        """The trainer logged."""

    def phase_begin(self, name: str) -> None:
        """A phase of the attempt is about to begin."""

    def phase_end(self, name: str) -> None:
        """A phase of the attempt is about to end."""

    def train_end(self) -> None:
        """The last step is done."""
