"""The GPU's path without a GPU: torch's CUDA build, TRL, bitsandbytes and Triton on a device that computes nothing.

`make hollow` sets it up and runs this. What the allocator, the events, NVML and the trainers do is real; see README.md
for what is not.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pynvml
import pytest
import torch

ROOT = Path(__file__).parents[2]
NATIVE = 128 * 2**20  # bytes that no tensor of Python's explains: workspaces, batches
pytestmark = [
    pytest.mark.skipif(not os.environ.get("HOLLOW_TABLE"), reason="runs on the hollow device: make hollow"),
    pytest.mark.timeout(1800),  # the smoke suite compiles a model
]


def harness(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ['PYTHONPATH']}"}
    command = [sys.executable, "-m", "harness", *arguments]
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Outcomes of suites/gpu_smoke.yaml by cell, each with its last breakdown."""
    folder = tmp_path_factory.mktemp("smoke")
    ran = harness("run", str(ROOT / "suites" / "gpu_smoke.yaml"), cwd=folder)
    assert ran.returncode == 0, ran.stderr
    found = {}
    for spec in (folder / "results" / "gpu_smoke").glob("*/spec.json"):
        (outcome,) = spec.parent.glob("attempts/*/outcome.json")
        events = map(json.loads, (outcome.parent / "events.jsonl").read_text().splitlines())
        breakdowns = [event["values"] for event in events if event["kind"] == "breakdown"]
        name = json.loads(spec.read_text())["name"].removesuffix("-s0")
        found[name] = {**json.loads(outcome.read_text()), "breakdown": breakdowns[-1] if breakdowns else {}}
    return found


def test_the_device_is_one_that_torch_takes_for_real() -> None:
    assert torch.cuda.get_device_name(0) == "NVIDIA H200"
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]]).cuda()
    assert mask.sum().item() == 3
    assert mask.bool().nonzero().tolist() == [[0, 0], [0, 1], [1, 0]]
    before = torch.cuda.memory_allocated()
    held = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    assert torch.cuda.memory_allocated() - before == held.numel()
    with pytest.raises(torch.OutOfMemoryError, match=r"Tried to allocate 200\.00 GiB"):
        torch.empty(200 * 2**30, dtype=torch.uint8, device="cuda")


def test_what_a_killed_process_held_is_not_its_namesake_s() -> None:
    pynvml.nvmlInit()
    device = pynvml.nvmlDeviceGetHandleByIndex(0)
    before = pynvml.nvmlDeviceGetMemoryInfo(device).used
    row = struct.Struct("i4xQQ")  # pid, start, bytes: see c/table.h
    with Path(os.environ["HOLLOW_TABLE"]).open("r+b") as table:
        table.seek(63 * row.size)
        kept = table.read(row.size)
        table.seek(63 * row.size)
        table.write(row.pack(os.getpid(), 1, 2**36))  # this process began later than with the machine
        table.flush()
        try:
            assert pynvml.nvmlDeviceGetMemoryInfo(device).used == before
        finally:
            table.seek(63 * row.size)
            table.write(kept)


def test_every_cell_of_the_smoke_suite_ends_as_it_is_meant_to(smoke: dict[str, dict[str, Any]]) -> None:
    ended = {name: outcome["outcome"] for name, outcome in smoke.items()}
    assert len(ended) == 12
    assert ended.pop("out-of-memory") == "oom"
    assert set(ended.values()) == {"ok"}
    told = smoke["out-of-memory"]["facts"]["oom"]
    assert told["phase"] == "forward"
    assert told["requested_bytes"] > told["free"]


def test_every_probe_measures(smoke: dict[str, dict[str, Any]]) -> None:
    names = {
        *("real_tokens", "padded_tokens", "loss_tokens", "tokens_per_second", "device_step_seconds_p50", "data_share"),
        *("peak_allocated", "peak_reserved", "peak_device_memory", "peak_host_memory", "activation_memory"),
        *("weight_memory", "gradient_memory", "optimizer_memory", "energy", "mean_power", "mean_sm_clock"),
        *("model_flops", "hardware_flops", "mfu", "hfu", "max_temperature", "mean_device_utilization"),
    }
    for cell, outcome in smoke.items():
        if cell != "out-of-memory":
            assert names <= outcome["summary"].keys(), cell
            assert outcome["facts"]["peak_phase"] in ("forward", "backward", "optimizer"), cell


def test_the_parts_of_memory_add_up_to_what_the_allocator_held(smoke: dict[str, dict[str, Any]]) -> None:
    for cell, outcome in smoke.items():
        held = outcome["breakdown"]
        if held:
            assert 0 <= held["unexplained"] <= max(0.03 * held["allocated"], NATIVE), cell


def test_levers_move_the_parts_of_memory_that_they_are_for(smoke: dict[str, dict[str, Any]]) -> None:
    figures = {cell: outcome["summary"] for cell, outcome in smoke.items() if outcome["outcome"] == "ok"}
    plain = figures["plain"]
    assert figures["checkpointed"]["activation_memory"] < plain["activation_memory"] / 4
    assert figures["offloaded"]["activation_memory"] < plain["activation_memory"] / 2
    assert figures["paged-8bit"]["optimizer_memory"] < plain["optimizer_memory"]
    assert figures["lora"]["optimizer_memory"] < plain["optimizer_memory"] / 10
    assert figures["dpo"]["reference_memory"] == pytest.approx(plain["weight_memory"], rel=1e-6)  # and buffers
    assert plain["weight_memory"] == 2 * plain["total_parameters"]


def test_tokens_are_those_of_the_batches_whatever_the_lever(smoke: dict[str, dict[str, Any]]) -> None:
    figures = {cell: outcome["summary"] for cell, outcome in smoke.items() if outcome["outcome"] == "ok"}
    same = {
        cell: figures[cell]["real_tokens"] for cell in ("plain", "checkpointed", "padding-free", "paged-8bit", "liger")
    }
    assert len(set(same.values())) == 1, same
    assert figures["padding-free"]["padding_share"] == 0
    assert figures["plain"]["model_flops"] == pytest.approx(figures["checkpointed"]["model_flops"])
