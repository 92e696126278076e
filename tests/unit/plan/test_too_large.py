"""Cells that would take more of the host than it has, on a machine that has no GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import pipeline
from harness.execute import DebugEngine
from harness.measure import host, present
from harness.records.claims import Device
from harness.records.progress import Silent
from harness.records.request import Choice, Places

SUITE = """\
name: large
question: Is there room?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic}
  train: {max_steps: 10, max_length: 256}
matrix:
  size:
    small: {train.per_device_train_batch_size: 1}
    large: {train.per_device_train_batch_size: 4096}
    larger: {train.per_device_train_batch_size: 8192}
    bounded: {train.per_device_train_batch_size: 16384, limits.host_memory: 1GiB}
    uncut: {train.per_device_train_batch_size: 16384, train.max_length: null}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(present, "models_here", lambda: ())
    monkeypatch.setattr(host, "usable_memory", lambda: 2 * 2**30)
    (tmp_path / "large.yaml").write_text(SUITE)
    return tmp_path / "large.yaml"


def test_a_machine_without_a_gpu_warns_of_cells_that_it_may_not_hold(file: Path) -> None:
    (warning,) = pipeline.planned(file, Choice()).warnings
    assert "sft-larger (" in warning.what
    assert "sft-large (" in warning.what
    assert not any(name in warning.what for name in ("small", "bounded", "uncut"))
    assert warning.what.index("sft-larger") < warning.what.index("sft-large (")
    assert "the host's 2 GiB" in warning.what
    assert str(warning.where).endswith("large.yaml:12:49")
    assert "--skip sft-larger" in (warning.hint or "")


def test_a_machine_with_a_gpu_or_with_room_does_not(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "usable_memory", lambda: 2**50)
    assert pipeline.planned(file, Choice()).warnings == ()
    monkeypatch.setattr(host, "usable_memory", lambda: 2**30)
    monkeypatch.setattr(present, "models_here", lambda: ("NVIDIA H200",))
    assert pipeline.planned(file, Choice()).warnings == ()


def test_a_gpu_warns_of_cells_that_it_may_not_hold(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(present, "models_here", lambda: ("NVIDIA L4",))
    told = file.read_text().replace("4096}", "4096, limits.expect: oom}").replace("1GiB", "999GiB")
    file.write_text(told)
    for memory, names in ((2 * 2**30, ["sft-bounded (", "sft-larger ("]), (2**50, [])):
        gpus = (Device(name="NVIDIA L4", memory_bytes=memory), Device(name="NVIDIA T4", memory_bytes=2**20))
        monkeypatch.setattr(present, "gpus_here", lambda gpus=gpus: gpus)
        warnings = pipeline.planned(file, Choice()).warnings
        assert len(warnings) == bool(names)
        for warning in warnings:
            assert all(name in warning.what for name in names)
            assert warning.what.endswith("may need more than the 2 GiB of NVIDIA L4")
            assert not any(name in warning.what for name in ("sft-large (", "small", "uncut"))


def test_a_run_warns_of_what_it_chooses_before_anything_else(file: Path, tmp_path: Path) -> None:
    places = Places(results=tmp_path / "results", reports=tmp_path / "reports")

    def told(*only: str) -> list[str]:
        observer = Silent()
        pipeline.run(file, Choice(only=only), places, engine=DebugEngine(), observer=observer)
        return [kind for kind, _ in observer.told if kind in ("warned", "planned")]

    assert told("sft-large-*") == ["warned", "planned"]
    assert told("sft-small-*") == ["planned"]
