"""FLOPs of each optimizer step: what the mathematics ask for, and what is done.

`model_flops`: real positions, each document attending within itself, logits where there is loss; forward and backward
of the policy, and the reference's forward where the step makes it. `hardware_flops`: padding too, all pairs of a row
with a dense attention kernel, logits wherever they are made, and what the backward does a second time: checkpointed
layers, the scores of a fused attention, the logits of TRL's fused head. Neither counts causal masking as a saving.

Each forward leaves a few numbers and at most two small tensors; FLOPs are made of them when events are written to disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from harness.measure.active import compiles, elements, reference_kind
from harness.measure.architecture import Unknown, decoder
from harness.measure.flops import Cost, Decoder
from harness.measure.forwards import Counted, Fetched, Forward, Kind, seen
from harness.measure.matmul import Peak, peak_of
from harness.measure.probe import Probe
from harness.measure.recorder import Recorder
from harness.records.events import Event

CONVENTION = (
    "matrix products only, multiply and add as two; attention non-causal (PaLM, arXiv 2204.02311, appendix B); "
    "model_flops: real positions, logits where there is loss, the reference's forward included; "
    "hardware_flops: padding and recomputation too"
)
_HOLDER = "compute"
_DOUBT = "do not trust it; the peak or the clock is wrong, or long sequences count more than a causal kernel does"
_DENSE = ("eager", "sdpa")
"""Attention kernels that form all pairs of a row; those of flash and flex attention keep to sequences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What each kind of forward costs, its backward included; `dense` is None where the attention kernel is unknown.

    `asked` by kind of forward, `done` by kind and whether TRL's fused head makes the logits. `compact`: that head makes
    logits for labelled positions only.
    """

    policy: Decoder
    reference: Decoder | None
    dense: bool | None
    compact: bool
    asked: Mapping[Kind, Cost]
    done: Mapping[tuple[Kind, bool], Cost]
    again: Cost

    def model(self, forward: Counted) -> int:
        """FLOPs that the loss asks of one forward and its backward."""
        cost = self.asked.get(forward.kind)
        return cost.of(forward.asked(cost.pair)) if cost else 0

    def hardware(self, forward: Counted) -> int | None:
        """FLOPs that one forward and its backward really are; None where that is not known."""
        if self.dense is None:
            return None
        cost = self.done[forward.kind, forward.fused]
        return cost.of(forward.done(cost.pair, dense=self.dense))


class Compute(Probe):
    """Sees every forward of a training step and adds its FLOPs to the step's event."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._trainer: Any = None
        self._method: Any = None
        self._grad_enabled: Any = None
        self._plan: Plan | None = None
        self._peak: Peak | None = None
        self._padded_to: int | None = None
        self._inside = self._hurried = False
        self._loss: Any = 0
        self._forwards: list[Forward] = []
        self._before = 0  # of them, those of the step's earlier micro-batches
        self._missed = False  # whether a micro-batch of the step passed a model by
        self._new: list[tuple[Event, list[Forward]]] = []
        self._sent: list[tuple[Event, int]] = []
        self._fetched: Fetched | None = None
        self._hooks: list[Any] = []
        self._window = _Window()
        recorder.before_flush.append(self._settle)

    def attached(self, trainer: Any, method: Any) -> None:
        import torch

        self._grad_enabled = torch.is_grad_enabled
        self._trainer, self._method = trainer, method
        self._padded_to = getattr(trainer.args, "pad_to_multiple_of", None)
        # torch.compile would compile the hooks too, and again whenever a number they have seen differs.
        untouched: Callable[[Any], Any] = torch.compiler.disable if compiles(trainer) else lambda hook: hook
        hooked = [(trainer.model, self._policy_forward), (getattr(trainer, "ref_model", None), self._reference_forward)]
        self._hooks = [
            model.register_forward_pre_hook(untouched(hook), with_kwargs=True)
            for model, hook in hooked
            if model is not None
        ]

    def train_begin(self) -> None:
        """Only now are checkpointing and frozen weights as they will be."""
        self._inside, self._forwards, self._missed = False, [], False
        try:
            self._plan = plan_of(self._trainer, self._method)
        except Unknown as why:
            self._give_up(f"FLOPs are not counted: {why}")
            return
        self._peak = peak_of(self._trainer, self._trainer.model.get_output_embeddings().weight)
        for said in _notes(self._plan, self._peak, self._trainer):
            self.recorder.note("info", said)
        self.recorder.add("compute", values=described(self._plan, self._trainer, self._peak))

    def _give_up(self, why: str) -> None:
        self.recorder.note("info", why)
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._plan = [], None

    def batch_begin(self, batch: Mapping[str, Any]) -> None:
        if self._plan is not None:
            self._inside, self._before = True, len(self._forwards)
            self._loss = self._method.loss_tokens(batch, self._trainer)

    def batch_end(self, loss: Any) -> None:
        self._inside = False
        if self._plan is not None:
            self._missed |= not self._plan.asked.keys() <= {forward.kind for forward in self._forwards[self._before :]}

    def step_end(self, event: Event) -> None:
        """A step of which a part was not seen has no FLOPs, rather than too few; the count of tokens says so."""
        if self._forwards and not self._missed:
            self._new.append((event, self._forwards))
            self.recorder.hold(event, _HOLDER)
        self._forwards, self._missed = [], False

    def phase_begin(self, name: str) -> None:
        self._hurried = True

    def phase_end(self, name: str) -> None:
        self._hurried = True

    def _policy_forward(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._inside:
            without: Kind = "reference" if self._plan is not None and self._plan.reference is not None else "metrics"
            self._see("policy" if self._grad_enabled() else without, args, kwargs)

    def _reference_forward(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._inside:
            self._see("reference", args, kwargs)

    def _see(self, kind: Kind, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        compact = self._plan is not None and self._plan.compact
        self._forwards.append(seen(kind, args, kwargs, padded_to=self._padded_to, compact=compact, loss=self._loss))

    def _settle(self) -> None:
        """Completes the events whose numbers have arrived, and sends for those of the steps since."""
        if self._arrived():
            if self._new:
                self._fetched = Fetched([forward for _, forwards in self._new for forward in forwards])
                self._sent, self._new = [(event, len(forwards)) for event, forwards in self._new], []
            self._arrived()
            self._hurried = False

    def _arrived(self) -> bool:
        """Makes FLOPs of the numbers that were sent for; False while they are on their way."""
        if self._fetched is None:
            return True
        if not (self._hurried or self._fetched.ready()):
            return False
        counted = iter(self._fetched.read())
        for event, count in self._sent:
            self._complete(event, list(islice(counted, count)))
            self.recorder.release(event, _HOLDER)
        self._fetched, self._sent = None, []
        return True

    def _complete(self, event: Event, forwards: list[Counted]) -> None:
        if self._plan is None:
            return
        event["model_flops"] = sum(self._plan.model(forward) for forward in forwards)
        done = [self._plan.hardware(forward) for forward in forwards]
        if None not in done:
            event["hardware_flops"] = sum(flops for flops in done if flops is not None)
        self._window.add(event)

    def train_end(self) -> None:
        self._hurried = True
        self._settle()
        if self._peak is not None:
            self._window.judge(self.recorder, self._peak)


@dataclass(slots=True)
class _Window:
    """Sums over the measured window, to judge what the figures will say."""

    seconds: float = 0.0
    model: int = 0
    hardware: int = 0
    step: int = 0

    def add(self, event: Event) -> None:
        if event.get("measured") and "wall_s" in event:
            self.seconds += float(event["wall_s"])
            self.model += int(event["model_flops"])
            self.hardware += int(event.get("hardware_flops", 0))
            self.step = int(event["step"])

    def judge(self, recorder: Recorder, peak: Peak) -> None:
        """A use of more than the peak cannot be."""
        if self.seconds <= 0 or not peak.flops_per_second:
            return
        for name, flops in (("mfu", self.model), ("hfu", self.hardware)):
            used = flops / self.seconds / peak.flops_per_second
            if used > 1:
                text = f"{name} is {used:.0%} of the peak ({peak.source}): {_DOUBT}"
                recorder.add("finding", name=f"{name}_above_peak", step=self.step, level="warning", text=text)


def plan_of(trainer: Any, method: Any) -> Plan:
    """What forwards of this trainer cost, as its models are set up now.

    Raises:
        Unknown: the FLOPs of one of its models are not known.
    """
    if getattr(trainer.args, "n_gpu", 1) > 1:
        raise Unknown("one process trains on several devices")
    model, separate = trainer.model, getattr(trainer, "ref_model", None)
    policy, needed = decoder(model), decoder(model, hooked=False)
    reference = None
    if reference_kind(trainer, method) in ("copy", "adapter_off"):
        kept = "ref" in getattr(model, "peft_config", {})  # TRL's own copy of an adapter that is trained further
        reference = decoder(separate) if separate is not None else decoder(model, adapter=kept)
    kernel = str(model.config._attn_implementation)
    dense = True if kernel in _DENSE else (False if "flash" in kernel or "flex" in kernel else None)
    return _costs(policy, needed, reference, dense, fused=_fused(trainer, kernel), compact=_compact(trainer))


def _fused(trainer: Any, kernel: str) -> bool:
    """Whether the backward of attention makes the scores again. torch's fused kernel for the CPU knows no dropout."""
    if kernel == "sdpa" and _device(trainer) == "cpu":
        return not getattr(trainer.model.config.get_text_config(), "attention_dropout", 0.0)
    return kernel != "eager"


def _costs(
    policy: Decoder, needed: Decoder, reference: Decoder | None, dense: bool | None, *, fused: bool, compact: bool
) -> Plan:
    """`needed`: the policy without what its backward does for the sake of checkpointing alone."""
    asked: dict[Kind, Cost] = {"policy": needed.forward() + needed.backward()}
    done: dict[tuple[Kind, bool], Cost] = {}
    for head in (False, True):  # whether the fused one makes the logits, and the backward makes them again
        again = policy.recomputed(fused=fused, head=head)
        done["policy", head] = policy.forward() + policy.backward(fused=fused) + again
        done["metrics", head] = policy.forward()
        if reference is not None:
            done["reference", head] = asked["reference"] = reference.forward()
    return Plan(
        policy=policy,
        reference=reference,
        dense=dense,
        compact=compact,
        asked=asked,
        done=done,
        again=policy.recomputed(fused=fused),
    )


def _compact(trainer: Any) -> bool:
    """Whether TRL's fused head leaves out positions without a label: where Triton runs, since tiles may vary there."""
    from transformers.utils import is_triton_available

    return _device(trainer) in ("cuda", "xpu") and bool(is_triton_available())


def _device(trainer: Any) -> str:
    import torch

    return str(torch.device(trainer.args.device).type)


def _notes(plan: Plan, peak: Peak, trainer: Any) -> Iterator[str]:
    """What a reader should know of the figures to come."""
    if plan.dense is None:
        kernel = trainer.model.config._attn_implementation
        yield f"hardware_flops are not counted: the attention kernel {kernel!r} is not known"
    if peak.missing and _device(trainer) != "cpu":  # nobody expects a CPU's
        yield f"mfu and hfu are not measured: {peak.missing}"
    if peak.doubt:
        yield peak.doubt


def described(plan: Plan, trainer: Any, peak: Peak) -> dict[str, Any]:
    """The `compute` event's values."""
    policy = plan.policy
    forward, backward = policy.forward(), policy.backward()
    weights = [(elements(weight), weight.requires_grad) for weight in trainer.model.parameters()]
    again = plan.again
    return {
        "architecture": policy.architecture,
        "forward_flops_per_token": {"embedding": 0, **policy.parts()},
        "backward_flops_per_token": backward.position + backward.head,
        "recomputed_flops_per_token": again.position,
        "attention_flops_per_pair": {
            "forward": sum(forward.pair.values()),
            "backward": sum(backward.pair.values()),
            "recomputed": sum(again.pair.values()),
        },
        "reference_flops_per_token": (
            plan.reference.forward().position + plan.reference.forward().head if plan.reference else None
        ),
        "trainable_share": sum(count for count, trained in weights if trained) / sum(count for count, _ in weights),
        "checkpointing": sorted({layer.checkpointed for layer in policy.layers if layer.checkpointed}),
        "matmul_dtype": peak.dtype,
        "device": peak.device,
        "peak_flops_per_second": peak.flops_per_second,
        "peak_source": peak.source,
        "peak_missing": peak.missing,
        "peak_doubt": peak.doubt,
        "convention": CONVENTION,
    }
