"""Stops a training whose loss or gradient is no longer a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.measure.probe import Probe
from harness.measure.recorder import Recorder
from harness.records.events import Event


class Diverged(Exception):
    """Loss, gradient norm or weights became NaN or infinite at optimizer step `step`."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(f"{what} at step {step}")
        self.step = step


class Divergence(Probe):
    """Watches every loss where reading it is free (CPU), and what the trainer logs everywhere."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._step = 0
        self._scaled = False

    def attached(self, trainer: Any, method: Any) -> None:
        self._scaled = bool(getattr(trainer.args, "fp16", False))

    def batch_end(self, loss: Any) -> None:
        if loss.device.type == "cpu" and not math.isfinite(value := float(loss)):
            raise Diverged(f"loss became {value}", self._step + 1)

    def step_end(self, event: Event) -> None:
        self._step = int(event["step"])

    def logged(self, step: int, values: Mapping[str, Any]) -> None:
        # With fp16 an infinite gradient norm is how loss scaling finds its scale: the step is skipped, no harm done.
        names = ("loss",) if self._scaled else ("loss", "grad_norm")
        for name in names:
            value = values.get(name)
            if isinstance(value, int | float) and not math.isfinite(value):
                raise Diverged(f"{name} became {value}", step)


def check_weights(model: Any, step: int) -> None:
    """Raises `Diverged` when a trained weight is NaN or infinite: the last step's damage shows in no loss."""
    import torch

    for name, weight in model.named_parameters():
        if weight.requires_grad and not bool(torch.isfinite(weight).all()):
            raise Diverged(f"weight {name} became non-finite", step)
