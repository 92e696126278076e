"""Trials beside a device whose script is known, sampled as in a real one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.measure.fakes import ScriptedNvml
from harness.measure.nvml import NvmlError
from harness.measure.sampler import Sampler
from harness.records.device_log import device_events, in_order
from harness.records.events import Event

GIB = 2**30


def sampled_log(
    folder: Path,
    devices: Sequence[dict[str, Any]],
    until: float,
    *,
    hz: float = 10.0,
    marks: Sequence[float] = (),
    silence: tuple[float, float] = (0.0, 0.0),
) -> Path:
    """What a sampler writes over the scripts, its first sample a little after the start; `marks` as a worker sends."""
    now = [0.0]
    nvml = ScriptedNvml.of(
        {"devices": [{"uuid": f"GPU-{number}", **device} for number, device in enumerate(devices)]},
        clock=lambda: now[0],
    )
    log = folder / "device.jsonl"
    log.unlink(missing_ok=True)
    sampler = Sampler(log=log, hz=hz, worker=1)
    before = {gpu.uuid: {**used_before(gpu), "processes": [7] if 7 in gpu.processes() else []} for gpu in nvml.gpus()}
    sampler.begin(nvml.gpus(), before, origin=100.0)
    sampler.use([gpu.uuid for gpu in nvml.gpus()])
    due = [(0.037 + tick / hz, False) for tick in range(int(until * hz) + 1)]
    due = [(t, marked) for t, marked in due if not silence[0] < t < silence[1]]
    for now[0], marked in sorted([*due, *((mark, True) for mark in marks)]):
        if not sampler.over:
            sampler.mark(now[0]) if marked else sampler.tick(now[0])
    now[0] = max(now[0], until)
    sampler.end(now[0])
    return log


def used_before(gpu: Any) -> dict[str, float]:
    try:
        return {"memory_before": gpu.read("memory")["memory_used"]}
    except NvmlError:
        return {}


def trained_steps(begin: float, walls: Sequence[float], *, warmup: int = 0, tokens: int = 100) -> list[Event]:
    """Training that begins at a time and makes steps of these lengths."""
    events: list[Event] = [{"kind": "phase", "name": "train", "edge": "start", "t": begin}]
    t = begin
    for number, wall in enumerate(walls, start=1):
        t += wall
        events.append(
            {
                "kind": "step",
                "step": number,
                "t": t,
                "wall_s": wall,
                "measured": number > warmup,
                "real_tokens": tokens,
                "padded_tokens": tokens,
            }
        )
    return events


def trial_beside(
    folder: Path, device: dict[str, Any], *, walls: Sequence[float] = (1.0,) * 10, warmup: int = 2
) -> list[Event]:
    """A trial that trains from second 2 on, beside one device."""
    steps = trained_steps(2.0, walls, warmup=warmup)
    return in_order(steps, device_events([sampled_log(folder, [device], 2 + sum(walls) + 1)]))
