"""Every public metric of a trial whose times, tokens, memory, FLOPs, curves and device are made up: within 1%."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from harness.measure import Recorder, attach, ceiling, summarise
from harness.measure.active import Active
from harness.measure.breakdown import Breakdown
from harness.measure.clock import StepClock
from harness.measure.compute import Compute
from harness.measure.curves import Curves
from harness.measure.device import DeviceMemory
from harness.measure.device_time import DeviceTime
from harness.measure.fakes import (
    FakeAllocator,
    FakeClock,
    FakeMethod,
    FakeNvml,
    FakeQueue,
    FakeStep,
    FakeTrainer,
    ScriptedNvml,
)
from harness.measure.memory import HostMemory, Memory
from harness.measure.probe import Probe
from harness.measure.sampler import Sampler
from harness.measure.tokens import TokenCounter
from harness.records.device_log import device_events, in_order
from harness.records.events import Event, read_events
from harness.records.metrics import METRICS

pytestmark = pytest.mark.slow  # torch

MIB = 2**20
ACCUMULATION, WARMUP, EVAL_EVERY, EVAL_S, PEAK, WORLD = 2, 3, 10, 4.0, 1e9, 2
STARTUP = {"import": 2.0, "model": 3.0, "data": 5.0, "trainer": 7.0}
HIDDEN, INNER, LAYERS, VOCABULARY, FROZEN = 16, 20, 2, 50, 1000
USS, SPIKE, BLOCK = 300 * MIB, 50 * MIB, 64 * MIB
# What the device tells goes in straight lines from the attempt's start to its end: watts, of 1, MHz, °C, bytes.
LINES = {
    "power": (100.0, 700.0),
    "utilization": (0.1, 0.9),
    "sm_clock": (1000.0, 1900.0),
    "temperature": (30.0, 90.0),
    "memory": (1024.0 * MIB, 5 * 1024.0 * MIB),
}


def _batch(number: int) -> FakeStep:
    """The micro-batches differ in everything; those of the warm-up stand out, and must not show in the window."""
    warm = number < WARMUP * ACCUMULATION
    train = 0.2 + (number * number) % 17 / 20
    return FakeStep(
        real=10 + number % 7,
        padded=30,
        loss=3 + number % 5,
        load_s=0.1 + number % 3 / 10,
        train_s=train + (30.0 if warm else 0.0),
        device_s=train + (30.0 if warm else 0.0) + 0.05,
        reference=True,
        value=3.0 - number / 50 + number % 3 / 100 + (5.0 if number == 40 else 0.0),
        margin=number / 25,
        norm=90.0 if warm else 1.0 + number % 11,
        forward_b=(200 if warm else 70 + number % 4) * MIB,
        backward_b=30 * MIB,
        optimizer_b=5 * MIB,
    )


BATCHES = [_batch(number) for number in range(60)]
STEPS = [BATCHES[at : at + ACCUMULATION] for at in range(0, len(BATCHES), ACCUMULATION)]
WINDOW = [batch for step in STEPS[WARMUP:] for batch in step]


def _behind(step: Sequence[FakeStep]) -> float:
    """How long the device works on when the host is done with a step."""
    return sum(batch.device_s - batch.train_s for batch in step)


@dataclass
class Times:
    """When things happened, seconds since the attempt's start, by what the trainer was told alone."""

    start: float = sum(STARTUP.values())

    @cached_property
    def walls(self) -> list[float]:
        """Of every step. The device is waited for in the last one, and before an evaluation: that is the next one's."""
        walls = [sum(batch.load_s + batch.train_s for batch in step) for step in STEPS]
        for evaluated in range(EVAL_EVERY, len(STEPS), EVAL_EVERY):
            walls[evaluated] += _behind(STEPS[evaluated - 1])
        walls[-1] += _behind(STEPS[-1])
        return walls

    @cached_property
    def spans(self) -> list[tuple[float, float]]:
        """The measured stretches: between the evaluations."""
        found: list[tuple[float, float]] = []
        begin = now = self.start + sum(self.walls[:WARMUP])
        for number, wall in enumerate(self.walls[WARMUP:], start=WARMUP + 1):
            now += wall
            if number % EVAL_EVERY == 0:
                waits = now + (_behind(STEPS[number - 1]) if number < len(STEPS) else 0.0)
                found.append((begin, waits))
                begin, now = waits + EVAL_S, now + EVAL_S
        return found

    @property
    def end(self) -> float:
        return self.spans[-1][1] + EVAL_S

    @property
    def window(self) -> float:
        return sum(self.walls[WARMUP:])


def _at(name: str, t: float, end: float) -> float:
    first, last = LINES[name]
    return first + (last - first) * t / end


def _over(name: str, times: Times) -> float:
    """∫ of a line over the measured stretches."""
    return sum((b - a) * (_at(name, a, times.end) + _at(name, b, times.end)) / 2 for a, b in times.spans)


def _model() -> Any:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
        num_attention_heads=2, num_key_value_heads=1, attn_implementation="eager", tie_word_embeddings=False,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    model.register_parameter("frozen", torch.nn.Parameter(torch.zeros(FROZEN), requires_grad=False))
    return model


def _trainer(clock: FakeClock) -> FakeTrainer:
    """Its model has gradients and an optimizer's state; all that is held lies in the made-up device's memory."""
    import torch

    held = sum(_held().values())
    trainer = FakeTrainer(
        steps=BATCHES,
        accumulation=ACCUMULATION,
        eval_every=EVAL_EVERY,
        eval_s=EVAL_S,
        ref_model=_model(),
        sleep=clock.sleep,
        allocator=FakeAllocator(device="a", allocated=held, peak=held, reserved=held, block=BLOCK),
        queue=FakeQueue(clock),
        world_size=WORLD,
    )
    trainer.model = _model()
    trained = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    trainer.optimizer = torch.optim.AdamW(trained)
    for weight in trained:
        weight.grad = torch.zeros_like(weight)
    trainer.optimizer.step()
    return trainer


def _weights() -> list[int]:
    """Elements of each trained tensor, by the architecture."""
    half = HIDDEN // 2
    layer = [HIDDEN * HIDDEN, HIDDEN, HIDDEN * half, half, HIDDEN * half, half, HIDDEN * HIDDEN]  # Q, K, V with biases
    layer += [HIDDEN * INNER] * 3 + [HIDDEN] * 2
    return [VOCABULARY * HIDDEN, *layer * LAYERS, HIDDEN, VOCABULARY * HIDDEN]


def _held() -> dict[str, int]:
    """Bytes that stay: AdamW keeps two moments of each weight and counts the steps of each tensor."""
    trained = 4 * sum(_weights())
    rotary = 2 * 4 * (HIDDEN // 2 // 2)  # inverse frequencies of a head of half the width, and their copy
    return {
        "weights": trained + 4 * FROZEN,
        "gradients": trained,
        "optimizer": 2 * trained + 4 * len(_weights()),
        "reference": trained + 4 * FROZEN + rotary,
        "buffers": rotary,
    }


def _proc(folder: Path) -> Path:
    """A process's folder under /proc that shares 700 MiB of its resident size."""
    folder.mkdir()
    rss, private = 700 * MIB + USS, USS // 1024
    (folder / "smaps_rollup").write_text(f"Private_Clean: 0 kB\nPrivate_Dirty: {private} kB\n")
    (folder / "status").write_text(f"VmHWM:\t{(rss + SPIKE) // 1024} kB\nVmRSS:\t{rss // 1024} kB\n")
    return folder


def _train(folder: Path, clock: FakeClock) -> list[Event]:
    """What the worker itself records."""
    path = folder / "events.jsonl"
    trainer = _trainer(clock)
    with Recorder(path, clock=clock) as recorder:
        device = DeviceMemory(trainer.allocator, FakeNvml({"a": 0}))
        memory = Memory(recorder, host=HostMemory(_proc(folder / "proc")), device=device)
        probes: list[Probe] = [
            StepClock(recorder), DeviceTime(recorder, trainer.queue), TokenCounter(recorder), Compute(recorder),
            memory, Breakdown(recorder, trainer.allocator), Curves(recorder), Active(recorder),
        ]  # fmt: skip
        for probe in probes:
            recorder.on_phase_begin.append(probe.phase_begin)
            recorder.on_phase_end.append(probe.phase_end)
        for name, seconds in STARTUP.items():
            with recorder.phase(name):
                clock.sleep(seconds)
        attach(trainer, recorder, FakeMethod(reference=True), WARMUP, probes)
        with recorder.phase("train"):
            trainer.train()
    return list(read_events(path))


def _sample(folder: Path, times: Times) -> Path:
    """What the process beside it samples: ten times a second, and where a stretch begins or ends."""
    now = [0.0]
    lines = {name: [[0.0, first], [times.end, last]] for name, (first, last) in LINES.items()}
    nvml = ScriptedNvml.of({"devices": [{"uuid": "GPU-a", **lines}]}, clock=lambda: now[0])
    (gpu,) = nvml.gpus()
    sampler = Sampler(log=folder / "device.jsonl", hz=10.0, worker=1)
    sampler.begin([gpu], {"GPU-a": {"memory_before": LINES["memory"][0], "processes": []}}, origin=100.0)
    sampler.use(["GPU-a"])
    due = [(0.037 + tick / 10, False) for tick in range(int(times.end * 10))]
    for now[0], marked in sorted([*due, *((edge, True) for span in times.spans for edge in span)]):
        sampler.mark(now[0]) if marked else sampler.tick(now[0])
    now[0] = times.end
    sampler.end(now[0])
    return sampler.log


def _sum(of: Sequence[FakeStep], what: Callable[[FakeStep], float]) -> float:
    return sum(what(batch) for batch in of)


def _flops(positions: int, heads: int, pairs: int) -> float:
    """Of a forward with its backward and the reference's forward: eight FLOPs a weight and a position."""
    layer = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * (HIDDEN // 2) + 3 * HIDDEN * INNER
    return 8.0 * (layer * LAYERS * positions + HIDDEN * VOCABULARY * heads + 2 * HIDDEN * LAYERS * pairs)


def _percentiles(name: str, values: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {f"{name}_p{share}": cuts[share - 1] for share in (50, 90, 99)}


def _truth() -> dict[str, float]:
    times, held = Times(), _held()
    window, walls = times.window, times.walls
    real, padded = _sum(WINDOW, lambda batch: batch.real), _sum(WINDOW, lambda batch: batch.padded)
    asked = _sum(WINDOW, lambda batch: _flops(batch.real, batch.loss, batch.real**2))
    done = _sum(WINDOW, lambda batch: _flops(batch.padded, batch.padded, batch.padded**2))
    losses = [sum(batch.value for batch in step) / ACCUMULATION for step in STEPS]
    margins = [sum(batch.margin or 0.0 for batch in step) / ACCUMULATION for step in STEPS]
    highest = sum(held.values()) + 230 * MIB
    return {
        "tokens_per_second": real / window,
        "tokens_per_second_per_device": real / window / WORLD,
        "padded_tokens_per_second": padded / window,
        "samples_per_second": len(WINDOW) / window,
        "padding_share": 1 - real / padded,
        **_percentiles("step_seconds", walls[WARMUP:]),
        **_percentiles("device_step_seconds", [_sum(step, lambda batch: batch.device_s) for step in STEPS[WARMUP:]]),
        "data_share": _sum(WINDOW, lambda batch: batch.load_s) / window,
        "measured_steps": len(STEPS) - WARMUP,
        "real_tokens": real,
        "padded_tokens": padded,
        "loss_tokens": _sum(WINDOW, lambda batch: batch.loss),
        "reference_tokens": real,
        "train_seconds": sum(walls) + len(STEPS) // EVAL_EVERY * EVAL_S,
        "startup_seconds": times.start,
        **{f"{name}_seconds": seconds for name, seconds in STARTUP.items()},
        "first_step_seconds": walls[0],
        "trial_seconds": times.end,
        "peak_host_memory": USS + SPIKE,
        "peak_device_memory": LINES["memory"][1] - LINES["memory"][0],
        "peak_allocated": highest,
        "peak_reserved": -(-highest // BLOCK) * BLOCK,
        "weight_memory": held["weights"],
        "gradient_memory": held["gradients"],
        "optimizer_memory": held["optimizer"],
        "reference_memory": held["reference"],
        "activation_memory": (73 + 30) * MIB,
        "model_flops": asked,
        "hardware_flops": done,
        "model_flops_per_second": asked / window,
        "mfu": asked / window / PEAK / WORLD,
        "hfu": done / window / PEAK / WORLD,
        "energy": _over("power", times),
        "energy_per_token": _over("power", times) / real,
        "mean_power": _over("power", times) / window,
        "mean_device_utilization": _over("utilization", times) / window,
        "mean_sm_clock": _over("sm_clock", times) / window,
        "max_temperature": _at("temperature", times.spans[-1][1], times.end),
        "loss_spikes": 1,
        "max_grad_norm": max(batch[-1].norm for batch in STEPS[WARMUP:]),
        "final_loss": statistics.fmean(losses[-3:]),
        "final_eval_loss": 2.0,
        "first_reward_margin": statistics.fmean(margins[:3]),
        "final_reward_margin": statistics.fmean(margins[-3:]),
        "trainable_parameters": sum(_weights()),
        "total_parameters": sum(_weights()) + FROZEN,
    }


def test_every_public_metric_is_the_made_up_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    key = ceiling.cpu_key(torch.get_num_threads())
    measured = {"float32": {"flops_per_second": PEAK}}
    ceiling.keep({"schema": 1, "key": key, "gemm": measured, "measured_at": "2026-01-02"})
    truth = _truth()
    assert set(truth) == set(METRICS)  # a new metric needs its truth here
    own = _train(tmp_path, FakeClock())
    found = summarise(in_order(own, device_events([_sample(tmp_path, Times())])))
    assert set(found) == set(METRICS)
    wrong = {
        name: (found[name], value) for name, value in truth.items() if found[name] != pytest.approx(value, rel=0.01)
    }
    assert not wrong
