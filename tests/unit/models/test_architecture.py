"""What of a model's configuration decides memory and FLOPs, and where it is looked up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.models import SHAPES
from harness.models.architecture import Unknown, architecture, of_config


def test_a_folder_s_architecture_is_read_from_its_config(tmp_path: Path) -> None:
    shape = SHAPES["qwen2.5-0.5b"]
    left_out = {"vocab_size"}  # as transformers writes configs: without what equals the class's default
    config = {name: value for name, value in shape.config.items() if name not in left_out}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2", **config}), encoding="utf-8")
    assert architecture({"path": "."}, tmp_path).parameters == shape.parameters


def test_a_hub_model_is_looked_up_in_the_local_cache_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--Qwen--Qwen2.5-0.5B"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc", encoding="utf-8")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    config = {"model_type": "qwen2", **SHAPES["qwen2.5-0.5b"].config}
    (folder / "snapshots" / "abc" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for revision in (None, "abc"):
        found = architecture({"hub": "Qwen/Qwen2.5-0.5B", "revision": revision}, Path())
        assert found.parameters == 494_032_768
    with pytest.raises(Unknown, match="not in the local cache"):
        architecture({"hub": "Qwen/Qwen2.5-0.5B", "revision": "other"}, Path())


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ({"model_type": "llama", "num_attention_heads": 16}, 4096),
        ({"model_type": "llama", "num_attention_heads": 16, "num_key_value_heads": None}, 4096),
        ({"model_type": "qwen2", "num_attention_heads": 64}, 2048),  # 32 groups by the class's default
        ({"model_type": "qwen2", "num_attention_heads": 64, "num_key_value_heads": None}, 4096),
        ({"model_type": "qwen3", "num_attention_heads": 64}, 4096),
        ({"model_type": "mistral"}, 1024),
    ],
)
def test_groups_that_a_config_leaves_out_are_those_of_its_class(config: dict[str, Any], keys: int) -> None:
    assert of_config(config).keys == keys


_SLIDING = {"use_sliding_window": True, "num_hidden_layers": 4, "max_window_layers": 1}


@pytest.mark.parametrize(
    ("config", "window", "layers"),
    [
        ({"model_type": "llama", "sliding_window": 8}, None, None),
        ({"model_type": "mistral"}, 4096, 32),
        ({"model_type": "mistral", "sliding_window": None}, None, None),
        ({"model_type": "mistral", "sliding_window": 8}, 8, 32),
        ({"model_type": "qwen2", "sliding_window": 8}, None, None),
        ({"model_type": "qwen2", **_SLIDING}, 4096, 3),
        ({"model_type": "qwen3", **_SLIDING, "sliding_window": 8, "max_window_layers": 0}, 8, 4),
        ({"model_type": "qwen2", **_SLIDING, "layer_types": ["sliding_attention", *["full_attention"] * 3]}, 4096, 1),
    ],
)
def test_windows_are_those_that_a_config_sets(config: dict[str, Any], window: int | None, layers: int | None) -> None:
    found = of_config(config)
    assert found.window == window
    assert layers in (None, found.windowed)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"model_type": "mixtral"}, "mixtral"),
        ({"model_type": "llama", "quantization_config": {"bits": 4}}, "quantized"),
        ({"model_type": "llama", "num_attention_heads": 0}, "makes no sense"),
        ({"model_type": "llama", "hidden_size": "wide"}, "makes no sense"),
    ],
)
def test_other_architectures_are_not_guessed_at(config: dict[str, Any], why: str) -> None:
    with pytest.raises(Unknown, match=why):
        of_config(config)
