"""A trainer, an NVML and an allocator with known truth: what the probes must find is what these were told to do."""

from __future__ import annotations

from harness.measure.fakes.clock import FakeClock
from harness.measure.fakes.devices import FakeAllocator, FakeQueue
from harness.measure.fakes.nvml import FakeNvml, ScriptedNvml
from harness.measure.fakes.trainer import FakeMethod, FakeStep, FakeTrainer, fake_model

__all__ = [
    "FakeAllocator",
    "FakeClock",
    "FakeMethod",
    "FakeNvml",
    "FakeQueue",
    "FakeStep",
    "FakeTrainer",
    "ScriptedNvml",
    "fake_model",
]
