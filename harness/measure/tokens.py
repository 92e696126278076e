"""Tokens of each optimizer step, counted on the batches that the models forward.

`real_tokens` are positions that are not padding, `padded_tokens` all positions of the tensor, `loss_tokens` those that
carry loss (the method knows which), `reference_tokens` real positions forwarded through a reference model. Counts stay
on the device as tensors until the recorder flushes: a step is never made to wait for its own count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.measure.probe import Probe
from harness.measure.recorder import Recorder
from harness.records.events import Event

COUNTS = ("real_tokens", "loss_tokens", "reference_tokens")


class TokenCounter(Probe):
    """Counts what is forwarded between `batch_begin` and `batch_end`; evaluation happens outside of both."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._trainer: Any = None
        self._method: Any = None
        self._padding: int | None = None
        self._inside = False
        self._grad_enabled: Any = None
        self._pending: list[tuple[Event, dict[str, Any]]] = []
        self._reset()
        recorder.before_flush.append(self._settle)

    def _reset(self) -> None:
        self._counts: dict[str, Any] = dict.fromkeys(COUNTS, 0)
        self._padded = 0
        self._samples = 0

    def attached(self, trainer: Any, method: Any) -> None:
        import torch

        self._grad_enabled = torch.is_grad_enabled
        self._trainer, self._method = trainer, method
        if getattr(trainer.args, "pad_to_multiple_of", None):
            self._padding = trainer.processing_class.pad_token_id
        trainer.model.register_forward_pre_hook(self._policy_forward, with_kwargs=True)
        reference = getattr(trainer, "ref_model", None)
        if reference is not None:
            reference.register_forward_pre_hook(self._reference_forward, with_kwargs=True)

    def batch_begin(self, batch: Mapping[str, Any]) -> None:
        self._inside = True
        self._counts["loss_tokens"] = self._counts["loss_tokens"] + self._method.loss_tokens(batch, self._trainer)
        self._samples += self._method.samples(batch)

    def batch_end(self, loss: Any) -> None:
        self._inside = False

    def step_end(self, event: Event) -> None:
        event["padded_tokens"] = self._padded
        event["samples"] = self._samples
        self._pending.append((event, self._counts))
        self._reset()

    def _policy_forward(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A forward with gradients trains; one without is the reference's, if there is one (the adapter turned off)."""
        if not self._inside:
            return
        if self._grad_enabled():
            real, padded = positions(args, kwargs, self._padding)
            self._counts["real_tokens"] = self._counts["real_tokens"] + real
            self._padded += padded
        elif self._method.reference:
            self._reference_forward(module, args, kwargs)

    def _reference_forward(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._inside:
            real, _ = positions(args, kwargs, self._padding)
            self._counts["reference_tokens"] = self._counts["reference_tokens"] + real

    def _settle(self) -> None:
        """Reads the counts of finished steps from the device into their events."""
        for event, counts in self._pending:
            event.update({name: int(counts[name]) for name in COUNTS})
        self._pending.clear()


def positions(args: tuple[Any, ...], kwargs: Mapping[str, Any], padding: int | None = None) -> tuple[Any, int]:
    """Real positions (a tensor, or an int where no mask exists) and all positions of one forward call.

    A padding-free batch has no mask: every position is real, save the tail that `pad_to_multiple_of` adds, which
    shows as pad tokens (`padding`) whose position id stays 0.
    """
    ids = kwargs.get("input_ids")
    if ids is None:
        ids = args[0]
    total = int(ids.numel())
    mask = kwargs.get("attention_mask")
    if mask is None and len(args) > 1:
        mask = args[1]
    if mask is not None:
        return mask.sum(), total
    position_ids = kwargs.get("position_ids")
    if padding is None or position_ids is None:
        return total, total
    tail = ((position_ids == 0) & (ids == padding)).flip(-1).cumprod(-1)
    return total - tail.sum(), total
