"""Tokens of each optimizer step, counted on the batches that the models forward.

`real_tokens` are positions that are not padding, `padded_tokens` all positions of the tensor, `loss_tokens` those that
carry loss (the method knows which), `reference_tokens` real positions forwarded through a reference model. Counts stay
on the device as tensors until the recorder writes: a step is never made to wait for its own count.

Every forward of TRL's SFT, DPO and ORPO trainers goes through the model's own call, where the hooks are: the fused
heads of SFT and DPO and Liger's kernels replace what is inside. Layers that gradient checkpointing runs again are
inside too, so nothing counts twice. Should a trainer pass the model by, its steps have no counts, not wrong ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.measure.active import compiles, reference_kind
from harness.measure.owed import Owed
from harness.measure.probe import Probe
from harness.measure.recorder import Recorder
from harness.records.events import Event

NOT_SEEN = "step_without_tokens"
"""The finding of a step in which nothing was seen to be forwarded."""


@dataclass(frozen=True, slots=True)
class Padding:
    """How a padding-free batch is padded at its end: `token` fills it up to a multiple of `multiple` positions."""

    token: int
    multiple: int


class TokenCounter(Probe):
    """Counts what is forwarded between `batch_begin` and `batch_end`; evaluation happens outside of both."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._trainer: Any = None
        self._method: Any = None
        self._padding: Padding | None = None
        self._reference_expected = False
        self._grad_enabled: Any = None
        self._owed = Owed(recorder)
        self._said: set[str] = set()
        self._largest = (0, 0, 0)  # positions, rows, length
        self._before = (0, 0)
        self._reset()

    def _reset(self) -> None:
        self._inside = False
        self._real: Any = 0
        self._reference: Any = 0
        self._loss: Any = 0
        self._samples: Any = 0
        self._padded = 0
        self._forwards = self._reference_forwards = 0
        self._missed = self._reference_missed = False  # whether a micro-batch passed the model, the reference by

    def attached(self, trainer: Any, method: Any) -> None:
        import torch

        self._grad_enabled = torch.is_grad_enabled
        self._trainer, self._method = trainer, method
        multiple = getattr(trainer.args, "pad_to_multiple_of", None)
        if multiple:
            self._padding = Padding(trainer.processing_class.pad_token_id, multiple)
        self._reference_expected = reference_kind(trainer, method) in ("copy", "adapter_off")
        # torch.compile would compile a hook too, and again whenever a count it has seen differs.
        untouched: Callable[[Any], Any] = torch.compiler.disable if compiles(trainer) else lambda hook: hook
        trainer.model.register_forward_pre_hook(untouched(self._policy_forward), with_kwargs=True)
        reference = getattr(trainer, "ref_model", None)
        if reference is not None:
            reference.register_forward_pre_hook(untouched(self._reference_forward), with_kwargs=True)

    def train_begin(self) -> None:
        self._reset()  # of a training that broke off inside a step

    def train_end(self) -> None:
        """The largest batch tells how much of a prediction's error is that of the batches it assumed."""
        positions, rows, length = self._largest
        if positions:
            self.recorder.add("batch", rows=rows, length=length)

    def batch_begin(self, batch: Mapping[str, Any]) -> None:
        self._inside = True
        self._before = self._forwards, self._reference_forwards
        self._loss = self._loss + self._method.loss_tokens(batch, self._trainer)
        self._samples = self._samples + self._method.samples(batch) - self._padding_documents(batch)

    def batch_end(self, loss: Any) -> None:
        self._inside = False
        forwards, reference_forwards = self._before
        self._missed |= self._forwards == forwards
        self._reference_missed |= self._reference_forwards == reference_forwards

    def step_end(self, event: Event) -> None:
        counts: dict[str, Any] = {"loss_tokens": self._loss, "samples": self._samples}
        if self._forwards and not self._missed:
            counts |= {"real_tokens": self._real, "padded_tokens": self._padded}
        else:
            self._not_seen(event, "model")
        if (self._reference_forwards and not self._reference_missed) or not self._reference_expected:
            counts["reference_tokens"] = self._reference
        elif self._forwards:
            self._not_seen(event, "reference")
        self._owed.add(event, counts)
        self._reset()

    def phase_begin(self, name: str) -> None:
        self._owed.hurry()

    def phase_end(self, name: str) -> None:
        self._owed.hurry()

    def _policy_forward(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A forward with gradients trains; one without is the reference's, if there is one (the adapter turned off)."""
        if not self._inside:
            return
        if self._grad_enabled():
            real, padded = positions(args, kwargs, self._padding)
            self._real = self._real + real
            self._padded += padded
            self._largest = max(self._largest, (padded, *_sides(args, kwargs)))
            self._forwards += 1
        elif self._method.reference:
            self._reference_forward(module, args, kwargs)

    def _reference_forward(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._inside:
            real, _ = positions(args, kwargs, self._padding)
            self._reference = self._reference + real
            self._reference_forwards += 1

    def _padding_documents(self, batch: Mapping[str, Any]) -> Any:
        """Padding at the end of a padding-free batch, of which each position looks like a document."""
        if self._padding is None or "cu_seq_lens_q" not in batch:
            return 0
        return tail(batch["input_ids"], batch["position_ids"], self._padding)

    def _not_seen(self, event: Event, what: str) -> None:
        """Says once that a step's tokens could not be counted; they are absent then, and so are figures of them."""
        if what not in self._said:
            self._said.add(what)
            text = f"a batch of this step was not seen to go through the {what}: its tokens are not counted"
            self.recorder.add("finding", name=NOT_SEEN, step=event["step"], level="warning", text=text)


def positions(args: tuple[Any, ...], kwargs: Mapping[str, Any], padding: Padding | None = None) -> tuple[Any, int]:
    """Real positions (a tensor, or an int where no mask exists) and all positions of one forward call.

    A padding-free batch has no mask: every position is real, save the tail that `pad_to_multiple_of` adds.
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
    return total - tail(ids, position_ids, padding), total


def _sides(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, int]:
    """Rows of a forward call, and positions of each."""
    ids = kwargs.get("input_ids")
    rows, length = (args[0] if ids is None else ids).shape
    return int(rows), int(length)


def tail(ids: Any, position_ids: Any, padding: Padding) -> Any:
    """How many positions at the end of a padding-free batch are padding, as a tensor.

    They show as pad tokens whose position id stays 0, and are fewer than the multiple. Nothing tells them from
    documents that consist of the pad token alone and lie right before them.
    """
    end = slice(max(0, ids.shape[-1] - padding.multiple + 1), None)
    padded = (position_ids[..., end] == 0) & (ids[..., end] == padding.token)
    return padded.flip(-1).cumprod(-1).sum()
