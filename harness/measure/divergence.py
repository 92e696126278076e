"""Says when a training diverges, and ends it where the trial says so: no longer a number, or above a limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from harness.measure.probe import Probe
from harness.measure.recorder import Recorder
from harness.records.events import Event
from harness.records.spec import Spec

FINDING = "diverged"
"""Name of the finding that a divergence leaves, whether or not it ends the training."""


class Diverged(Exception):
    """Loss, gradient norm or weights became NaN or infinite at optimizer step `step`, or rose above a limit."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(f"{what} at step {step}")
        self.step = step


@dataclass(frozen=True, kw_only=True, slots=True)
class Tolerance:
    """What a trial puts up with.

    `diverged` is `stop` or `report`: what a figure that is not finite does. A logged loss above `max_loss`, or a
    gradient norm above `max_grad_norm` after the first `warmup_steps` steps, ends the training either way.
    """

    diverged: Literal["stop", "report"] = "stop"
    max_loss: float | None = None
    max_grad_norm: float | None = None
    warmup_steps: int = 0

    @classmethod
    def of(cls, spec: Spec) -> Tolerance:
        """What the trial's spec says; an unknown word means the default, so that older and newer specs are read."""
        return cls(
            diverged="report" if spec.diverged == "report" else "stop",
            max_loss=spec.max_loss,
            max_grad_norm=spec.max_grad_norm,
            warmup_steps=spec.warmup_steps,
        )


class Divergence(Probe):
    """Watches every loss where reading it is free (CPU), and what the trainer logs everywhere.

    What it finds is recorded as a finding, once, before anything is raised.
    """

    def __init__(self, recorder: Recorder, tolerance: Tolerance | None = None) -> None:
        super().__init__(recorder)
        self.tolerance = tolerance or Tolerance()
        self._step = 0
        self._scaled = False
        self._said = False
        self._count_answerless: Callable[[Mapping[str, Any]], Any] | None = None
        self._answerless: Any = 0

    def attached(self, trainer: Any, method: Any) -> None:
        self._scaled = bool(getattr(trainer.args, "fp16", False))
        self._count_answerless = getattr(method, "answerless", None)

    def batch_begin(self, batch: Mapping[str, Any]) -> None:
        if self._count_answerless is not None:
            self._answerless = self._answerless + self._count_answerless(batch)

    def batch_end(self, loss: Any) -> None:
        if self._said:  # it goes on after the first report: there is nothing more to read from every loss
            return
        if loss.device.type == "cpu" and not math.isfinite(value := float(loss)):
            self._not_finite("loss", f"loss became {value}", self._step + 1)

    def step_end(self, event: Event) -> None:
        self._step = int(event["step"])

    def logged(self, step: int, values: Mapping[str, Any]) -> None:
        # With fp16 an infinite gradient norm is how loss scaling finds its scale: the step is skipped, no harm done.
        for name in ("loss",) if self._scaled else ("loss", "grad_norm"):
            value = values.get(name)
            if _is_number(value) and not math.isfinite(value):
                self._not_finite(name, f"{name} became {value}", step)
        self._limit("loss", values, self.tolerance.max_loss, step)
        if step > self.tolerance.warmup_steps:
            self._limit("grad_norm", values, self.tolerance.max_grad_norm, step)

    def check_weights(self, model: Any, step: int) -> None:
        """Looks for trained weights that are no longer finite: the last step's damage shows in no loss.

        Raises:
            Diverged: there is one, and the trial stops at that.
        """
        name = broken_weight(model)
        if name is not None:
            self._not_finite("weights", f"weight {name} became non-finite", step)

    def _limit(self, name: str, values: Mapping[str, Any], limit: float | None, step: int) -> None:
        value = values.get(name)
        if limit is None or not _is_number(value) or not value > limit:
            return
        if name == "grad_norm" and self._scaled and not math.isfinite(value):
            return
        what = f"{name} {value:.6g} is above the limit of {limit:.6g}"
        self._record(name, what, step, limit=limit, value=value)
        raise Diverged(what, step)

    def _not_finite(self, name: str, what: str, step: int) -> None:
        if not self._said:
            if pairs := int(self._answerless):  # reading it waits for the device, which matters no more
                what += f": {pairs} of the pairs so far had no answer left within max_length, and their loss is 0 ÷ 0"
            self._record(name, what, step)
        self._said = True
        if self.tolerance.diverged == "stop":
            raise Diverged(what, step)

    def _record(self, of: str, what: str, step: int, **more: float) -> None:
        self.recorder.add("finding", name=FINDING, step=step, level="warning", text=what, of=of, **more)


def tolerate(probes: Sequence[Probe], tolerance: Tolerance) -> Divergence:
    """The divergence probe among these, told what its trial puts up with.

    Raises:
        ValueError: there is none.
    """
    for probe in probes:
        if isinstance(probe, Divergence):
            probe.tolerance = tolerance
            return probe
    raise ValueError("no divergence probe among the probes")


def broken_weight(model: Any) -> str | None:
    """Name of the first trained weight that holds a NaN or an infinity; None where all are finite."""
    import torch

    for name, weight in model.named_parameters():
        if weight.requires_grad and not bool(torch.isfinite(weight).all()):
            return str(name)
    return None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
