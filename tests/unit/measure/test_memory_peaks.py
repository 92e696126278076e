"""Where a device's memory peaks, and how much of it is for activations, against an allocator whose truth is known."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.measure import Recorder, attach, summarise
from harness.measure.clock import StepClock
from harness.measure.device import DeviceMemory
from harness.measure.facts import facts
from harness.measure.fakes import FakeAllocator, FakeClock, FakeMethod, FakeNvml, FakeStep, FakeTrainer
from harness.measure.memory import WATCH_SHARE, HostMemory, Memory
from harness.measure.probe import Probe
from harness.measure.timeline import EDGES, Edges, Pace
from harness.records.events import Event, read_events

pytestmark = pytest.mark.slow  # torch

MIB = 2**20
BYTES = st.integers(0, 1000).map(lambda count: count * MIB)


class _Attempt:
    """An attempt whose probes see a made-up device."""

    def __init__(self, folder: Path, allocator: FakeAllocator, clock: FakeClock) -> None:
        self.path = folder / "events.jsonl"
        self.clock = clock
        self.recorder = Recorder(self.path, clock=clock)
        device = DeviceMemory(allocator, FakeNvml({allocator.device: 5}))
        self.memory = Memory(self.recorder, host=HostMemory(folder / "none"), device=device)
        self.probes: list[Probe] = [StepClock(self.recorder), self.memory]
        self.recorder.on_phase_begin.append(self.memory.phase_begin)
        self.recorder.on_phase_end.append(self.memory.phase_end)

    def train(self, trainer: FakeTrainer, warmup: int) -> list[Event]:
        trainer.sleep = self.clock.sleep
        with self.recorder as recorder, recorder.phase("trial"):
            attach(trainer, recorder, FakeMethod(), warmup, self.probes)
            with recorder.phase("train"):
                trainer.train()
        return list(read_events(self.path))


def _train(trainer: FakeTrainer, warmup: int = 0) -> list[Event]:
    with tempfile.TemporaryDirectory() as folder:
        return _Attempt(Path(folder), trainer.allocator, FakeClock()).train(trainer, warmup)


def _batch(forward: int, backward: int, optimizer: int) -> FakeStep:
    return FakeStep(
        real=1, padded=1, loss=1, train_s=1.0, forward_b=forward, backward_b=backward, optimizer_b=optimizer
    )


BATCH = st.builds(_batch, BYTES, BYTES, BYTES)


def _device(rest: int) -> FakeAllocator:
    return FakeAllocator(device="a", allocated=rest, peak=rest, reserved=rest)


@settings(deadline=None, max_examples=60)
@given(st.lists(BATCH, min_size=1, max_size=10), st.integers(1, 3), st.integers(0, 4), st.integers(0, 2), BYTES, BYTES)
def test_peaks_have_the_place_they_fell_in(
    batches: list[FakeStep], accumulation: int, warmup: int, eval_every: int, eval_b: int, rest: int
) -> None:
    trainer = FakeTrainer(
        steps=batches,
        accumulation=accumulation,
        allocator=_device(rest + MIB),
        eval_every=eval_every,
        eval_b=eval_b,
    )
    events = _train(trainer, warmup)
    groups = [batches[at : at + accumulation] for at in range(0, len(batches), accumulation)]
    whole = len(groups)

    def peaks(of: Sequence[Sequence[FakeStep]]) -> dict[str, int]:
        return {
            "forward": max((b.forward_b for group in of for b in group), default=0),
            "backward": max((b.forward_b + b.backward_b for group in of for b in group), default=0),
            "optimizer": max((group[-1].optimizer_b for group in of), default=0),
        }

    places = peaks(groups) | ({"eval": eval_b} if eval_every and whole >= eval_every else {})
    highest = max(places.values())
    summary = summarise(events)
    assert summary["peak_allocated"] == pytest.approx(rest + MIB + highest, rel=0.01)
    assert summary["peak_reserved"] >= summary["peak_allocated"]
    place = facts(events)["peak_phase"]
    if highest and whole:
        assert places.get(place) == highest
    windows = [event["values"].get("window_allocated_peak") for event in events if event["kind"] == "memory"]
    measured = groups[warmup:]
    if measured:
        told = max(value for value in windows if value is not None)
        assert told == pytest.approx(rest + MIB + max(peaks(measured).values()), rel=0.01)


def _held(**values: int) -> list[Event]:
    """A breakdown and a window's peak."""
    kinds = {"weights": 100, "gradients": 100, "optimizer": 200, "buffers": 1, "reference": 50, "elsewhere": 30}
    return [
        {"t": 1.0, "kind": "breakdown", "device": "cuda", "values": {**kinds, **values}},
        {
            "t": 2.0,
            "kind": "memory",
            "step": 9,
            "values": {"window_allocated_peak": 1000, "device_allocated_peak": 1500},
        },
    ]


def test_activations_are_what_is_left_of_the_windows_peak() -> None:
    summary = summarise(_held())
    assert summary["activation_memory"] == 1000 - (100 + 100 + 200 + 1 + 50 - 30)
    assert (summary["weight_memory"], summary["gradient_memory"], summary["optimizer_memory"]) == (100, 100, 200)
    assert (summary["reference_memory"], summary["peak_allocated"]) == (50, 1500)
    assert "activation_memory" not in summarise(_held(weights=5000))  # cannot be: no figure rather than a wrong one


def test_a_breakdown_with_a_part_unknown_gives_no_activations() -> None:
    breakdown, memory = _held()
    del breakdown["values"]["gradients"]
    summary = summarise([breakdown, memory])
    assert not {"activation_memory", "gradient_memory"} & set(summary)
    assert summary["weight_memory"] == 100


def test_the_last_breakdown_counts() -> None:
    first, memory = _held(optimizer=0)
    second, _ = _held()
    assert summarise([first, second, memory])["optimizer_memory"] == 200


def test_a_worker_that_loaded_the_libraries_itself_is_told() -> None:
    _, memory = _held()
    assert facts([{"kind": "process", "own_libraries": True}, memory])["own_libraries"] is True
    assert "own_libraries" not in facts([memory])


def test_an_evaluations_peak_is_not_the_trainings(tmp_path: Path) -> None:
    trainer = FakeTrainer(steps=[_batch(10 * MIB, 0, 0)] * 4, allocator=_device(MIB), eval_every=2, eval_b=500 * MIB)
    events = _Attempt(tmp_path, trainer.allocator, FakeClock()).train(trainer, 1)
    assert facts(events)["peak_phase"] == "eval"
    windows = [event["values"].get("window_allocated_peak") for event in events if event["kind"] == "memory"]
    assert max(value for value in windows if value is not None) == 11 * MIB


def test_following_a_steps_parts_is_given_up_where_it_would_cost_too_much(tmp_path: Path) -> None:
    clock = FakeClock()
    allocator = _device(MIB)
    allocator.on_read = lambda: clock.sleep(0.01)  # a read takes as long as a step
    quick = [FakeStep(real=1, padded=1, loss=1, train_s=0.01, forward_b=MIB, backward_b=9 * MIB)] * 400
    events = _Attempt(tmp_path, allocator, clock).train(FakeTrainer(steps=quick, allocator=allocator), 0)
    trained = 400 * 0.01
    assert allocator.reads * 0.01 < 4 * 0.01 + 5 * 0.01 + WATCH_SHARE * trained + 10 * 0.01
    assert facts(events)["peak_phase"] == "backward"
    assert summarise(events)["peak_allocated"] == 11 * MIB


def test_a_peak_in_a_step_that_was_not_followed_is_not_lost(tmp_path: Path) -> None:
    clock = FakeClock()
    allocator = _device(MIB)
    allocator.on_read = lambda: clock.sleep(0.01)
    quick = [FakeStep(real=1, padded=1, loss=1, train_s=0.001, backward_b=9 * MIB)] * 50
    quick[30] = FakeStep(real=1, padded=1, loss=1, train_s=0.001, backward_b=70 * MIB)
    events = _Attempt(tmp_path, allocator, clock).train(FakeTrainer(steps=quick, allocator=allocator), 0)
    assert summarise(events)["peak_allocated"] == 71 * MIB
    assert facts(events)["peak_phase"] == "backward"


def test_without_a_device_no_part_of_a_step_is_read(tmp_path: Path) -> None:
    allocator = FakeAllocator(device="a", up=False)
    trainer = FakeTrainer(steps=[_batch(1, 1, 1)] * 3, allocator=allocator)
    events = _Attempt(tmp_path, allocator, FakeClock()).train(trainer, 1)
    assert allocator.reads == 0
    assert facts(events).get("peak_phase") is None
    assert "activation_memory" not in summarise(events)


def test_a_device_that_vanishes_ends_its_figures_and_not_the_training(tmp_path: Path) -> None:
    allocator = _device(7 * MIB)
    trainer = FakeTrainer(steps=[_batch(MIB, MIB, MIB)] * 6, allocator=allocator)
    attempt = _Attempt(tmp_path, allocator, FakeClock())

    def vanish() -> None:
        allocator.broken = allocator.reads > 8

    allocator.on_read = vanish
    events = attempt.train(trainer, 1)
    assert len([event for event in events if event["kind"] == "step"]) == 6
    lost = [e["text"] for e in events if e["kind"] == "note" and "no longer measured" in e["text"]]
    assert lost == ["memory of the device is no longer measured: RuntimeError: CUDA error: unspecified launch failure"]


def test_the_hosts_peak_has_its_phase() -> None:
    def memory(value: int, phase: str) -> Event:
        return {"t": 1.0, "kind": "memory", "step": 0, "phase": phase, "values": {"host_uss_peak": value}}

    found = facts([memory(5, "model"), memory(9, "train"), memory(7, "save")])
    assert found == {"peak_phase": "train", "peak_phases": {"peak_host_memory": "train"}}


# The timeline


def test_a_timeline_stays_small_however_long_the_trial() -> None:
    pace = Pace(2.0)
    samples, elapsed, day = 0, 0.0, 24 * 3600.0
    while elapsed < 30 * day:
        gap = pace.take()
        assert gap == 2.0 or gap <= 0.01 * elapsed
        elapsed += gap
        samples += 1
        if elapsed <= day:
            of_a_day = samples
    assert of_a_day == pytest.approx(1200, rel=0.01)
    assert samples == pytest.approx(1800, rel=0.02)


def test_the_gap_doubles_after_256_samples_and_after_every_128_more() -> None:
    pace = Pace(2.0)
    gaps = [pace.take() for _ in range(256 + 128 + 128)]
    assert [gaps.count(gap) for gap in (2.0, 4.0, 8.0, 16.0)] == [255, 128, 128, 1]


def test_edges_that_tell_nothing_new_are_kept_32_times() -> None:
    edges = Edges()
    kept = [edges.says({"host_uss_peak": 5}) for _ in range(40)]
    assert kept == [True] * 32 + [False] * 8
    assert edges.says({"host_uss_peak": 6})


def _memory_events(attempt: _Attempt) -> list[dict[str, Any]]:
    return [event["values"] for event in read_events(attempt.path) if event["kind"] == "memory"]


@settings(deadline=None, max_examples=20)
@example([MIB] * 76 + [900 * MIB] + [MIB] * 20)
@given(st.lists(BYTES, min_size=1, max_size=300))
def test_no_peak_is_lost_between_samples_or_among_many_evaluations(peaks: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        allocator = _device(MIB)
        attempt = _Attempt(Path(folder), allocator, FakeClock())
        with attempt.recorder as recorder, recorder.phase("train"):
            attempt.memory.train_begin()
            for number, peak in enumerate(peaks, start=1):
                allocator.take(peak)
                allocator.give(peak)
                attempt.clock.sleep(0.3)
                attempt.memory.step_end({"step": number, "measured": True})
                with recorder.phase("eval"):
                    attempt.clock.sleep(0.3)
        found = _memory_events(attempt)
    assert max(values["device_allocated_peak"] for values in found) == MIB + max(peaks)
    assert len(found) <= 2 * EDGES + 40 + len(peaks) * 0.3


def test_device_memory_is_still_less_what_was_there_before(tmp_path: Path) -> None:
    nvml = FakeNvml({"a": 100})
    device = DeviceMemory(_device(MIB), nvml)
    device.find()
    nvml.now["a"] = 350
    assert device.sample()["device_used"] == 250
