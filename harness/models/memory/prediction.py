"""Predicted memory of a training on one device, by part, from its configuration alone: nothing is loaded.

The peak is the highest of the moments that can be one (see `_moments`): the end of the forward, the head's backward,
the reference's forward, the backward of the first layer reached and of the last, the optimizer's step. Batches are
taken to be as large as the configuration allows, rows of `max_length`; real ones may be smaller, so read "at most".
Where nothing cuts rows, the longest of the data count, in tokens that they cannot exceed: see `Prediction.loose`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.models.architecture import Architecture, Unknown, architecture
from harness.models.memory.activations import Batch, Forward, Numbers, full_logits, fused_head
from harness.models.memory.batches import PAIRS, is_uncut, largest, slides
from harness.models.memory.held import WIDTHS, Adapter, Held, adapter, weights
from harness.models.memory.optimizers import State, state

CONTEXT = 512 * 2**20
"""Bytes of a CUDA context and the kernels it loads: of this order on Ampere and Hopper; it varies with the driver."""
WORKSPACE = 64 * 2**20
"""Bytes of cuBLAS's workspaces, which torch's allocator holds: one for the forward's thread and one for the backward's,
32 MiB each on Hopper, 8 MiB before (`CublasHandlePool.cpp`, `torch._C._cuda_getCublasWorkspaceSize`)."""
SLACK = 0.1
"""What the caching allocator reserves beyond what is allocated at the peak, as a share of it: of 44 trainings without
kept logits half lay below 9%, three quarters below 12%, the furthest at 28%. No bound: each new length may leave
blocks that fit no other, and where all logits are kept (ORPO) 1.6 to 2.5 times the peak was reserved."""

_LARGE = 2**20
"""Bytes from which on a block may keep a rest below 1 MiB (`CUDACachingAllocator.cpp`, `should_split`)."""
_ROUNDED = 64 * 2**10
"""Bytes of such a rest: a mean over tensors, as measured (16 to 80 KiB)."""

_LOOSE = "train.max_length is null, so nothing cuts the rows"
_PARTS = ("weights", "reference", "gradients", "optimizer", "activations")
_ACTIVATIONS = ("silu", "swish", "gelu", "gelu_pytorch_tanh", "relu2")
"""Activations of the MLP that keep their input and nothing else: single operations of torch, and ReLU squared."""
_BATCH_BYTES = 32  # a position's ids, labels, mask and place, 64 bits each

USED = (
    "activation_offloading",
    "bf16",
    "disable_dropout",
    "fp16",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "gradient_checkpointing_kwargs",
    "label_smoothing_factor",
    "max_length",
    "optim",
    "optim_args",
    "packing",
    "packing_strategy",
    "pad_to_multiple_of",
    "padding_free",
    "per_device_train_batch_size",
    "precompute_ref_log_probs",
    "use_liger_kernel",
)
"""The fields of `train` that the prediction depends on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """Bytes by part; None: not predicted, and `why` says so.

    `weights` are the trained model's, its adapter's included; `reference` a second model's. `activations` is what the
    peak holds beyond weights, gradients and optimizer state. `paged` is the part of `optimizer` in managed memory,
    which torch's allocator does not see. `loose`: nothing cuts the rows, and what the batch was taken to hold instead,
    in words: a bound far above what real batches hold.
    """

    weights: int | None = None
    reference: int | None = None
    gradients: int | None = None
    optimizer: int | None = None
    paged: int = 0
    activations: int | None = None
    why: str | None = None
    loose: str | None = None

    @property
    def allocated(self) -> int | None:
        """The predicted `peak_allocated`."""
        parts = (self.weights, self.reference, self.gradients, self.optimizer, self.activations)
        known = [part for part in parts if part is not None]
        return sum(known) - self.paged if len(known) == len(parts) else None

    @property
    def device(self) -> int | None:
        """About the `peak_device_memory` to expect, no bound: with CUDA's context, slack and paged state."""
        if self.allocated is None:
            return None
        return round(self.allocated * (1 + SLACK)) + self.paged + CONTEXT

    def to_json(self) -> dict[str, int]:
        """Bytes by part, what is unknown left out; `peak` (of torch's allocator) and `device` are the sums.

        `loose`, 1 where it is: the figures that depend on the batch are bounds far above what real batches take.
        """
        named = {
            "weights": self.weights,
            "reference": self.reference,
            "gradients": self.gradients,
            "optimizer": self.optimizer,
            "paged": self.paged or None,
            "activations": self.activations,
            "peak": self.allocated,
            "device": self.device,
            "loose": 1 if self.loose and self.device is not None else None,
        }
        return {name: value for name, value in named.items() if value is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, int]) -> Prediction:
        """The prediction of `to_json`'s mapping."""
        weights, reference, gradients, optimizer, activations = (value.get(part) for part in _PARTS)
        return cls(
            weights=weights,
            reference=reference,
            gradients=gradients,
            optimizer=optimizer,
            activations=activations,
            paged=value.get("paged", 0),
            loose=_LOOSE if value.get("loose") else None,
        )


def predict_forwarded(spec: Mapping[str, Any], rows: int, length: int) -> Prediction:
    """The prediction for a trial's spec.json (`TrialResult.config`) had its batches been known: `rows` of `length`.

    Its error is that of the formulas alone, where the plan's is that of the batches it assumed too.
    """
    root = Path(str(spec.get("suite_file", ""))).parent
    return predict(spec, defaults=spec.get("defaults") or {}, root=root, forwarded=(rows, length))


def predict(
    config: Mapping[str, Any],
    *,
    defaults: Mapping[str, Any],
    root: Path,
    longest: Sequence[int] | None = None,
    forwarded: tuple[int, int] | None = None,
) -> Prediction:
    """The prediction for a configuration (`method`, `model`, `train`, `lora`, `reference`); never raises for one.

    `defaults` are TRL's own of the fields that `train` leaves out; the model's path is relative to `root`. `longest`:
    tokens that the longest rows of the data can have at most, as many rows as a batch has; they count where nothing
    cuts rows, and the model's positions where they are not known either. `forwarded`: rows and length of a batch, as
    the model forwards it, in place of the largest that the configuration allows.
    """
    said = {name: config["train"].get(name, defaults.get(name)) for name in USED}
    said["longest"] = None if longest is None or said["max_length"] is not None else sorted(longest, reverse=True)
    said["forwarded"] = forwarded
    own = [config.get("method"), config["model"], config.get("lora"), config.get("reference")]
    return _predict(json.dumps([own, said]), root)


@functools.lru_cache(maxsize=4096)
def _predict(asked: str, root: Path) -> Prediction:
    """Cells of a matrix differ in much that costs no memory: those that ask for the same are worked out once."""
    own, said = json.loads(asked)
    try:
        training = _training(json.dumps([*own, bool(said["precompute_ref_log_probs"])]), root)
    except Unknown as unknown:
        return Prediction(why=str(unknown))
    found = Prediction(weights=training.weights, reference=training.reference, gradients=training.gradients)
    try:
        kept = _state(training, str(said["optim"] or "adamw_torch_fused"), json.dumps(said["optim_args"]))
        found = replace(found, optimizer=kept.kept, paged=kept.paged)
        forward = _forward(training, said)
    except Unknown as unknown:
        return replace(found, why=str(unknown))
    above = max(_moments(training, forward, kept, said).values())
    batch = forward.batch.positions * _BATCH_BYTES
    uncut = is_uncut(training.method, said) and not said["forwarded"]
    loose = _said_of(said["longest"], training.arch) if uncut else None
    return replace(
        found, activations=max(0, above - training.gradients) + batch + WORKSPACE + training.rounding, loose=loose
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Training:
    """What does not depend on `train`; bytes where not said otherwise. Made once for cells that have it in common."""

    method: str
    attention: str
    arch: Architecture
    tensors: tuple[Held, ...]
    adapter: Adapter | None
    width: int  # of an element of the model's own weights
    weights: int
    reference: int
    gradients: int

    @property
    def rounding(self) -> int:
        """What blocks are larger than their tensors: of weights (a reference's too), gradients and two states each."""
        models = 2 if self.reference else 1
        large = [tensor for tensor in self.tensors if tensor.numel * tensor.width >= _LARGE]
        return _ROUNDED * sum(tensor.count * (models + 3 * tensor.trained) for tensor in large)

    @property
    def end_gradients(self) -> int:
        """Gradients of embedding and head, which the backward reaches last and first."""
        return 0 if self.adapter else sum(weight.numel for weight in self.arch.ends) * self.width


@functools.lru_cache(maxsize=1024)
def _training(said: str, root: Path) -> _Training:
    """`said`: method, model, lora, reference and whether the reference runs before training, as JSON.

    Raises:
        Unknown: of one of them nothing can be said.
    """
    method, model, lora, reference, precomputed = json.loads(said)
    if method not in PAIRS:
        raise Unknown(f"the memory of method {method!r} is not known here")
    arch = architecture(model, root)
    width = WIDTHS[str(model.get("dtype", "float32"))]
    added = adapter(arch, lora) if lora is not None else None
    own = weights(arch, width, trained=added is None)
    second = method == "dpo" and not precomputed and (added is None or reference == "explicit")
    tensors = (*own, *(added.tensors if added else ()))
    return _Training(
        method=method,
        attention=str(model.get("attn_implementation") or "sdpa"),
        arch=arch,
        tensors=tensors,
        adapter=added,
        width=width,
        weights=sum(tensor.bytes for tensor in tensors),
        reference=sum(tensor.bytes for tensor in own) if second else 0,
        gradients=sum(tensor.bytes for tensor in tensors if tensor.trained),
    )


@functools.lru_cache(maxsize=1024)
def _state(training: _Training, optimizer: str, options: str) -> State:
    return state(optimizer, json.loads(options), training.tensors)


def _forward(training: _Training, said: Mapping[str, Any]) -> Forward:
    half = bool(said["fp16"]) or said["bf16"] is not False  # TRL: bf16 unless fp16, or unless it is turned off
    batch = largest(training.method, training.arch, said)
    for why in _unmodelled(training, said, batch):
        raise Unknown(why)
    # TRL's DPO and ORPO take every dropout module out of the model, unless they are told not to.
    kept = training.method == "sft" or said["disable_dropout"] is False
    return Forward(
        arch=training.arch,
        numbers=Numbers(weights=training.width, compute=2 if half else training.width, mixed=half),
        batch=batch,
        attention=training.attention,
        trained=training.adapter is None,
        adapted=training.adapter.on if training.adapter else {},
        dropped=kept and training.adapter is not None and training.adapter.dropout,
        liger=bool(said["use_liger_kernel"]),
    )


def _unmodelled(training: _Training, said: Mapping[str, Any], batch: Batch) -> Iterator[str]:
    """What of a configuration changes what a forward keeps in a way that is not known here."""
    arch, options = training.arch, _checkpointing(said)
    if options.get("selective"):
        yield "what selective checkpointing keeps is not known here"
    if options.get("offload"):
        yield "what checkpointing with offload leaves on the device is not known here"
    every = options.get("every_n_layers", 1)
    if not isinstance(every, int) or every < 1:
        yield f"train.gradient_checkpointing_kwargs.every_n_layers is {every!r}"
    if said["label_smoothing_factor"] and training.method == "sft":
        yield "label smoothing builds all logits in a second forward, which is not predicted"
    if training.adapter and training.adapter.dora:
        yield "what DoRA keeps for its backward is not known here"
    if training.adapter and training.adapter.partial and not said["gradient_checkpointing"]:
        yield "what layers without the adapter that others have keep is not known here"
    if arch.activation not in _ACTIVATIONS:
        yield f"what the activation {arch.activation!r} keeps is not known here"
    if arch.dropout and training.attention == "eager":
        yield "what dropout on eager attention's scores keeps is not known here"
    if slides(arch, batch.length) and arch.windowed < arch.layers:
        yield f"a sliding window shorter than the rows, in {arch.windowed} of {arch.layers} layers, is not known here"


def _checkpointing(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of gradient checkpointing; none where it is off."""
    return (said["gradient_checkpointing_kwargs"] or {}) if said["gradient_checkpointing"] else {}


def _said_of(longest: Sequence[int] | None, arch: Architecture) -> str:
    if not longest:
        return f"{_LOOSE}, and each is taken to be as long as the model's {arch.positions:,} positions"
    return f"{_LOOSE}; the longest has at most {longest[0]:,} tokens, one for each of its bytes"


def _moments(training: _Training, forward: Forward, kept: State, said: Mapping[str, Any]) -> dict[str, int]:
    """Bytes beyond weights and optimizer state at every moment that may be the peak, gradients included."""
    arch, gradients = training.arch, training.gradients
    layer = forward.layer
    checkpointed, top = _checkpointed(arch, said)
    whole = arch.layers - checkpointed
    # From the second micro-batch on the gradients of the first are there already.
    before = gradients if int(said["gradient_accumulation_steps"] or 1) > 1 else 0
    layers = checkpointed * forward.checkpoint + whole * layer
    stashed = 0
    if said["activation_offloading"]:
        unmoved = whole * forward.unmoved
        layers, stashed = unmoved, min(layers - unmoved, forward.stashed)
    graph = layers + forward.ends
    # The layer reached first is made again where it is checkpointed; below one that is not, less is left by then.
    again = layer if top else 0
    cached = checkpointed * forward.casts if forward.trained else 0
    in_forward, in_head = full_logits(forward) if training.method == "orpo" else fused_head(forward)
    moments = {
        "forward": before + graph + cached + in_forward,
        "head": before + graph + in_head,
        "first layer": max(before, training.end_gradients) + graph + stashed + again + forward.gradients,
        "last layer": gradients + layer + forward.gradients,
        "step": gradients + kept.step,
    }
    if stashed:
        moments["moving"] = before + graph + stashed + forward.passing
    if arch.tied and forward.trained:  # the embedding's own gradient, before it is added to the head's
        moments["embedding"] = gradients + arch.vocab * arch.hidden * training.width
    if training.method == "dpo" and not said["precompute_ref_log_probs"]:
        stream = 2 * forward.batch.positions * arch.hidden * training.width
        moments["reference"] = before + graph + stream + max(forward.passing, in_forward)
    return moments


def _checkpointed(arch: Architecture, said: Mapping[str, Any]) -> tuple[int, bool]:
    """How many layers are checkpointed, and whether the last is: transformers takes every n-th, from the first on."""
    if not said["gradient_checkpointing"]:
        return 0, False
    every = int(_checkpointing(said).get("every_n_layers", 1))
    return -(-arch.layers // every), (arch.layers - 1) % every == 0
