"""FLOPs of a decoder: what its matrix products cost, forward, backward, and done a second time.

Only matrix products are counted, a multiply and an add as two; embeddings are looked up, not multiplied, and norms,
rotary embeddings and softmax are left out, as PaLM's appendix B (arXiv 2204.02311) and torch's `FlopCounterMode` do.
Attention is counted as if every token attended to its whole sequence: 2·(QKᵀ) + 2·(AV) per pair of positions, which
makes 12·L·H·Q·T per token with its backward. Causal kernels do about half of that.

The backward of a product `y = x·W` is two products of the same size: one for the gradient of `x`, one for that of `W`.
Frozen weights save theirs, and what lies before the first trained weight needs no gradient of `x` either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

Window = int | None
"""How many positions a layer attends to at most; None for all."""


@dataclass(frozen=True, slots=True)
class Work:
    """What went through a model: positions, positions whose logits were made, and pairs of positions by window."""

    positions: int
    heads: int
    pairs: Mapping[Window, int]


def pairs(lengths: Iterable[int], windows: Iterable[Window]) -> dict[Window, int]:
    """Pairs of positions that attend to each other in such sequences, by window w: Σ length·min(length, w)."""
    known = list(lengths)
    return {
        window: sum(length * (length if window is None else min(length, window)) for length in known)
        for window in windows
    }


@dataclass(frozen=True, slots=True)
class Cost:
    """FLOPs per position, per position with logits, and per pair of positions by window."""

    position: int = 0
    head: int = 0
    pair: Mapping[Window, int] = field(default_factory=dict)

    def of(self, work: Work) -> int:
        """FLOPs of that work."""
        attention = sum(each * work.pairs[window] for window, each in self.pair.items())
        return self.position * work.positions + self.head * work.heads + attention

    def __add__(self, other: Cost) -> Cost:
        windows = {**self.pair, **other.pair}
        both = {window: self.pair.get(window, 0) + other.pair.get(window, 0) for window in windows}
        return Cost(self.position + other.position, self.head + other.head, both)


@dataclass(frozen=True, slots=True)
class Product:
    """One weight's product: `size` is rows × columns of the weight; the gradients that its backward makes."""

    part: str
    size: int
    input_gradient: bool
    weight_gradient: bool

    @property
    def forward(self) -> int:
        """FLOPs per position."""
        return 2 * self.size

    @property
    def backward(self) -> int:
        """FLOPs per position."""
        return 2 * self.size * (self.input_gradient + self.weight_gradient)


@dataclass(frozen=True, slots=True)
class Attention:
    """QKᵀ and AV of one layer: widths over all heads, and which of Q, K and V need a gradient."""

    scores: int
    values: int
    query_gradient: bool
    key_gradient: bool
    value_gradient: bool
    window: Window = None

    @property
    def forward(self) -> int:
        """FLOPs per pair of positions."""
        return 2 * (self.scores + self.values)

    def backward(self, fused: bool) -> int:
        """FLOPs per pair of positions. A fused kernel makes QKᵀ again, and all gradients when one is needed."""
        if not (self.query_gradient or self.key_gradient or self.value_gradient):
            return 0
        if fused:
            return 2 * (3 * self.scores + 2 * self.values)
        of_scores = self.query_gradient + self.key_gradient
        return 2 * (of_scores * self.scores + ((of_scores > 0) + self.value_gradient) * self.values)


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoder layer: its products in the order they are made, and its attention.

    `checkpointed`: None, or how it is made again in the backward: `whole` (reentrant), `early` (stopped once the last
    saved tensor is there, which leaves the last product out unless something after it saves), `selective` (early, with
    the output of a fused attention kept).
    """

    products: tuple[Product, ...]
    attention: Attention
    checkpointed: str | None = None
    saves_after: bool = False  # what follows the last product keeps that product's output (a norm, a dropout)

    @property
    def trained(self) -> bool:
        """Whether the backward passes through it."""
        return any(product.backward for product in self.products) or self.attention.backward(False) > 0

    def recomputed(self, fused: bool) -> Cost:
        """What is done a second time because of checkpointing."""
        if self.checkpointed is None or not self.trained:
            return Cost()
        made = self.products if self.checkpointed == "whole" or self.saves_after else self.products[:-1]
        kept = self.checkpointed == "selective" and fused
        pair = {} if kept else {self.attention.window: self.attention.forward}
        return Cost(sum(product.forward for product in made), 0, pair)


@dataclass(frozen=True, slots=True)
class Decoder:
    """A model's layers and its head, which makes logits from hidden states.

    `embedding`: products in front of the layers, of adapters on the embeddings; the lookup itself is none.
    """

    architecture: str
    layers: tuple[Layer, ...]
    head: Product
    embedding: tuple[Product, ...] = ()

    def forward(self) -> Cost:
        """One forward."""
        position = sum(product.forward for product in self._products())
        return Cost(position, self.head.forward, self._pairs(lambda attention: attention.forward))

    def backward(self, *, fused: bool = False) -> Cost:
        """Its backward; `fused`: by an attention kernel that makes the scores again."""
        position = sum(product.backward for product in self._products())
        return Cost(position, self.head.backward, self._pairs(lambda attention: attention.backward(fused)))

    def recomputed(self, *, fused: bool = False, head: bool = False) -> Cost:
        """What the backward does a second time: checkpointed layers, and the head where its logits were not kept."""
        total = Cost(0, self.head.forward if head and self.head.backward else 0)
        for layer in self.layers:
            total += layer.recomputed(fused)
        return total

    def parts(self) -> dict[str, int]:
        """Forward FLOPs per position by part, attention's products of positions left out."""
        found: dict[str, int] = {}
        for product in (*self._products(), self.head):
            found[product.part] = found.get(product.part, 0) + product.forward
        return found

    def _products(self) -> Iterator[Product]:
        """All but the head's."""
        yield from self.embedding
        for layer in self.layers:
            yield from layer.products

    def _pairs(self, each: Callable[[Attention], int]) -> dict[Window, int]:
        found: dict[Window, int] = {}
        for layer in self.layers:
            window = layer.attention.window
            found[window] = found.get(window, 0) + each(layer.attention)
        return found
