"""The probes against a trainer whose times, tokens and allocations are known."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from harness.measure import Diverged, Recorder, attach, start_probes, summarise
from harness.measure.fakes import FakeMethod, FakeStep, FakeTrainer, fake_model
from harness.records.events import Event, read_events

pytestmark = pytest.mark.slow  # torch

MIB = 2**20


def _observe(folder: Path, trainer: FakeTrainer, method: FakeMethod | None = None, warmup: int = 0) -> list[Event]:
    with Recorder(folder / "events.jsonl") as recorder:
        attach(trainer, recorder, method or FakeMethod(), warmup)
        with recorder.phase("train"):
            trainer.train()
    return list(read_events(folder / "events.jsonl"))


def _steps(events: list[Event]) -> list[Event]:
    return [event for event in events if event["kind"] == "step"]


def test_tokens_and_samples_of_accumulated_steps_add_up(tmp_path: Path) -> None:
    batches = [FakeStep(real=10 + i, padded=20 + i, loss=3 + i) for i in range(6)]
    steps = _steps(_observe(tmp_path, FakeTrainer(steps=batches, accumulation=3)))
    assert [step["real_tokens"] for step in steps] == [33, 42]
    assert [step["padded_tokens"] for step in steps] == [63, 72]
    assert [step["loss_tokens"] for step in steps] == [12, 21]
    assert [step["samples"] for step in steps] == [3, 3]
    assert [step["reference_tokens"] for step in steps] == [0, 0]


@pytest.mark.parametrize("own_model", [False, True])
def test_reference_forwards_are_kept_apart(own_model: bool, tmp_path: Path) -> None:
    batches = [FakeStep(real=7, padded=9, loss=2, reference=True)] * 2
    reference = fake_model() if own_model else None
    trainer = FakeTrainer(steps=batches, ref_model=reference)
    steps = _steps(_observe(tmp_path, trainer, FakeMethod(reference=True)))
    assert [(step["real_tokens"], step["reference_tokens"]) for step in steps] == [(7, 7), (7, 7)]


def test_a_metrics_only_forward_of_a_method_without_reference_is_not_counted(tmp_path: Path) -> None:
    trainer = FakeTrainer(steps=[FakeStep(real=7, padded=9, loss=2, reference=True)])
    (step,) = _steps(_observe(tmp_path, trainer))
    assert (step["real_tokens"], step["reference_tokens"]) == (7, 0)


def test_steps_hold_loading_and_training_but_not_evaluation(tmp_path: Path) -> None:
    batches = [FakeStep(real=5, padded=5, loss=5, load_s=0.02, train_s=0.03)] * 6
    events = _observe(tmp_path, FakeTrainer(steps=batches, eval_every=2, eval_s=0.4), warmup=2)
    steps = _steps(events)
    assert all(step["wall_s"] >= 0.05 and step["data_s"] >= 0.02 for step in steps)
    assert sorted(step["wall_s"] for step in steps)[3] < 0.2  # the middle one: a busy machine may hold up others
    assert [step["measured"] for step in steps] == [False, False, True, True, True, True]
    assert [step["real_tokens"] for step in steps] == [5] * 6  # evaluation forwards 1000 tokens each time
    summary = summarise(events)
    assert summary["measured_steps"] == 4
    assert 20 / 1.0 < summary["tokens_per_second"] <= 20 / 0.2  # with its evaluations the window lasts 1 s and more
    assert 0.2 < summary["data_share"] < 0.8
    assert summary["train_seconds"] >= 1.5  # evaluation is part of training's wall time
    assert [event["name"] for event in events if event["kind"] == "phase"].count("eval") == 6


def test_steps_of_a_window_add_up_to_its_wall_time(tmp_path: Path) -> None:
    """Nothing hides between steps: a slow logger shows in throughput."""
    batches = [FakeStep(real=5, padded=5, loss=5, train_s=0.01)] * 5
    events = _observe(tmp_path, FakeTrainer(steps=batches))
    steps = _steps(events)
    assert sum(step["wall_s"] for step in steps[1:]) == pytest.approx(steps[-1]["t"] - steps[0]["t"], abs=0.03)


def _ended(folder: Path, hold: int, spike: int) -> dict[str, dict[str, int]]:
    """What was sampled where phases ended: an idle one, one with a spike, a training that keeps what it takes."""
    gc.collect()
    path = folder / "events.jsonl"
    path.unlink(missing_ok=True)
    with Recorder(path) as recorder:
        probes = start_probes(recorder)
        trainer = FakeTrainer(steps=[FakeStep(real=1, padded=1, loss=1, hold=hold)])
        attach(trainer, recorder, FakeMethod(), 0, probes)
        with recorder.phase("model"):
            pass
        with recorder.phase("data"):
            taken = bytearray(b"\1") * spike
            del taken
        with recorder.phase("train"):
            trainer.train()
    events = list(read_events(path))
    found = {event["phase"]: event["values"] for event in events if event["kind"] == "memory" and "phase" in event}
    assert summarise(events)["peak_host_memory"] == max(values["host_uss_peak"] for values in found.values())
    return found


def test_memory_that_is_held_and_peaks_between_samples_are_found(tmp_path: Path) -> None:
    hold, spike = 256 * MIB, 384 * MIB
    _ended(tmp_path, MIB, MIB)  # what the first training imports is not what a training takes
    found = _ended(tmp_path, hold, spike)
    before = found["model"]["host_uss"]
    assert found["data"]["host_uss_peak"] - before == pytest.approx(spike, rel=0.01)
    assert found["data"]["host_uss"] - before < 0.01 * spike
    assert found["train"]["host_uss"] - before == pytest.approx(hold, rel=0.01)
    assert found["train"]["host_uss_peak"] - before == pytest.approx(hold, rel=0.01)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_training_at_its_step(value: float, tmp_path: Path) -> None:
    good, bad = FakeStep(real=1, padded=1, loss=1), FakeStep(real=1, padded=1, loss=1, value=value)
    with pytest.raises(Diverged, match="at step 3") as caught:
        _observe(tmp_path, FakeTrainer(steps=[good, good, bad, good]))
    assert caught.value.step == 3
    assert len(_steps(list(read_events(tmp_path / "events.jsonl")))) == 2


def test_what_is_active_is_read_from_the_trainer(tmp_path: Path) -> None:
    events = _observe(tmp_path, FakeTrainer(steps=[FakeStep(real=1, padded=1, loss=1)]))
    found, _in_training = [event["values"] for event in events if event["kind"] == "active"]
    assert (found["trainable_parameters"], found["total_parameters"]) == (6, 10)
    assert found["config"] == {"fake": True}
    assert summarise(events)["trainable_parameters"] == 6


class _Batch:
    """A padding-free batch of a forward call."""

    def __init__(self, ids: list[int], positions: list[int]) -> None:
        import torch

        self.kwargs: dict[str, Any] = {"input_ids": torch.tensor([ids]), "position_ids": torch.tensor([positions])}


@pytest.mark.parametrize(
    ("ids", "places", "real"),
    [
        ([5, 6, 7, 5, 6], [0, 1, 2, 0, 1], 5),  # two documents, no padding
        ([5, 6, 7, 9, 9], [0, 1, 2, 0, 0], 3),  # padded to a multiple
        ([5, 9, 9, 5, 6], [0, 0, 0, 0, 1], 5),  # pad tokens inside are somebody's documents
    ],
)
def test_real_positions_without_a_mask(ids: list[int], places: list[int], real: int) -> None:
    from harness.measure.tokens import Padding, positions

    found, total = positions((), _Batch(ids, places).kwargs, Padding(token=9, multiple=4))
    assert (int(found), total) == (real, 5)
