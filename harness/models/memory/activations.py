"""What a forward leaves for its backward, and what both need for a moment: bytes, from the code that will run.

Read in transformers 5.19 (`modeling_qwen2.py`, `sdpa_attention.py`, `masking_utils.py`), PEFT 0.21 (`lora/layer.py`)
and TRL 1.16 (`kernels/chunked_logprob.py`, `models/activation_offloading.py`, `orpo_trainer.py`), by autograd's rule
that an operation keeps the inputs that its gradients need. On a CPU the allocator's own record agrees to the byte for
what a layer keeps; the moments of the peak are those that torch's CUDA allocator recorded (`test_memory_measured.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.models.architecture import Architecture
from harness.models.memory.held import Adapted

_HEAD_ROWS = 4096  # positions of a tile of TRL's fused head (`TOKEN_CHUNK_SIZE`)
_HEAD_COLUMNS = 32768  # and its entries of the vocabulary (`_CHUNKED_LOGPROB_CHUNK_SIZE`)
_RNG_STATE = 5056  # bytes that a checkpointed layer keeps of the random state
_STASHED = 5  # tensors that activation offloading keeps on the device (`max_fwd_stash_size`)
_FLASH = ("flash", "flex", "paged", "kernels-community")
_SHARING = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("mlp.gate_proj", "mlp.up_proj"),
)
"""Modules of a layer that read the same tensor."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """The positions of one forward: `rows` of `length`. `mask`: some rows may be shorter, so attention gets a mask."""

    rows: int
    length: int
    mask: bool

    @property
    def positions(self) -> int:
        return self.rows * self.length


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """Bytes of an element: of the `weights` (and the residual stream), and of what is computed with.

    `mixed`: autocast is on, which half-precision weights do not show by their bytes.
    """

    weights: int
    compute: int
    mixed: bool

    @property
    def autocast(self) -> bool:
        """Whether inputs and weights of linear layers are cast before they are used."""
        return self.compute < self.weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Forward:
    """How a model is run: its architecture, numbers, attention kernel and what of it is trained."""

    arch: Architecture
    numbers: Numbers
    batch: Batch
    attention: str
    trained: bool  # all weights; else the adapter alone
    adapted: Mapping[str, Adapted] = field(default_factory=dict)
    dropped: bool = False  # dropout on what the adapter reads
    liger: bool = False

    @property
    def layer(self) -> int:
        """Bytes that one layer keeps for its backward, without checkpointing."""
        parts = self._norms() + self._attention() + self._mlp() + self._inputs() + self._adapter()
        return self.batch.positions * parts + self._scores() + self.casts

    @property
    def casts(self) -> int:
        """Bytes of the half-precision copies of a layer's weights that autocast makes and the graph holds."""
        if not self.numbers.mixed:
            return 0
        linear = sum(ins * outs for ins, outs in self.arch.linears.values()) if self.numbers.autocast else 0
        lora = sum(module.rank * (module.inputs + module.outputs) for module in self.adapted.values())
        return self.numbers.compute * (linear + lora)

    @property
    def checkpoint(self) -> int:
        """Bytes that one checkpointed layer keeps: its input, and the state of the random generators."""
        return self.batch.positions * self.arch.hidden * self.numbers.weights + _RNG_STATE

    @property
    def ends(self) -> int:
        """Bytes kept outside the layers: the last norm, what the head reads, rotary tables, the mask itself."""
        hidden = self.arch.hidden
        norm = 4 * hidden + 4 + (self.numbers.weights * hidden if self.trained else 0)
        head = 2 * self.numbers.weights * hidden  # the norm's output, and the copy of it that the loss reads
        rotary = 2 * self.batch.length * self.arch.queries // self.arch.heads * self.numbers.weights
        mask = self.batch.rows * self.batch.length**2 if self._masked else 0
        return self.batch.positions * (norm + head) + rotary + mask

    @property
    def passing(self) -> int:
        """Bytes that a layer's forward needs for a moment beyond what it keeps."""
        return self.batch.positions * 3 * self.arch.intermediate * self.numbers.compute

    @property
    def gradients(self) -> int:
        """Bytes that a layer's backward needs for a moment: for its gated product, an fp32 norm, or eager's scores."""
        stream = self.arch.hidden * self.numbers.weights
        inner = 2 * self.arch.intermediate * self.numbers.compute + stream
        # An adapter's input while it is made again: as it came, and the fp32 that PEFT makes of it for autocast.
        # Under dropout that is beside the fp32 that dropout makes of it.
        widest = max((module.inputs for module in self.adapted.values()), default=0) if self.numbers.mixed else 0
        cast = widest * (8 if self.dropped else self.numbers.compute + 4) + stream
        return max(self.batch.positions * max(inner, cast, 16 * self.arch.hidden), self._eager_gradients())

    @property
    def unmoved(self) -> int:
        """Bytes of one layer that offloading leaves on the device: what a second operation saves too ("keep on GPU").

        The norm's input in fp32 and its scale; its output and attention's where several linear layers read them as
        they are; eager's scores, where nothing casts them.
        """
        numbers, arch = self.numbers, self.arch
        kept = 0 if self.liger else 2 * (4 * arch.hidden + 4)
        pure = numbers.weights == 4 and not numbers.mixed
        shared = self.trained or (bool(self.adapted) and pure and not self.dropped)
        if shared:
            kept += arch.queries * numbers.compute
            kept += 0 if numbers.autocast else 2 * arch.hidden * numbers.weights
        scores = self._scores() if self.attention == "eager" and numbers.compute == 4 else 0
        return self.batch.positions * kept + scores

    @property
    def stashed(self) -> int:
        """Bytes of the activations that offloading has on their way at a time."""
        widest = max(self.arch.intermediate * self.numbers.compute, self.arch.hidden * 4)
        return _STASHED * self.batch.positions * widest

    @property
    def _masked(self) -> bool:
        return self.batch.mask and not self.attention.startswith(_FLASH)

    def _norms(self) -> int:
        """Two norms: the input in fp32, its scale, and what the weight's gradient needs."""
        if self.liger:
            return 2 * (self.numbers.weights * self.arch.hidden + 4)  # keeps its input as it is, and the scale
        each = 4 * self.arch.hidden + 4
        if self.trained:
            each += self.numbers.weights * self.arch.hidden
        return 2 * each

    def _attention(self) -> int:
        """Queries, keys, values and output; with a mask keys and values are repeated for every head."""
        queries, keys = self.arch.queries, self.arch.keys
        eager = self.attention == "eager"
        repeated = eager or self._masked
        kept = queries + (2 * queries if repeated else 2 * keys) + queries
        return kept * self.numbers.compute + (0 if eager else 4 * self.arch.heads)

    def _scores(self) -> int:
        """What attention keeps per pair of positions: eager's scores, or the mask as numbers that sdpa makes of it."""
        pairs = self.batch.rows * self.batch.length**2
        if self.attention == "eager":
            lower = self.numbers.compute if self.numbers.compute < 4 else 0
            return pairs * self.arch.heads * (4 + lower)
        return pairs * self.numbers.compute if self._masked else 0

    def _eager_gradients(self) -> int:
        """The softmax's output, gradient, their product and the result, in fp32, when the MLP's part is gone."""
        if self.attention != "eager":
            return 0
        whole = 16 * self.batch.rows * self.batch.length**2 * self.arch.heads
        return max(0, whole - self._scores() - self.batch.positions * self._mlp())

    def _mlp(self) -> int:
        """The gate before and after its activation, and what it multiplies; the product where `down` is trained."""
        inner = self.arch.intermediate * self.numbers.compute
        return (2 if self.liger else 3) * inner + (inner if self.trained else 0)

    def _inputs(self) -> int:
        """Inputs of trained linear layers: one for those that share it, a cast of it for each under autocast."""
        if not self.trained:
            return 0
        hidden = self.arch.hidden
        return 5 * hidden * self.numbers.compute if self.numbers.autocast else 2 * hidden * self.numbers.weights

    def _adapter(self) -> int:
        """Inputs of LoRA's A, cast to fp32 (or by autocast) once per module, and of its B.

        Dropout leaves each module an input of its own, and a mask of one byte an element (torch's kernel for CUDA).
        """
        if not self.adapted:
            return 0
        low = sum(module.rank for module in self.adapted.values())
        inputs = sum(module.inputs for module in self.adapted.values())
        mask = inputs if self.dropped else 0
        if self.numbers.mixed:  # PEFT casts to the adapter's fp32, and autocast casts that again for each module
            return self.numbers.compute * (inputs + low) + mask
        if self.numbers.weights < 4 or self.dropped:
            return 4 * (inputs + low) + mask
        shared = sum(not self.adapted.keys().isdisjoint(sharing) for sharing in _SHARING)
        down = self.arch.intermediate if "mlp.down_proj" in self.adapted else 0
        return 4 * (shared * self.arch.hidden + down + low)  # attention's output is kept anyway


def fused_head(forward: Forward) -> tuple[int, int]:
    """Bytes for a moment of TRL's fused head, in forward and in backward: no position's logits are ever kept.

    One tile of logits; in backward the gradients of what it read, in fp32, and beside them what they are cast to.
    """
    numbers, arch = forward.numbers, forward.arch
    rows = min(forward.batch.positions, _HEAD_ROWS)
    tile = rows * _HEAD_COLUMNS * numbers.compute
    if numbers.autocast:
        tile += (rows + min(arch.vocab, _HEAD_COLUMNS)) * arch.hidden * numbers.compute
    gradient = 4 + (numbers.weights if numbers.weights < 4 else 0)
    hidden = forward.batch.positions * arch.hidden * gradient
    weight = arch.vocab * arch.hidden * gradient if forward.trained else 0
    return tile, tile + hidden + weight


def full_logits(forward: Forward) -> tuple[int, int]:
    """Bytes of a loss that reads every logit (ORPO): what its forward holds at most, and its backward.

    Accelerate makes the logits fp32 under autocast. Forward: those, and a shifted copy and the log-softmax of the
    chosen half. Backward: the gradients that the log-probabilities and chosen's likelihood give, each of all logits,
    while the half that the latter comes from is there. The logits themselves are gone by then, which TRL's kernel for
    CUDA does not keep longer than it needs.
    """
    numbers = forward.numbers
    logits = forward.batch.positions * forward.arch.vocab * (4 if numbers.mixed else numbers.compute)
    return 2 * logits, 5 * logits // 2
