"""Token figures against made-up truth: any schedule of tokens, accumulation, padding and ranks, on a clock as told."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measure import Recorder, attach, summarise
from harness.measure.active import Active
from harness.measure.clock import StepClock
from harness.measure.fakes import FakeClock, FakeMethod, FakeStep, FakeTrainer, fake_model
from harness.measure.probe import Probe
from harness.measure.sanity import Sanity
from harness.measure.tokens import TokenCounter
from harness.records.events import Event
from harness.records.run_folder import Attempt

pytestmark = pytest.mark.slow  # torch


@st.composite
def batches(draw: st.DrawFn, *, reference: bool = False) -> FakeStep:
    """One micro-batch; it may be padding alone."""
    padded = draw(st.integers(1, 60))
    real = draw(st.integers(0, padded))
    return FakeStep(
        real=real,
        padded=padded,
        loss=draw(st.integers(0, real)),
        load_s=draw(st.integers(0, 900)) / 1000,
        train_s=draw(st.integers(1, 900)) / 1000,
        left=draw(st.booleans()),
        reference=reference,
    )


SCHEDULES = st.booleans().flatmap(lambda reference: st.lists(batches(reference=reference), min_size=1, max_size=14))


def observe(ranks: Sequence[Sequence[FakeStep]], accumulation: int, warmup: int, *, own_model: bool) -> list[Event]:
    """The events of one attempt trained by so many processes, each with its own batches and its own clock."""
    with tempfile.TemporaryDirectory() as folder:
        for rank, steps in enumerate(ranks):
            clock = FakeClock()
            reference = any(step.reference for step in steps)
            trainer = FakeTrainer(
                steps=steps,
                accumulation=accumulation,
                eval_every=2,
                eval_s=5.0,
                sleep=clock.sleep,
                world_size=len(ranks),
                ref_model=fake_model() if own_model and reference else None,
            )
            with Recorder(Attempt(Path(folder), 1, rank).events, clock=clock) as recorder:
                probes: list[Probe] = [Active(recorder), StepClock(recorder), TokenCounter(recorder)]
                probes.append(Sanity(recorder))
                attach(trainer, recorder, FakeMethod(reference=reference), warmup, probes)
                with recorder.phase("train"):
                    trainer.train()
        return Attempt(Path(folder), 1).all_events()


def in_steps(schedule: Sequence[FakeStep], accumulation: int) -> list[list[FakeStep]]:
    """The micro-batches of each optimizer step."""
    return [list(schedule[at : at + accumulation]) for at in range(0, len(schedule), accumulation)]


def seconds(batches: Sequence[FakeStep]) -> float:
    return sum(batch.load_s + batch.train_s for batch in batches)


@settings(deadline=None, max_examples=60)
@given(SCHEDULES, st.integers(1, 4), st.integers(0, 2), st.booleans())
def test_every_step_has_the_tokens_of_its_own_batches(
    schedule: list[FakeStep], accumulation: int, warmup: int, own_model: bool
) -> None:
    events = observe([schedule], accumulation, warmup, own_model=own_model)
    told = [event for event in events if event["kind"] == "step"]
    groups = in_steps(schedule, accumulation)
    assert len(told) == len(groups)
    for event, own in zip(told, groups, strict=True):
        assert event["real_tokens"] == sum(batch.real for batch in own)
        assert event["padded_tokens"] == sum(batch.padded for batch in own)
        assert event["loss_tokens"] == sum(batch.loss for batch in own)
        assert event["reference_tokens"] == sum(batch.real for batch in own if batch.reference)
        assert event["samples"] == len(own)


@settings(deadline=None, max_examples=60)
@given(SCHEDULES, st.integers(1, 4), st.integers(0, 2))
def test_every_figure_of_the_window_is_the_truth(schedule: list[FakeStep], accumulation: int, warmup: int) -> None:
    summary = summarise(observe([schedule], accumulation, warmup, own_model=True))
    groups = in_steps(schedule, accumulation)
    window = [batch for own in groups[warmup:] for batch in own]
    _check(summary, window, seconds(window), len(groups) - warmup)


@settings(deadline=None, max_examples=40)
@given(st.data(), st.integers(2, 3), st.integers(1, 3), st.integers(0, 2))
def test_processes_add_up_and_take_as_long_as_the_slowest(
    data: st.DataObject, size: int, accumulation: int, warmup: int
) -> None:
    length = data.draw(st.integers(1, 10))
    ranks = [data.draw(st.lists(batches(), min_size=length, max_size=length)) for _ in range(size)]
    summary = summarise(observe(ranks, accumulation, warmup, own_model=False))
    windows = [[batch for own in in_steps(rank, accumulation)[warmup:] for batch in own] for rank in ranks]
    together = [batch for window in windows for batch in window]
    _check(summary, together, max(map(seconds, windows)), len(in_steps(ranks[0], accumulation)) - warmup)
    if "tokens_per_second" in summary:
        assert summary["tokens_per_second_per_device"] == pytest.approx(summary["tokens_per_second"] / size)


def _check(summary: dict[str, float], window: list[FakeStep], took: float, steps: int) -> None:
    """Counts to the token, rates within a hundredth; what there was nothing of has no figure."""
    if steps <= 0:
        assert "measured_steps" not in summary
        assert "tokens_per_second" not in summary
        return
    assert summary["measured_steps"] == steps
    real, padded = sum(batch.real for batch in window), sum(batch.padded for batch in window)
    assert summary["samples_per_second"] == pytest.approx(len(window) / took, rel=0.01)
    if not real:
        assert "real_tokens" not in summary
        assert "tokens_per_second" not in summary
        return
    assert summary["real_tokens"] == real
    assert summary["padded_tokens"] == padded
    assert summary["loss_tokens"] == sum(batch.loss for batch in window)
    assert summary["reference_tokens"] == sum(batch.real for batch in window if batch.reference)
    assert summary["padding_share"] == pytest.approx(1 - real / padded, rel=0.01, abs=1e-9)
    assert summary["tokens_per_second"] == pytest.approx(real / took, rel=0.01)
    assert summary["padded_tokens_per_second"] == pytest.approx(padded / took, rel=0.01)


GOOD, EMPTY = FakeStep(real=4, padded=6, loss=2), FakeStep(real=0, padded=6, loss=0)
UNSEEN = FakeStep(real=4, padded=6, loss=2, seen=False)


def findings(events: Sequence[Event]) -> list[tuple[str, int]]:
    return [(event["name"], event["step"]) for event in events if event["kind"] == "finding"]


def test_a_step_of_padding_alone_is_found_and_counts_as_what_it_is() -> None:
    events = observe([[GOOD, EMPTY, GOOD, EMPTY]], 1, 0, own_model=False)
    assert findings(events) == [("step_without_tokens", 2), ("step_without_loss_tokens", 2)]
    assert summarise(events)["real_tokens"] == 8


def test_a_step_in_which_nothing_carries_loss_is_found() -> None:
    masked = FakeStep(real=4, padded=6, loss=0)
    assert findings(observe([[GOOD, GOOD, masked]], 1, 0, own_model=False)) == [("step_without_loss_tokens", 3)]
    assert findings(observe([[GOOD, GOOD, masked]], 3, 0, own_model=False)) == []


def test_a_step_whose_forward_was_not_seen_is_found_and_leaves_no_wrong_figure() -> None:
    """Zero would be wrong, and so would a sum without it; rates are those of the steps that are known."""
    slow = FakeStep(real=4, padded=6, loss=2, seen=False, train_s=10.0)
    events = observe([[FakeStep(real=4, padded=6, loss=2, train_s=1.0)] * 3 + [slow]], 1, 0, own_model=False)
    assert findings(events) == [("step_without_tokens", 4)]
    summary = summarise(events)
    assert not {"real_tokens", "padded_tokens", "padding_share"} & set(summary)
    assert summary["tokens_per_second"] == pytest.approx(4.0)


def test_a_training_in_which_no_forward_is_seen_says_so_once() -> None:
    events = observe([[UNSEEN] * 5], 1, 0, own_model=False)
    assert findings(events) == [("step_without_tokens", 1)]
    assert not {name for name in summarise(events) if "token" in name}


def test_a_reference_whose_forward_was_not_seen_is_not_zero() -> None:
    seen = FakeStep(real=4, padded=6, loss=2, reference=True)
    events = observe([[seen, GOOD]], 1, 0, own_model=True)
    summary = summarise(events)
    assert summary["real_tokens"] == 8
    assert "reference_tokens" not in summary
    assert findings(events) == [("step_without_tokens", 2)]


def test_a_training_that_begins_anew_counts_nothing_of_the_step_that_broke_off(tmp_path: Path) -> None:
    trainer = FakeTrainer(steps=[GOOD, GOOD])
    with Recorder(tmp_path / "events.jsonl") as recorder:
        counter = TokenCounter(recorder)
        attach(trainer, recorder, FakeMethod(), 0, [counter])
        counter.train_begin()
        counter.batch_begin({"labels": _labels(), "input_ids": None})
        trainer.train()
    steps = [event for event in Attempt(tmp_path, 1).all_events() if event["kind"] == "step"]
    assert [(step["loss_tokens"], step["samples"]) for step in steps] == [(2, 1), (2, 1)]


def _labels() -> object:
    import torch

    return torch.ones(1, 9)
