"""The facts of the shapes agree with one another and with the published sizes."""

import pytest

from harness.models.shapes import SHAPES, Shape


def _count(shape: Shape) -> int:
    """Parameters of a Qwen2 or Llama decoder, from the architecture as its papers draw it."""
    c = shape.config
    hidden, inner, layers, vocab = (
        c[n] for n in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")
    )
    head = c.get("head_dim", hidden // c["num_attention_heads"])
    q, kv = c["num_attention_heads"] * head, c["num_key_value_heads"] * head
    attention = hidden * (q + 2 * kv) + q * hidden + (q + 2 * kv if shape.model_type == "qwen2" else 0)
    per_layer = attention + 3 * hidden * inner + 2 * hidden
    return int(layers * per_layer + hidden + vocab * hidden * (1 if c["tie_word_embeddings"] else 2))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
def test_the_parameters_follow_from_the_facts(shape: Shape) -> None:
    assert _count(shape) == shape.parameters


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
def test_heads_divide_what_they_share(shape: Shape) -> None:
    assert shape.config["hidden_size"] % shape.config["num_attention_heads"] == 0
    assert shape.config["num_attention_heads"] % shape.config["num_key_value_heads"] == 0


def test_the_shapes_that_suites_may_name() -> None:
    assert set(SHAPES) == {
        "tiny",
        "qwen2.5-0.5b",
        "qwen2.5-1.5b",
        "qwen2.5-7b",
        "llama-3.2-1b",
        "llama-3.1-8b",
        "smollm2-135m",
    }


def test_every_published_shape_cites_its_config() -> None:
    sources = [shape.source for shape in SHAPES.values() if shape.name != "tiny"]
    assert all(source.startswith("https://huggingface.co/") and source.endswith("/config.json") for source in sources)
    assert len(set(sources)) == len(sources)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
def test_transformers_builds_the_published_number_of_parameters(shape: Shape) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from harness.models.load import shape_config
    from harness.models.tokenizer import build

    config = shape_config({"shape": shape.name}, build())
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model.tie_weights()
    assert sum(parameter.numel() for parameter in model.parameters()) == shape.parameters
    # A field that the config class does not know would be kept silently and mean nothing.
    assert {name: getattr(config, name) for name in shape.config} == dict(shape.config)
