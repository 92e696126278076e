"""Cells that are made for a GPU, on a machine that has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import pipeline
from harness.measure import present

SUITE = """\
name: half
question: What does a GPU do?
base:
  method: sft
  model: {shape: tiny}
  data: {source: arithmetic}
  train: {max_steps: 10}
matrix:
  lever:
    plain: {}
    half: {train.bf16: true}
    host: {train.bf16: true, train.use_cpu: true}
"""


@pytest.mark.parametrize("variant", [False, True])
def test_a_machine_without_a_gpu_warns_of_cells_in_half_precision(
    variant: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half.yaml").write_text(SUITE)
    if variant:
        (tmp_path / "half-cpu.yaml").write_text("")
    monkeypatch.setattr(present, "models_here", lambda: ())
    (warning,) = pipeline.planned(tmp_path / "half.yaml", pipeline.Choice()).warnings
    assert warning.what == "no CUDA device is here, so sft-half would train on the CPU"
    assert str(warning.where).endswith("half.yaml:11:24")
    assert ("half-cpu.yaml" in (warning.hint or "")) is variant
    monkeypatch.setattr(present, "models_here", lambda: ("NVIDIA H200",))
    assert pipeline.planned(tmp_path / "half.yaml", pipeline.Choice()).warnings == ()


def test_a_machine_without_a_gpu_warns_of_what_only_one_can_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = "    moved: {train.bf16: true, train.activation_offloading: true}\n    tensor: {train.tf32: true}\n"
    (tmp_path / "half.yaml").write_text(SUITE + more)
    monkeypatch.setattr(present, "models_here", lambda: ())
    cannot, half = pipeline.planned(tmp_path / "half.yaml", pipeline.Choice()).warnings
    assert cannot.what == "no CUDA device is here, so sft-moved and 1 more cannot train"
    assert str(cannot.where).endswith("half.yaml:13:60")
    assert "TRL moves activations off a GPU" in str(cannot.why)
    assert half.what == "no CUDA device is here, so sft-half would train on the CPU"
    monkeypatch.setattr(present, "models_here", lambda: ("NVIDIA H200",))
    assert pipeline.planned(tmp_path / "half.yaml", pipeline.Choice()).warnings == ()


def test_a_kernel_without_a_backward_on_a_cpu_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half.yaml").write_text(SUITE + "    flex: {model.attn_implementation: flex_attention}\n")
    monkeypatch.setattr(present, "models_here", lambda: ())
    cannot, _ = pipeline.planned(tmp_path / "half.yaml", pipeline.Choice()).warnings
    assert cannot.what == "no CUDA device is here, so sft-flex cannot train"
    assert str(cannot.where).endswith("half.yaml:13:39")
    assert "no backward of it" in str(cannot.why)


def test_offloading_checkpoints_needs_pinned_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half.yaml").write_text(SUITE + "    away: {train.gradient_checkpointing_kwargs: {offload: true}}\n")
    monkeypatch.setattr(present, "models_here", lambda: ())
    cannot, _ = pipeline.planned(tmp_path / "half.yaml", pipeline.Choice()).warnings
    assert cannot.what == "no CUDA device is here, so sft-away cannot train"
    assert "pinned memory" in str(cannot.why)
