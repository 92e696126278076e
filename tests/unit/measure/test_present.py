"""Which GPUs are here, asked without CUDA."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.measure import present
from harness.measure.present import gpus_here, models_here
from harness.records.claims import Device

GIB = 2**30


def test_the_devices_that_cuda_would_show(tmp_path: Path) -> None:
    devices = [
        {"uuid": "GPU-1", "name": "NVIDIA A100-SXM4-80GB", "memory_total": 80 * GIB},
        {"uuid": "GPU-2", "name": "NVIDIA H200", "memory_total": 141 * GIB},
        {"uuid": "GPU-3", "name": "NVIDIA T4", "errors": [[0, 1e9, "capacity", "not supported"]]},
    ]
    script = tmp_path / "gpus.json"
    script.write_text(json.dumps({"devices": devices}), encoding="utf-8")
    here = {"HARNESS_FAKE_NVML": str(script)}

    assert [one.name for one in gpus_here(here)] == ["NVIDIA A100-SXM4-80GB", "NVIDIA H200", "NVIDIA T4"]
    assert gpus_here({**here, "CUDA_VISIBLE_DEVICES": "GPU-2"}) == (Device(name="NVIDIA H200", memory_bytes=141 * GIB),)
    assert gpus_here({**here, "CUDA_VISIBLE_DEVICES": ""}) == ()


def test_a_machine_whose_nvml_does_not_answer_has_none(tmp_path: Path) -> None:
    assert gpus_here({"HARNESS_FAKE_NVML": str(tmp_path / "none.json")}) == ()


def test_models_of_a_script_are_no_device_to_train_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(present, "cpu_build", lambda: False)
    script = tmp_path / "gpus.json"
    script.write_text(json.dumps({"devices": [{"uuid": "GPU-1"}]}), encoding="utf-8")
    assert models_here({"HARNESS_FAKE_NVML": str(script)}) == ()
