"""Published architectures by name: facts of their configs, with the source. No weights, nothing to download.

Speed and memory depend on the architecture, not on what the weights say, so random weights
of a real shape answer questions about cost. `tiny` is our own: it learns in seconds on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """An architecture. `config` holds fields of the transformers config class of `model_type`.

    `parameters` counts tied embeddings once, as the published checkpoints do. `source` is where the facts come from.
    """

    name: str
    model_type: str
    parameters: int
    source: str
    config: Mapping[str, Any]


def _llama3_rope(factor: float) -> dict[str, Any]:
    return {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }


def _plain_rope(theta: float) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": theta}


_ALL = (
    Shape(
        name="tiny",
        model_type="qwen2",
        parameters=858_240,
        source="made for this project",
        config={
            "vocab_size": 1024,
            "hidden_size": 128,
            "intermediate_size": 344,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-6,
            "rope_parameters": _plain_rope(10000.0),
            "initializer_range": 0.02,
            "tie_word_embeddings": True,
        },
    ),
    Shape(
        name="qwen2.5-0.5b",
        model_type="qwen2",
        parameters=494_032_768,
        source="https://huggingface.co/Qwen/Qwen2.5-0.5B/blob/main/config.json",
        config={
            "vocab_size": 151936,
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "max_position_embeddings": 32768,
            "rms_norm_eps": 1e-6,
            "rope_parameters": _plain_rope(1000000.0),
            "initializer_range": 0.02,
            "tie_word_embeddings": True,
        },
    ),
    Shape(
        name="qwen2.5-1.5b",
        model_type="qwen2",
        parameters=1_543_714_304,
        source="https://huggingface.co/Qwen/Qwen2.5-1.5B/blob/main/config.json",
        config={
            "vocab_size": 151936,
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "num_hidden_layers": 28,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-6,
            "rope_parameters": _plain_rope(1000000.0),
            "initializer_range": 0.02,
            "tie_word_embeddings": True,
        },
    ),
    Shape(
        name="qwen2.5-7b",
        model_type="qwen2",
        parameters=7_615_616_512,
        source="https://huggingface.co/Qwen/Qwen2.5-7B/blob/main/config.json",
        config={
            "vocab_size": 152064,
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-6,
            "rope_parameters": _plain_rope(1000000.0),
            "initializer_range": 0.02,
            "tie_word_embeddings": False,
        },
    ),
    Shape(
        name="llama-3.2-1b",
        model_type="llama",
        parameters=1_235_814_400,
        source="https://huggingface.co/meta-llama/Llama-3.2-1B/blob/main/config.json",
        config={
            "vocab_size": 128256,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-5,
            "rope_parameters": _llama3_rope(32.0),
            "initializer_range": 0.02,
            "tie_word_embeddings": True,
        },
    ),
    Shape(
        name="llama-3.1-8b",
        model_type="llama",
        parameters=8_030_261_248,
        source="https://huggingface.co/meta-llama/Llama-3.1-8B/blob/main/config.json",
        config={
            "vocab_size": 128256,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-5,
            "rope_parameters": _llama3_rope(8.0),
            "initializer_range": 0.02,
            "tie_word_embeddings": False,
        },
    ),
    Shape(
        name="smollm2-135m",
        model_type="llama",
        parameters=134_515_008,
        source="https://huggingface.co/HuggingFaceTB/SmolLM2-135M/blob/main/config.json",
        config={
            "vocab_size": 49152,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "head_dim": 64,
            "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5,
            "rope_parameters": _plain_rope(100000.0),
            "initializer_range": 0.041666666666666664,
            "tie_word_embeddings": True,
        },
    ),
)

SHAPES: dict[str, Shape] = {shape.name: shape for shape in _ALL}
