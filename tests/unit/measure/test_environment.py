"""What is recorded of the environment, and what is not."""

from __future__ import annotations

import json
import platform
import time
from importlib import metadata

import pytest

from harness.measure import environment
from harness.measure.active import sanitised


def test_packages_python_and_machine_are_recorded() -> None:
    found = environment.capture()
    assert found["packages"]["trl"] == metadata.version("trl")
    assert found["python"] == platform.python_version()
    assert found["cpu"]["count"] >= found["cpu"]["usable"] >= 1
    assert len(found["hash"]) == 64
    assert json.loads(json.dumps(found)) == found


def test_no_secret_and_no_host_name_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_averysecretvalue")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    text = json.dumps(environment.capture())
    assert "hf_averysecretvalue" not in text
    assert '"OMP_NUM_THREADS": "3"' in text
    assert "hostname" not in text
    assert platform.node() not in text or platform.node() in ("vm", "localhost")


def test_the_hash_holds_still_while_the_environment_does(monkeypatch: pytest.MonkeyPatch) -> None:
    before = environment.capture()["hash"]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert environment.capture()["hash"] == before
    fixed = environment._fixed()
    monkeypatch.setitem(fixed["packages"], "trl", "0.0.1")
    assert environment.capture()["hash"] != before


def test_a_warm_capture_is_quick() -> None:
    environment.warm()
    began = time.perf_counter()
    environment.capture()
    assert time.perf_counter() - began < 0.05


def test_a_resolved_config_loses_places_and_tokens() -> None:
    config = {
        "output_dir": "/somewhere",
        "hub_token": "x",
        "push_to_hub_token": "<T>",
        "other_token": "y",
        "eos_token": "</s>",
    }
    kept = sanitised({**config, "learning_rate": 1e-3, "optim": _Odd(), "nested": {"a": (1, 2)}})
    assert kept == {"eos_token": "</s>", "learning_rate": 1e-3, "optim": "odd", "nested": {"a": [1, 2]}}


class _Odd:
    def __str__(self) -> str:
        return "odd"
