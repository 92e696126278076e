"""Ties the probes to a trainer: what happens in Hugging Face's loop becomes calls of the probes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from harness.measure.active import Active
from harness.measure.breakdown import Breakdown
from harness.measure.clock import StepClock, TimedIterator
from harness.measure.compute import Compute
from harness.measure.curves import Curves
from harness.measure.device_time import DeviceTime
from harness.measure.divergence import Divergence
from harness.measure.load import HostLoad
from harness.measure.memory import Memory
from harness.measure.probe import Probe
from harness.measure.recorder import Recorder
from harness.measure.sanity import Sanity
from harness.measure.tokens import TokenCounter
from harness.records.events import Event

PROBES: dict[str, type[Probe]] = {
    "clock": StepClock,  # first: what the others do after a step counts in the next one
    "device_time": DeviceTime,
    "tokens": TokenCounter,
    "compute": Compute,
    "sanity": Sanity,  # reads the counts of tokens
    "memory": Memory,
    "breakdown": Breakdown,
    "curves": Curves,
    "active": Active,
    "load": HostLoad,
    "divergence": Divergence,  # last: it may stop the training, and the others should have recorded by then
}
"""Every probe of a trial, in calling order. A new one is a file and a line here."""


STEPPING = (
    "waited",
    "batch_begin",
    "backward_begin",
    "batch_end",
    "optimizer_begin",
    "optimizer_end",
    "step_end",
    "logged",
)
"""What probes are told within a step. Only those that listen are called: a call of nothing is not free either, right
after the training has taken the caches."""


def start_probes(recorder: Recorder) -> list[Probe]:
    """Makes the probes at the start of an attempt, so that they see its first phases too."""
    probes = [make(recorder) for make in PROBES.values()]
    recorder.on_phase_begin.extend(probe.phase_begin for probe in probes)
    recorder.on_phase_end.extend(probe.phase_end for probe in probes)
    return probes


def synchronise() -> None:
    """Waits for the device, where there is one in use."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def attach(
    trainer: Any,
    recorder: Recorder,
    method: Any,
    warmup_steps: int,
    probes: list[Probe] | None = None,
    wait: Callable[[], None] = synchronise,
) -> Loop:
    """Attaches the probes (those given, or new ones) to a built trainer and records what is really active.

    `wait` waits for the device.
    """
    loop = Loop(recorder, start_probes(recorder) if probes is None else probes, warmup_steps, wait)
    for probe in loop.probes:
        probe.attached(trainer, method)
    loop.wrap(trainer)
    return loop


def listeners(probes: Iterable[Probe], name: str) -> list[Callable[..., None]]:
    """`name` of each probe that does something in it, in calling order."""
    calls = [getattr(probe, name) for probe in probes]
    return [call for call in calls if getattr(call, "__func__", None) is not getattr(Probe, name)]


class Loop:
    """One training loop under observation. Steps after `warmup_steps` are the measured window."""

    def __init__(
        self, recorder: Recorder, probes: list[Probe], warmup_steps: int, wait: Callable[[], None] = synchronise
    ) -> None:
        self.recorder = recorder
        self.probes = probes
        self._told = {name: listeners(probes, name) for name in STEPPING}
        self.warmup_steps = warmup_steps
        self._wait = wait
        self._copies_wait = False
        self._paused_in: str | None = None

    def wrap(self, trainer: Any) -> None:
        """Wraps the trainer's own methods, on this instance alone, and adds a callback."""
        from harness.measure.callback import LoopCallback

        self._fetch, self._train_batch = trainer.get_batch_samples, trainer.training_step
        trainer.get_batch_samples = self._get_batch_samples
        trainer.training_step = self._training_step
        trainer.evaluate = self._pausing("eval", trainer.evaluate)
        trainer._save_checkpoint = self._pausing("save", trainer._save_checkpoint)
        accelerator = getattr(trainer, "accelerator", None)
        # accelerate's loader copies a batch to the device before it loads the next, and that waits for all that the
        # device has still to do, unless `accelerator_config.non_blocking` says otherwise.
        self._copies_wait = not getattr(accelerator, "non_blocking", True)
        if accelerator is not None:
            self._run_backward = accelerator.backward
            accelerator.backward = self._backward
        trainer.add_callback(LoopCallback(self))

    def _get_batch_samples(self, iterator: Iterator[Any], *args: Any, **kwargs: Any) -> Any:
        if self._copies_wait:
            self._wait()  # a moment before the copy would: what the device works is no waiting for data
        return self._fetch(TimedIterator(iterator, self._waited, self.recorder.clock), *args, **kwargs)

    def _waited(self, seconds: float) -> None:
        for told in self._told["waited"]:
            told(seconds)

    def _training_step(self, model: Any, inputs: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        for told in self._told["batch_begin"]:
            told(inputs)
        loss = self._train_batch(model, inputs, *args, **kwargs)
        for told in self._told["batch_end"]:
            told(loss)
        return loss

    def _backward(self, *args: Any, **kwargs: Any) -> Any:
        for told in self._told["backward_begin"]:
            told()
        return self._run_backward(*args, **kwargs)

    def _pausing(self, name: str, call: Any) -> Any:
        """`call` as a phase of its own, its time taken out of the steps; calls inside one are part of it."""

        def paused(*args: Any, **kwargs: Any) -> Any:
            if self._paused_in is not None:
                return call(*args, **kwargs)
            self._paused_in = name
            self._wait()  # what the steps before left running on the device is theirs
            began = self.recorder.clock()
            try:
                with self.recorder.phase(name):
                    return call(*args, **kwargs)
            finally:
                self._paused_in = None
                took = self.recorder.clock() - began
                for probe in self.probes:
                    probe.paused(name, took)

        return paused

    def begin(self) -> None:
        """Training begins. What loading left running on the device is no step's."""
        self._wait()
        for probe in self.probes:
            probe.train_begin()

    def optimizer_begin(self) -> None:
        """The optimizer is about to step."""
        for told in self._told["optimizer_begin"]:
            told()

    def optimizer_end(self) -> None:
        """The optimizer has stepped; the gradients are still there."""
        for told in self._told["optimizer_end"]:
            told()

    def step_end(self, step: int, last: bool) -> None:
        """An optimizer step is done. The device is waited for at the window's edges only."""
        if last or step == self.warmup_steps:
            self._wait()
        event: Event = {"kind": "step", "step": step, "measured": step > self.warmup_steps}
        for told in self._told["step_end"]:
            told(event)
        self.recorder.add_event(event)

    def logged(self, step: int, values: Mapping[str, Any]) -> None:
        """The trainer logged."""
        for told in self._told["logged"]:
            told(step, values)

    def end(self) -> None:
        """Training is done."""
        for probe in self.probes:
            probe.train_end()
