"""A trainer with known truth: its sleeps, tokens and allocations are what the probes must find."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import SimpleNamespace
from typing import Any

from harness.measure.fakes.clock import FakeClock
from harness.measure.fakes.devices import FakeAllocator, FakeQueue


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeStep:
    """One micro-batch: `real` of `padded` positions, `loss` carrying loss; seconds to load and to train; bytes to hold.

    `reference`: the batch goes through the reference too, without gradients; `left`: its padding is on the left;
    `seen`: the model is called, not its inside. `value` is its loss, `margin` its reward margin, where it has one. On a
    device it takes `device_s` of work, `forward_b` bytes from its forward to its backward's end, `backward_b` more
    during the backward. An optimizer step takes `optimizer_b` bytes, and the gradients' norm is `norm`: those of its
    last micro-batch.
    """

    real: int
    padded: int
    loss: int
    load_s: float = 0.0
    train_s: float = 0.0
    hold: int = 0
    reference: bool = False
    left: bool = False
    seen: bool = True
    value: float = 1.0
    margin: float | None = None
    norm: float = 1.0
    device_s: float = 0.0
    forward_b: int = 0
    backward_b: int = 0
    optimizer_b: int = 0


@dataclass(kw_only=True)
class FakeTrainer:
    """Runs `steps` as Hugging Face's loop would: fetch, train, step, log, evaluate. Needs torch, and no model.

    `accumulation` micro-batches make an optimizer step, the last one may have fewer. Evaluation sleeps `eval_s` after
    every `eval_every`th step, forwards a batch that must not be counted, takes `eval_b` bytes, and logs its loss.
    `copy_waits`: a batch is copied to the device once that has done all before, as accelerate's loader copies it.
    `sleep`, `allocator` and `queue` are what its time, its device's memory and its device's work are told to. It says
    that it is one of `world_size` processes.
    """

    steps: Sequence[FakeStep]
    accumulation: int = 1
    eval_every: int = 0
    eval_s: float = 0.0
    log_every: int = 1
    ref_model: Any = None
    held: list[bytearray] = field(default_factory=list)
    eval_b: int = 0
    sleep: Callable[[float], None] = time.sleep
    allocator: FakeAllocator = field(default_factory=lambda: FakeAllocator(device="none", up=False))
    queue: FakeQueue = field(default_factory=lambda: FakeQueue(FakeClock(), up=False))
    world_size: int = 1
    copy_waits: bool = False

    def __post_init__(self) -> None:
        self.model = fake_model()
        self.args = SimpleNamespace(
            device="cpu",
            fp16=False,
            gradient_checkpointing=False,
            loss_type="fake",
            world_size=self.world_size,
            to_dict=lambda: {"fake": True},
        )
        self.state = SimpleNamespace(global_step=0)
        self.control = SimpleNamespace(should_training_stop=False)
        self.optimizer = SimpleNamespace()
        self.accelerator = SimpleNamespace(backward=self._backward, non_blocking=not self.copy_waits)
        self.train_dataset, self.eval_dataset = list(self.steps), None
        self.callbacks: list[Any] = []

    def add_callback(self, callback: Any) -> None:
        self.callbacks.append(callback)

    def train(self) -> None:
        """The loop."""
        self._tell("on_train_begin")
        batches = self._load()
        whole = math.ceil(len(self.steps) / self.accumulation)
        for step in range(1, whole + 1):
            fetched, _ = self.get_batch_samples(batches, self.accumulation, "cpu")
            losses = [float(self.training_step(self.model, batch)) for batch in fetched]
            self._optimizer_step(fetched[-1]["step"])
            self.state.global_step = step
            self.control.should_training_stop = step == whole
            if self.control.should_training_stop:
                self.queue.wait()  # as the real loop does, which is synchronised after its last step
            self._tell("on_step_end")
            if step % self.log_every == 0:
                self._tell("on_log", logs=_logged([batch["step"] for batch in fetched], losses))
            if self.eval_every and step % self.eval_every == 0:
                self.queue.wait()  # and before an evaluation
                self.evaluate()
        self._tell("on_train_end")

    def get_batch_samples(self, iterator: Iterator[Any], count: int, device: Any) -> tuple[list[Any], None]:
        return list(islice(iterator, count)), None

    def training_step(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        import torch

        step: FakeStep = inputs["step"]
        if step.seen:
            self._forward(inputs)
        if step.reference:
            with torch.no_grad():
                (self.ref_model or self.model)(**_forwarded(inputs))
        if step.hold:
            self.held.append(bytearray(b"\1") * step.hold)
        self.allocator.take(step.forward_b)
        self.queue.launch(step.device_s)
        self.sleep(step.train_s)
        self.accelerator.backward(step)
        return torch.tensor(step.value)

    def _backward(self, step: FakeStep) -> None:
        self.allocator.take(step.backward_b)
        self.allocator.give(step.forward_b + step.backward_b)

    def _optimizer_step(self, step: FakeStep) -> None:
        self._tell("on_pre_optimizer_step")
        self.allocator.take(step.optimizer_b)
        self.allocator.give(step.optimizer_b)
        self._tell("on_optimizer_step")

    def evaluate(self) -> None:
        import torch

        with torch.no_grad():
            self._forward(_batch(FakeStep(real=1000, padded=1000, loss=1000)))
        self.allocator.take(self.eval_b)
        self.allocator.give(self.eval_b)
        self.sleep(self.eval_s)
        self._tell("on_log", logs={"eval_loss": 2.0, "eval_runtime": self.eval_s})

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        raise RuntimeError("the harness saves itself; a trainer that saves would be timed for it")

    def _forward(self, batch: Mapping[str, Any]) -> None:
        self.model(**_forwarded(batch))

    def _load(self) -> Iterator[Mapping[str, Any]]:
        for step in self.steps:
            if self.copy_waits:
                self.queue.wait()
            self.sleep(step.load_s)
            yield _batch(step)

    def _tell(self, event: str, **extra: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self.args, self.state, self.control, **extra)


@dataclass(frozen=True, kw_only=True)
class FakeMethod:
    """Says of a `FakeTrainer`'s batches what a `harness.methods.Method` says of TRL's."""

    name: str = "fake"
    reference: bool = False

    def loss_tokens(self, batch: Mapping[str, Any], trainer: Any) -> Any:
        return (batch["labels"] != -100).sum()

    def samples(self, batch: Mapping[str, Any]) -> int:
        return 1


def fake_model() -> Any:
    """A torch module of 10 weights, 4 of them frozen, that forwards nothing."""
    import torch

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trained = torch.nn.Parameter(torch.zeros(6))
            self.frozen = torch.nn.Parameter(torch.zeros(4), requires_grad=False)
            self.config = SimpleNamespace(_attn_implementation="none")

        def forward(self, input_ids: Any, attention_mask: Any = None) -> None:
            return None

    return Model()


def _batch(step: FakeStep) -> dict[str, Any]:
    import torch

    labels = torch.full((1, step.padded), -100)
    mask = torch.zeros(1, step.padded, dtype=torch.long)
    if step.left:
        labels[0, step.padded - step.loss :] = 1
        mask[0, step.padded - step.real :] = 1
    else:
        labels[0, : step.loss] = 1
        mask[0, : step.real] = 1
    return {
        "input_ids": torch.ones(1, step.padded, dtype=torch.long),
        "attention_mask": mask,
        "labels": labels,
        "step": step,
    }


def _logged(steps: Sequence[FakeStep], losses: Sequence[float]) -> dict[str, float]:
    logs = {"loss": sum(losses) / len(losses), "grad_norm": steps[-1].norm}
    margins = [step.margin for step in steps if step.margin is not None]
    return {**logs, "rewards/margins": sum(margins) / len(margins)} if margins else logs


def _forwarded(batch: Mapping[str, Any]) -> dict[str, Any]:
    return {name: batch[name] for name in ("input_ids", "attention_mask")}
