"""FLOPs by formula against torch's own counter: forward and backward apart, to the last FLOP."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.flops import Attention, Cost, Decoder, Layer, Product, Work, pairs
from tests.unit.measure.counter import counting

ROWS, LENGTH = 3, 24
SMALL = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 72,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def _model(family: str = "qwen2", kernel: str = "eager", **config: Any) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    made = AutoConfig.for_model(family, **{**SMALL, **config})
    return AutoModelForCausalLM.from_config(made, attn_implementation=kernel).train()


def _lora(model: Any, targets: Any, **more: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM", **more))


def _counted(model: Any) -> tuple[int, int]:
    """FLOPs of forward and of backward, by torch's counter."""
    import torch

    ids = torch.randint(3, 90, (ROWS, LENGTH), generator=torch.Generator().manual_seed(1))
    with counting() as counter:
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
        forward = int(counter.get_total_flops())
        logits.float().square().mean().backward()
    return forward, int(counter.get_total_flops()) - forward


def _work(decoder: Decoder) -> Work:
    """A dense kernel forms all pairs of a row, whatever the window."""
    return Work(ROWS * LENGTH, ROWS * LENGTH, dict.fromkeys(decoder.forward().pair, ROWS * LENGTH**2))


def _check(model: Any, *, fused: bool = False) -> None:
    from harness.measure.architecture import decoder

    found = decoder(model)
    work = _work(found)
    forward, backward = _counted(model)
    assert found.forward().of(work) == forward
    assert (found.backward(fused=fused) + found.recomputed(fused=fused)).of(work) == backward


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("tied", [False, True])
def test_dense_training_is_counted_as_torch_counts_it(kernel: str, tied: bool) -> None:
    _check(_model(kernel=kernel, tie_word_embeddings=tied), fused=kernel == "sdpa")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("llama", {}),
        ("llama", {"head_dim": 16}),
        ("llama", {"num_key_value_heads": 4}),
        ("mistral", {"sliding_window": 8}),
        ("mistral", {"sliding_window": None}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}),
        ("qwen3", {"head_dim": 12}),
        ("smollm3", {}),
        ("granite", {}),
        ("olmo2", {}),
        ("gemma2", {"head_dim": 8, "sliding_window": 8}),
        ("gemma3_text", {"head_dim": 8, "sliding_window": 8}),
        ("phi3", {}),
        ("phi3", {"resid_pdrop": 0.1}),
    ],
)
@pytest.mark.parametrize("reentrant", [None, False, True])
def test_every_family_is_counted_as_torch_counts_it(
    family: str, config: dict[str, Any], reentrant: bool | None
) -> None:
    model = _model(family, **config)
    if reentrant is not None:
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    _check(model)


_KINDS = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("llama", {"sliding_window": 8}),  # never read there, nor is what kinds of layers Mistral's and Phi-3's name
        ("mistral", {"sliding_window": 8}),
        ("mistral", {"sliding_window": None}),
        ("mistral", _KINDS),
        ("phi3", _KINDS),
        ("qwen2", {"sliding_window": 8}),
        ("qwen2", {"use_sliding_window": True, **_KINDS}),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2}),
        ("smollm3", {"use_sliding_window": True, **_KINDS}),
        ("granite", {"sliding_window": 8}),
        ("olmo2", {"sliding_window": 8}),
        ("gemma2", {"head_dim": 8, "sliding_window": 8}),
        ("gemma3_text", {"head_dim": 8, **_KINDS}),
    ],
)
def test_windows_are_those_that_attention_keeps_to(family: str, config: dict[str, Any]) -> None:
    """Seen in the weights of an eager attention: how far back a position looks."""
    import torch

    from harness.measure.architecture import decoder

    model, seen = _model(family, **config), []
    for layer in model.model.layers:
        layer.self_attn.register_forward_hook(lambda module, args, out: seen.append(out[1][0].amax(0) > 0))
    model(input_ids=torch.full((1, LENGTH), 5))
    reach = [max(int(row - column) for row, column in found.nonzero()) + 1 for found in seen]
    windows = [layer.attention.window for layer in decoder(model).layers]
    assert windows == [None if back == LENGTH else back for back in reach]


@pytest.mark.slow
@pytest.mark.parametrize(
    "targets",
    [["q_proj"], ["v_proj"], ["q_proj", "v_proj"], ["o_proj"], ["down_proj"], ["gate_proj", "down_proj"], "all-linear"],
    ids=str,
)
@pytest.mark.parametrize("checkpointing", [None, "early", "whole"])
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_lora_is_counted_as_torch_counts_it(targets: Any, checkpointing: str | None, kernel: str) -> None:
    """Frozen weights save their gradient, and what lies before the first trained weight saves its input's."""
    model = _lora(_model(kernel=kernel), targets)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": checkpointing == "whole"})
    _check(model, fused=kernel == "sdpa")


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [None, "early", "whole"])
@pytest.mark.parametrize("variant", [{"kasa_config": {}}, {"init_lora_weights": "mica"}], ids=["kasa", "mica"])
def test_variants_with_loras_products_are_counted_as_torch_counts_them(variant: Any, checkpointing: str | None) -> None:
    model = _lora(_model(), ["q_proj", "down_proj"], **variant)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": checkpointing == "whole"})
    _check(model)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("every", [1, 2])
def test_some_layers_checkpointed_are_counted_as_torch_counts_them(kernel: str, every: int) -> None:
    model = _model(kernel=kernel)
    model.gradient_checkpointing_enable({"use_reentrant": False}, every_n_layers=every)
    _check(model, fused=kernel == "sdpa")


@pytest.mark.slow
def test_selective_checkpointing_keeps_a_fused_attention() -> None:
    from trl.models import enable_selective_activation_checkpointing

    model = _model(kernel="sdpa")
    enable_selective_activation_checkpointing(model)
    model.gradient_checkpointing_enable()
    _check(model, fused=True)


@pytest.mark.slow
def test_layers_only_at_the_top_trained_save_the_backward_of_the_rest() -> None:
    model = _model().requires_grad_(False)
    model.model.layers[2].mlp.down_proj.requires_grad_(True)
    _check(model)


@pytest.mark.slow
def test_saved_modules_count_as_trained() -> None:
    model = _lora(_model(tie_word_embeddings=False), ["q_proj"], modules_to_save=["lm_head"])
    _check(model)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [None, "early", "whole"])
@pytest.mark.parametrize("targets", [["embed_tokens"], ["embed_tokens", "q_proj"]], ids=str)
def test_an_adapter_on_the_embeddings_is_one_product(targets: list[str], checkpointing: str | None) -> None:
    """Its A is looked up; B is multiplied, and the gradient goes down to it through every layer."""
    model = _lora(_model(), targets)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": checkpointing == "whole"})
    _check(model)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "norm"),
    [
        ("qwen2", "input_layernorm"),
        ("qwen2", "post_attention_layernorm"),
        ("qwen3", "q_norm"),
        ("qwen3", "k_norm"),
        ("gemma2", "post_attention_layernorm"),
        ("gemma2", "pre_feedforward_layernorm"),
        ("gemma2", "post_feedforward_layernorm"),
        ("olmo2", "post_attention_layernorm"),
        ("olmo2", "post_feedforward_layernorm"),
        ("olmo2", "q_norm"),
    ],
)
def test_a_trained_norm_asks_for_the_gradient_from_where_it_stands(family: str, norm: str) -> None:
    """In the lowest layer what lies before the norm saves the gradient of its input."""
    more = {"layers_to_transform": [2], "modules_to_save": [norm]}
    _check(_lora(_model(family, head_dim=8), ["down_proj"], **more))


@pytest.mark.slow
@pytest.mark.parametrize("targets", ["all-linear", ["embed_tokens"]], ids=str)
def test_an_adapter_that_is_off_costs_nothing(targets: Any) -> None:
    from harness.measure.architecture import decoder

    bare = decoder(_model()).forward()
    model = _lora(_model(), targets)
    assert decoder(model, adapter=False).forward() == bare
    assert decoder(model).forward().position > bare.position


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: _model("gpt_neox"), "gpt_neox"),
        (lambda: _model("mixtral", num_local_experts=2), "mixtral"),
        (lambda: _lora(_model(), ["q_proj"], use_dora=True), "DoRA"),
        (lambda: _lora(_model(tie_word_embeddings=False), ["lm_head", "q_proj"]), "head"),
        (lambda: _lora(_model(), ["q_proj"], alora_invocation_tokens=[5]), "ALora"),
        (lambda: _lora(_model(), ["q_proj"], use_bdlora={"target_modules_bd_b": ["q_proj"], "nblocks": 2}), "BdLora"),
        (lambda: _lora(_model(), ["q_proj"], monteclora_config={}), "Monteclora"),
        (lambda: _lora(_model(), ["q_proj"], velora_config={}), "Velora"),
    ],
    ids=["parallel", "experts", "dora", "head", "invoked", "blocks", "sampled", "grouped"],
)
def test_what_is_not_known_is_refused(make: Any, why: str) -> None:
    from harness.measure.architecture import Unknown, decoder

    with pytest.raises(Unknown, match=why):
        decoder(make())


@pytest.mark.slow
def test_a_product_without_a_place_is_refused() -> None:
    import torch

    from harness.measure.architecture import Unknown, decoder

    model = _model()
    model.model.layers[1].mlp.extra = torch.nn.Linear(32, 32)
    with pytest.raises(Unknown, match="extra"):
        decoder(model)


@pytest.mark.slow
def test_it_is_palms_formula_for_dense_training() -> None:
    """6N + 12·L·H·Q·T per token (arXiv 2204.02311, appendix B), N without embeddings but with the head."""
    from harness.measure.architecture import decoder

    model = _model(tie_word_embeddings=False)
    weights = sum(weight.numel() for name, weight in model.named_parameters() if name.endswith("proj.weight"))
    weights += model.lm_head.weight.numel()
    found = decoder(model)
    per_token = (found.forward() + found.backward()).of(_work(found)) / (ROWS * LENGTH)
    assert per_token == 6 * weights + 12 * 3 * 4 * 8 * LENGTH


def _decoder(window: int | None = None) -> Decoder:
    layer = Layer((Product("mlp", 6, True, True),), Attention(4, 4, True, True, True, window), "early")
    return Decoder("made up", (layer, layer), Product("head", 10, True, True))


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(1, 60))
def test_pairs_of_documents_never_exceed_those_of_their_row(lengths: list[int], window: int) -> None:
    found = pairs(lengths, (None, window))
    assert found[window] <= found[None] <= sum(lengths) ** 2
    assert found[None] == sum(length**2 for length in lengths)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(0, 20), st.booleans())
def test_hardware_never_does_less_than_the_model_asks(lengths: list[int], padding: int, fused: bool) -> None:
    decoder = _decoder()
    real = Work(sum(lengths), sum(max(0, length - 1) for length in lengths), pairs(lengths, decoder.forward().pair))
    longest = max(lengths) + padding
    padded = Work(longest * len(lengths), longest * len(lengths), {None: len(lengths) * longest**2})
    asked = (decoder.forward() + decoder.backward()).of(real)
    done = decoder.forward() + decoder.backward(fused=fused) + decoder.recomputed(fused=fused, head=True)
    assert asked <= done.of(padded)


def test_costs_add_up_by_window() -> None:
    total = Cost(1, 2, {None: 3}) + Cost(10, 20, {None: 30, 8: 40})
    assert total == Cost(11, 22, {None: 33, 8: 40})
    assert total.of(Work(2, 3, {None: 5, 8: 7})) == 11 * 2 + 22 * 3 + 33 * 5 + 40 * 7


def test_frozen_products_cost_only_their_input_gradient() -> None:
    assert Product("mlp", 5, True, False).backward == Product("mlp", 5, True, True).backward // 2 == 10
    assert Product("mlp", 5, False, False).backward == 0
