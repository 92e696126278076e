"""Environments of a test: their own cache, and a uv that does as it is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import environments
from harness.environments import Declaration, fakes

Uv = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and none of this machine's settings of pip and uv."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "trl-harness" / "environments"


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Uv:
    """`uv(pip=("network", "ok"))` puts a uv that behaves so in front of PATH, and gives its folder."""

    def install(**plan: tuple[str, ...]) -> Path:
        folder = tmp_path / "uv"
        fakes.install(folder, **plan)
        if str(folder) not in os.environ["PATH"].split(os.pathsep):
            monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return folder

    return install


@pytest.fixture
def tiny() -> Declaration:
    """A declaration that costs nothing."""
    return environments.declare("tiny", {"requirements": ["six==1.16.0", "idna==3.7"]})


def visible(cache: Path) -> list[str]:
    """Environments and what builds have left, without locks, logs and links."""
    return sorted(path.name for path in cache.iterdir() if path.name not in (".locks", ".logs", ".harness"))
