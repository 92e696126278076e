"""A user's cache of its own for every test, and folders that look like models."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """A model folder of made-up files: enough for everything that loads nothing."""

    def make(name: str = "model", *, weights: bytes = b"weights", config: Mapping[str, Any] | None = None) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "config.json").write_text(json.dumps(config or {"model_type": "qwen2", "hidden_size": 8}))
        (folder / "tokenizer.json").write_text("{}")
        return folder

    return make
