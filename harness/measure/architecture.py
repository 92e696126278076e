"""Reads a decoder's products and attention off the modules of a transformers model, LoRA adapters included.

Only families whose every product is known are read, each checked against torch's counter; of anything else an exact
count cannot be promised, and `Unknown` says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.measure.flops import Attention, Decoder, Layer, Product, Window


class Unknown(Exception):
    """The model's FLOPs are not known, and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Names of a family's products within a layer, in the order they are made."""

    into_attention: tuple[str, ...] = ("q_proj", "k_proj", "v_proj")
    out_of_attention: str = "o_proj"
    into_mlp: tuple[str, ...] = ("gate_proj", "up_proj")
    out_of_mlp: str = "down_proj"
    norm_after: bool = False  # a norm over the MLP's output, before that is added
    one_window: bool = False  # its config's sliding window holds for every layer


FAMILIES: dict[str, Family] = {
    "llama": Family(),  # SmolLM2 too
    "mistral": Family(one_window=True),
    "qwen2": Family(),
    "qwen3": Family(),
    "smollm3": Family(),
    "granite": Family(),
    "olmo2": Family(norm_after=True),
    "gemma2": Family(norm_after=True),
    "gemma3_text": Family(norm_after=True),
    "phi3": Family(into_attention=("qkv_proj",), into_mlp=("gate_up_proj",), one_window=True),
}
"""Families by transformers' `model_type`. Mixtures of experts are none of them: what a token costs there depends on
where it is sent."""

_LIKE_LORA = ("KasaLinearVariant", "MiCALinearVariant")
"""PEFT's variants of LoRA whose products are those of plain LoRA."""


def decoder(model: Any, *, adapter: bool = True, hooked: bool = True) -> Decoder:
    """What the model's forward and backward consist of, as its weights are frozen or trained and checkpointed now.

    `adapter=False` leaves its LoRA adapters out, as a forward with the adapter off does. `hooked=False` leaves out the
    gradient that checkpointing makes the embeddings' output want, where no trained weight asks for it.

    Raises:
        Unknown: a family that is not listed, an adapter that is no plain LoRA, products that have no known place.
    """
    try:
        return _decoder(_base(model), adapter, hooked)
    except AttributeError as error:  # a listed family by name, built in another way
        raise Unknown(f"{type(model).__name__} is built in an unknown way ({error})") from error


def _decoder(base: Any, adapter: bool, hooked: bool) -> Decoder:
    config = base.config.get_text_config()
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise Unknown(f"the architecture {config.model_type!r} is not among those whose products are known")
    backbone = base.base_model
    embeddings = base.get_input_embeddings()
    gradient = _trained(embeddings) or (hooked and _wants_gradient(embeddings))
    layers = []
    for module in backbone.layers:
        layer, gradient = _layer(module, family, config, gradient, adapter)
        layers.append(layer)
    head = base.get_output_embeddings()
    if _adapters(head):
        raise Unknown("an adapter on the head")
    gradient = gradient or _trained(getattr(backbone, "norm", None))
    return Decoder(config.model_type, tuple(layers), _product("head", head, gradient), _embedding(base, adapter))


def _embedding(base: Any, adapter: bool) -> tuple[Product, ...]:
    """What adapters on the embeddings multiply: their A is looked up, so B alone, and its input needs A's gradient."""
    module = base.get_input_embeddings()
    if not adapter or not hasattr(module, "lora_embedding_B"):
        return ()
    active = [name for name in module.active_adapters if name in module.lora_embedding_B]
    pairs = [(module.lora_embedding_A[name], module.lora_embedding_B[name]) for name in active]
    return tuple(Product("adapter", int(b.numel()), bool(a.requires_grad), bool(b.requires_grad)) for a, b in pairs)


def _base(model: Any) -> Any:
    """The transformers model under a LoRA adapter."""
    configs = getattr(model, "peft_config", None)
    if not configs or not hasattr(model, "get_base_model"):
        return model
    for config in configs.values():
        kind = str(getattr(config.peft_type, "value", config.peft_type))
        if kind != "LORA":
            raise Unknown(f"an adapter of type {kind}")
        if getattr(config, "use_dora", False):
            raise Unknown("a DoRA adapter")
        if getattr(config, "target_parameters", None):
            raise Unknown("an adapter on bare parameters")
    _plain(model)
    return model.get_base_model()


def _plain(model: Any) -> None:
    """Raises where PEFT computes an adapter in another way than as B·A: aLoRA leaves positions out, BD-LoRA blocks."""
    for module in model.modules():
        for variant in getattr(module, "lora_variant", {}).values():
            kind = type(variant).__name__
            if kind not in _LIKE_LORA:
                raise Unknown(f"an adapter of LoRA's variant {kind.removesuffix('LinearVariant')}")


def _layer(module: Any, family: Family, config: Any, gradient: bool, adapter: bool) -> tuple[Layer, bool]:
    """One layer, and whether its output needs a gradient when its input does or does not (`gradient`)."""
    attention, mlp = module.self_attn, module.mlp
    walk = _Walk(adapter)
    before = gradient or _norm_trained(module, "input_layernorm")
    made = [walk.product("attention_projections", getattr(attention, name), before) for name in family.into_attention]
    query, key, value = (made * 3)[:3] if len(made) == 1 else made
    query, key = query or _norm_trained(attention, "q_norm"), key or _norm_trained(attention, "k_norm")
    mixed = query or key or value
    after = walk.product("attention_projections", getattr(attention, family.out_of_attention), mixed) or before
    between = after or _norm_trained(module, "post_attention_layernorm", "pre_feedforward_layernorm")
    inner = [walk.product("mlp", getattr(mlp, name), between) for name in family.into_mlp]
    out = walk.product("mlp", getattr(mlp, family.out_of_mlp), any(inner)) or between
    out = out or _norm_trained(module, "post_feedforward_layernorm")
    _nothing_else(module, walk.seen)
    queries, values = _widths(attention, config, family)
    found = Attention(queries, values, query, key, value, _window(attention, config, family))
    saves_after = family.norm_after or getattr(config, "resid_pdrop", 0.0) > 0
    return Layer(tuple(walk.products), found, _checkpointed(module), saves_after), out


class _Walk:
    """Collects products in the order they are made."""

    def __init__(self, adapter: bool) -> None:
        self._adapter = adapter
        self.products: list[Product] = []
        self.seen: set[int] = set()

    def product(self, part: str, module: Any, gradient: bool) -> bool:
        """Adds a product and those of its adapters; says whether their sum needs a gradient (`gradient`: the input)."""
        base = getattr(module, "base_layer", module)
        self.products.append(_product(part, base, gradient))
        self.seen.add(id(base))
        needs = gradient or _trained(base)
        for a, b in _adapters(module):
            self.seen.update((id(a), id(b)))
            if self._adapter:
                between = gradient or _trained(a)
                self.products += [_product("adapter", a, gradient), _product("adapter", b, between)]
                needs = needs or between or _trained(b)
        return needs


def _adapters(module: Any) -> list[tuple[Any, Any]]:
    """A and B of each active LoRA adapter of a module."""
    if not hasattr(module, "lora_A"):
        return []
    return [(module.lora_A[name], module.lora_B[name]) for name in module.active_adapters if name in module.lora_A]


def _product(part: str, module: Any, gradient: bool) -> Product:
    module = _saved(module)
    rows, columns = getattr(module, "in_features", None), getattr(module, "out_features", None)
    if rows is None or columns is None:
        raise Unknown(f"{type(module).__name__} is no linear layer")
    return Product(part, int(rows) * int(columns), gradient, bool(module.weight.requires_grad))


def _saved(module: Any) -> Any:
    """The copy that PEFT's `modules_to_save` trains in place of a module."""
    kept = getattr(module, "modules_to_save", None)
    return kept[module.active_adapter] if kept is not None and module.active_adapter in kept else module


def _trained(module: Any) -> bool:
    return module is not None and any(weight.requires_grad for weight in _saved(module).parameters(recurse=True))


def _norm_trained(module: Any, *names: str) -> bool:
    """Whether one of these norms, of those that the family has, is trained."""
    return any(_trained(getattr(module, name, None)) for name in names)


def _wants_gradient(embeddings: Any) -> bool:
    """Whether transformers or PEFT made the embeddings' output require a gradient, as checkpointing needs it."""
    return any(
        getattr(hook, "__name__", "") == "make_inputs_require_grads" for hook in embeddings._forward_hooks.values()
    )


def _nothing_else(layer: Any, seen: set[int]) -> None:
    """Raises where a layer holds a product that no name of its family stands for."""
    import torch

    for name, module in layer.named_modules():
        if isinstance(module, torch.nn.Linear) and id(module) not in seen and "lora_" not in name:
            raise Unknown(f"a product {name} that its family does not have")


def _widths(attention: Any, config: Any, family: Family) -> tuple[int, int]:
    """Widths of queries and values over all heads. Heads that share keys and values save no products by it."""
    out = _saved(getattr(attention, family.out_of_attention))
    values = int(getattr(out, "base_layer", out).in_features)
    return int(attention.head_dim) * int(config.num_attention_heads), values


def _window(attention: Any, config: Any, family: Family) -> Window:
    """The sliding window of a layer. A config may name a window, or kinds of layers, that its family never reads."""
    window = config.sliding_window if family.one_window else getattr(attention, "sliding_window", None)
    return int(window) if window else None


def _checkpointed(layer: Any) -> str | None:
    """How the layer is checkpointed, by what transformers set on it when training began."""
    if not getattr(layer, "gradient_checkpointing", False):
        return None
    options = getattr(getattr(layer, "_gradient_checkpointing_func", None), "keywords", None) or {}
    if options.get("use_reentrant") is not False:  # torch takes none for true
        return "whole"
    return "selective" if "context_fn" in options else "early"
