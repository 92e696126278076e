"""The real device: what is sampled beside real work must be what NVML itself tells, and plausible."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from harness.measure.facts import facts
from harness.measure.recorder import Recorder
from harness.measure.sampling.beside import DeviceSampling
from harness.measure.summarise import summarise
from harness.records.device_log import device_events, in_order
from harness.records.events import read_events

pytestmark = [pytest.mark.slow, pytest.mark.gpu]

SECONDS = 5.0
HELD = 2 * 2**30


def test_figures_of_real_work_are_those_of_nvml(tmp_path: Path) -> None:
    import pynvml
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pynvml.nvmlInit()
    log = tmp_path / "device.jsonl"
    with Recorder(tmp_path / "events.jsonl") as recorder, DeviceSampling(recorder, log, 10.0) as sampling:
        time.sleep(1)  # the sampler is up before CUDA is
        left = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
        held = torch.ones(HELD, dtype=torch.uint8, device="cuda")
        sampling.phase_end("model")
        sampling.attached(SimpleNamespace(args=SimpleNamespace(n_gpu=1)), None)
        uuid = str(torch.cuda.get_device_properties(0).uuid)
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}".encode())
        for _ in range(20):
            left @ left
        torch.cuda.synchronize()
        assert sampling._process is not None
        process = psutil.Process(sampling._process.pid)
        cpu = sum(process.cpu_times()[:2])
        sampling.step_end({"step": 1, "measured": False})
        recorder.add("step", step=1, wall_s=1.0, measured=False, real_tokens=100, padded_tokens=100)
        counter, began = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle), time.monotonic()
        while time.monotonic() - began < SECONDS:
            for _ in range(50):
                left @ left
            torch.cuda.synchronize()
        used = (pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) - counter) / 1000
        recorder.add("step", step=2, wall_s=SECONDS, measured=True, real_tokens=100, padded_tokens=100)
        sampling.train_end()
        spent = sum(process.cpu_times()[:2]) - cpu
        del held
    events = in_order(list(read_events(tmp_path / "events.jsonl")), device_events([log]))
    found = summarise(events)
    limit = pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000
    assert found["energy"] == pytest.approx(used, rel=0.03)  # the counter moves in steps of 20 to 100 ms
    assert 0.05 * limit < found["mean_power"] < 1.1 * limit
    assert found["mean_device_utilization"] > 0.8
    assert 200 < found["mean_sm_clock"] < 4000
    assert 10 < found["max_temperature"] < 110
    assert found["peak_device_memory"] >= HELD
    assert facts(events)["sampling"] == {"hz": 10.0, "devices": 1}
    lines = [event for event in device_events([log]) if "power" in event.get("values", {})]
    assert len(lines) >= 9 * SECONDS
    assert spent < 0.05 * SECONDS
    assert not [event["text"] for event in events if event["kind"] == "note" and event["level"] == "warning"]
