"""Times against a clock that goes as told: every figure is known beforehand, and nothing sleeps."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measure import Recorder, attach, owed, start_probes, summarise
from harness.measure.clock import StepClock
from harness.measure.device_time import DeviceTime
from harness.measure.facts import facts
from harness.measure.fakes import FakeClock, FakeMethod, FakeQueue, FakeStep, FakeTrainer, fake_model
from harness.measure.owed import Transfer
from harness.measure.probe import Probe
from harness.measure.sanity import Sanity
from harness.measure.tokens import TokenCounter
from harness.records.events import Event, read_events

pytestmark = pytest.mark.slow  # torch

SECONDS = st.floats(0.0, 3.0, allow_nan=False).map(lambda value: round(value, 3))
BATCH = st.builds(
    lambda real, extra, load, train, device: FakeStep(
        real=real, padded=real + extra, loss=real, load_s=load, train_s=train, device_s=device
    ),
    st.integers(1, 200),
    st.integers(0, 50),
    SECONDS,
    SECONDS.map(lambda value: value + 0.001),
    SECONDS,
)


def _observe(
    trainer: FakeTrainer,
    clock: FakeClock,
    *,
    warmup: int = 0,
    queue: FakeQueue | None = None,
    method: FakeMethod | None = None,
) -> list[Event]:
    trainer.sleep = clock.sleep
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        with Recorder(path, clock=clock) as recorder:
            marks, wait = (queue, queue.wait) if queue else (FakeQueue(clock, up=False), lambda: None)
            probes: list[Probe] = [StepClock(recorder), DeviceTime(recorder, marks), TokenCounter(recorder)]
            attach(trainer, recorder, method or FakeMethod(), warmup, [*probes, Sanity(recorder)], wait)
            with recorder.phase("train"):
                trainer.train()
        return list(read_events(path))


def _steps(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event["kind"] == "step"]


def _findings(events: Sequence[Event]) -> list[str]:
    return [event["name"] for event in events if event["kind"] == "finding"]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(BATCH, min_size=2, max_size=12),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(0, 2),
    SECONDS,
)
def test_any_schedule_is_told_as_it_was(
    batches: list[FakeStep], accumulation: int, warmup: int, eval_every: int, eval_s: float
) -> None:
    clock = FakeClock()
    trainer = FakeTrainer(steps=batches, accumulation=accumulation, eval_every=eval_every, eval_s=eval_s)
    events = _observe(trainer, clock, warmup=warmup)
    groups = [batches[at : at + accumulation] for at in range(0, len(batches), accumulation)]
    whole = len(groups)
    walls = [sum(batch.load_s + batch.train_s for batch in group) for group in groups]
    assert [step["wall_s"] for step in _steps(events)] == pytest.approx(walls, abs=1e-5)
    assert [step["data_s"] for step in _steps(events)] == pytest.approx(
        [sum(batch.load_s for batch in group) for group in groups], abs=1e-5
    )
    summary = summarise(events)
    window, seconds = groups[warmup:], sum(walls[warmup:])
    if not window:
        assert "tokens_per_second" not in summary
        return
    real = sum(batch.real for group in window for batch in group)
    assert summary["real_tokens"] == real
    assert summary["tokens_per_second"] == pytest.approx(real / seconds, rel=0.01)
    assert summary["tokens_per_second_per_device"] == summary["tokens_per_second"]
    assert summary["samples_per_second"] == pytest.approx(sum(map(len, window)) / seconds, rel=0.01)
    assert summary["data_share"] == pytest.approx(
        sum(batch.load_s for group in window for batch in group) / seconds, rel=0.01, abs=1e-4
    )
    p50, p90, p99 = (summary[f"step_seconds_{name}"] for name in ("p50", "p90", "p99"))
    assert min(walls[warmup:]) - 1e-5 <= p50 <= p90 <= p99 <= max(walls[warmup:]) + 1e-5
    assert summary["first_step_seconds"] == pytest.approx(walls[0], rel=0.01, abs=1e-5)
    evaluations = whole // eval_every if eval_every else 0
    assert summary["train_seconds"] == pytest.approx(sum(walls) + evaluations * eval_s, rel=0.01)
    assert _findings(events) == []


def test_evaluation_is_no_part_of_any_step(tmp_path: Path) -> None:
    clock = FakeClock()
    batches = [FakeStep(real=10, padded=10, loss=10, train_s=1.0)] * 4
    events = _observe(FakeTrainer(steps=batches, eval_every=1, eval_s=50.0), clock)
    assert [step["wall_s"] for step in _steps(events)] == [1.0] * 4
    assert summarise(events)["tokens_per_second"] == pytest.approx(10.0)


@settings(deadline=None, max_examples=40)
@given(st.lists(BATCH, min_size=1, max_size=10), st.integers(1, 3), st.integers(0, 3))
def test_device_time_is_what_the_device_worked(batches: list[FakeStep], accumulation: int, eval_every: int) -> None:
    """With a host that launches at once, a step's device time is its work, however far behind the device is."""
    quick = [FakeStep(real=1, padded=1, loss=1, load_s=b.load_s, device_s=b.device_s) for b in batches]
    clock = FakeClock()
    queue = FakeQueue(clock)
    trainer = FakeTrainer(steps=quick, accumulation=accumulation, eval_every=eval_every, eval_s=0.5, queue=queue)
    events = _observe(trainer, clock, queue=queue)
    groups = [quick[at : at + accumulation] for at in range(0, len(quick), accumulation)]
    worked = [sum(batch.device_s for batch in group) for group in groups]
    found = {step["step"]: step["device_s"] for step in _steps(events) if "device_s" in step}
    for number, seconds in found.items():
        assert seconds == pytest.approx(worked[number - 1], abs=1e-5)
    if worked:
        assert len(worked) in found  # the last one is waited for, as the real loop does
    if sum(worked) < 9:  # held back no longer than ten seconds: then every step has its time
        assert len(found) == len(worked)


def test_what_the_device_has_still_to_do_is_no_waiting_for_data() -> None:
    clock = FakeClock()
    queue = FakeQueue(clock)
    batches = [FakeStep(real=1, padded=1, loss=1, load_s=0.25, device_s=4.0)] * 4
    events = _observe(FakeTrainer(steps=batches, queue=queue, copy_waits=True), clock, queue=queue)
    assert [step["data_s"] for step in _steps(events)] == pytest.approx([0.25] * 4)
    assert sum(step["wall_s"] for step in _steps(events)) == pytest.approx(4 * 4.25)  # and nothing takes longer for it
    assert summarise(events)["data_share"] == pytest.approx(0.25 / 4.25)


def test_accelerate_says_whether_its_copies_wait() -> None:
    from accelerate import Accelerator, DataLoaderConfiguration

    assert Accelerator(cpu=True).non_blocking is False
    assert Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(non_blocking=True)).non_blocking is True


def test_a_step_waits_for_its_device_time_and_is_written_after_ten_seconds(tmp_path: Path) -> None:
    clock = FakeClock()
    queue = FakeQueue(clock)
    with Recorder(tmp_path / "events.jsonl", clock=clock) as recorder:
        probe = DeviceTime(recorder, queue)
        probe.train_begin()
        for number in (1, 2):
            probe.batch_begin({})
            queue.launch(8.0)
            event: Event = {"kind": "step", "step": number}
            probe.step_end(event)
            recorder.add_event(event)
        clock.sleep(5.0)
        recorder.add("note", level="info", text="x")
        assert list(read_events(tmp_path / "events.jsonl")) == []
        clock.sleep(4.0)
        recorder.add("note", level="info", text="y")
        (first,) = read_events(tmp_path / "events.jsonl")
        assert first["device_s"] == 8.0
        clock.sleep(1.1)
        recorder.add("note", level="info", text="z")
        second = list(read_events(tmp_path / "events.jsonl"))[1]
        assert "device_s" not in second


def test_a_step_whose_device_time_cannot_be_read_is_written_without_waiting_for_it(tmp_path: Path) -> None:
    clock = FakeClock()
    queue = FakeQueue(clock)
    with Recorder(tmp_path / "events.jsonl", clock=clock) as recorder:
        probe = DeviceTime(recorder, queue)
        probe.train_begin()
        probe.batch_begin({})
        event: Event = {"kind": "step", "step": 1}
        probe.step_end(event)
        recorder.add_event(event)
        queue.broken_marks = True
        clock.sleep(1.1)
        recorder.add("note", level="info", text="x")
        told = [event["kind"] for event in read_events(tmp_path / "events.jsonl")]
        assert told == ["step", "note", "note"]  # the second says that the device's time is not measured


def test_a_device_that_is_lost_leaves_its_time_absent_and_says_so_once() -> None:
    clock = FakeClock()
    queue = FakeQueue(clock)
    batches = [FakeStep(real=1, padded=1, loss=1, train_s=2.0, device_s=1.0)] * 4
    trainer = FakeTrainer(steps=batches, queue=queue)
    queue.broken = True
    events = _observe(trainer, clock, queue=queue)
    assert len(_steps(events)) == 4
    assert all("device_s" not in step for step in _steps(events))
    notes = [event["text"] for event in events if event["kind"] == "note"]
    assert len(notes) == 1
    assert "device's time is not measured" in notes[0]
    summary = summarise(events)
    assert "device_step_seconds_p50" not in summary
    assert summary["tokens_per_second"] == pytest.approx(0.5)


def test_without_a_device_there_is_no_device_time_and_no_complaint() -> None:
    events = _observe(FakeTrainer(steps=[FakeStep(real=1, padded=1, loss=1, train_s=1.0)]), FakeClock())
    assert all("device_s" not in step for step in _steps(events))
    assert [event for event in events if event["kind"] == "note"] == []


# A clock that goes back


@settings(deadline=None, max_examples=40)
@given(st.integers(3, 10), st.data())
def test_a_clock_that_goes_back_spoils_its_own_step_alone(count: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(1, count))
    back = data.draw(st.floats(2.5, 1e6))
    steps = [FakeStep(real=10, padded=10, loss=10, train_s=2.0)] * count
    steps[at - 1] = FakeStep(real=10, padded=10, loss=10, load_s=-back, train_s=2.0)
    events = _observe(FakeTrainer(steps=steps), FakeClock())
    assert [step.get("wall_s") for step in _steps(events)] == [None if n == at else 2.0 for n in range(1, count + 1)]
    assert _findings(events) == ["clock_stepped_back"]
    summary = summarise(events)
    assert summary["tokens_per_second"] == pytest.approx(5.0)
    assert summary["step_seconds_p99"] == pytest.approx(2.0)
    assert summary["data_share"] == 0.0
    assert summary["measured_steps"] == count
    assert not {"train_seconds", "trial_seconds"} & set(summary)
    assert ("first_step_seconds" in summary) == (at > 1)
    assert all(later["t"] >= earlier["t"] for earlier, later in pairwise(events))


def test_a_clock_that_goes_back_in_an_evaluation_spoils_the_step_after_it() -> None:
    clock = FakeClock()
    steps = [FakeStep(real=10, padded=10, loss=10, train_s=2.0)] * 4
    events = _observe(FakeTrainer(steps=steps, eval_every=2, eval_s=-100.0), clock)
    assert [step.get("wall_s") for step in _steps(events)] == [2.0, 2.0, None, 2.0]
    assert summarise(events)["tokens_per_second"] == pytest.approx(5.0)


def test_before_training_it_takes_the_start_up_with_it(tmp_path: Path) -> None:
    clock = FakeClock()
    with Recorder(tmp_path / "events.jsonl", clock=clock) as recorder:
        for name, seconds in (("import", 2.0), ("model", -30.0), ("data", 3.0)):
            with recorder.phase(name):
                clock.sleep(seconds)
    summary = summarise(read_events(tmp_path / "events.jsonl"))
    assert summary == {"import_seconds": 2.0, "data_seconds": 3.0}


# Start-up


def test_start_up_is_told_by_its_phases(tmp_path: Path) -> None:
    clock = FakeClock()
    trainer = FakeTrainer(steps=[FakeStep(real=1, padded=1, loss=1, train_s=7.0)] * 2, sleep=clock.sleep)
    with Recorder(tmp_path / "events.jsonl", clock=clock) as recorder:
        probes = start_probes(recorder)
        for name, seconds in (("import", 2.0), ("model", 3.0), ("data", 4.0)):
            with recorder.phase(name):
                clock.sleep(seconds)
        with recorder.phase("trainer"):
            clock.sleep(5.0)
            attach(trainer, recorder, FakeMethod(), 1, probes)
        with recorder.phase("train"):
            trainer.train()
    summary = summarise(read_events(tmp_path / "events.jsonl"))
    names = ("import", "model", "data", "trainer", "first_step", "startup", "train", "trial")
    assert [summary[f"{name}_seconds"] for name in names] == pytest.approx([2, 3, 4, 5, 7, 14, 14, 28], rel=0.01)


def test_an_evaluation_before_the_first_step_is_no_part_of_the_start_up() -> None:
    """As with `eval_on_start`."""
    events: list[Event] = [
        {"kind": "phase", "name": "train", "edge": "start", "t": 10.0},
        {"kind": "phase", "name": "eval", "edge": "start", "t": 11.0},
        {"kind": "phase", "name": "eval", "edge": "end", "t": 61.0},
        {"kind": "step", "step": 1, "measured": False, "wall_s": 3.0, "t": 63.0},
        {"kind": "phase", "name": "eval", "edge": "start", "t": 63.0},
        {"kind": "phase", "name": "eval", "edge": "end", "t": 113.0},
        {"kind": "phase", "name": "train", "edge": "end", "t": 113.0},
    ]
    assert summarise(events)["startup_seconds"] == pytest.approx(10.0)


# Steps without tokens


def test_a_step_without_tokens_is_said_once_and_its_time_counts() -> None:
    none = FakeStep(real=0, padded=4, loss=0, train_s=1.0)
    some = FakeStep(real=30, padded=40, loss=10, train_s=1.0)
    events = _observe(FakeTrainer(steps=[some, none, none, some]), FakeClock())
    found = [(event["name"], event["step"]) for event in events if event["kind"] == "finding"]
    assert found.count(("step_without_tokens", 2)) == 1
    assert [name for name, _ in found].count("step_without_tokens") == 1
    assert summarise(events)["tokens_per_second"] == pytest.approx(15.0)


def test_without_any_token_there_is_no_throughput() -> None:
    none = FakeStep(real=0, padded=4, loss=0, train_s=1.0)
    events = _observe(FakeTrainer(steps=[none] * 3), FakeClock())
    summary = summarise(events)
    assert _findings(events).count("step_without_tokens") == 1
    assert not {"padding_share", "real_tokens"} & set(summary)
    assert not [name for name in summary if "tokens_per_second" in name]
    assert summary["samples_per_second"] == pytest.approx(1.0)


def test_a_step_of_which_a_micro_batch_passed_the_model_by_has_no_count() -> None:
    seen = FakeStep(real=30, padded=40, loss=10, train_s=1.0)
    unseen = FakeStep(real=30, padded=40, loss=10, train_s=1.0, seen=False)
    events = _observe(FakeTrainer(steps=[seen, seen, seen, unseen], accumulation=2), FakeClock())
    assert [step.get("real_tokens") for step in _steps(events)] == [60, None]
    assert [event["step"] for event in events if event["kind"] == "finding"] == [2]
    summary = summarise(events)
    assert summary["tokens_per_second"] == pytest.approx(30.0)
    assert "real_tokens" not in summary


def test_a_step_of_which_a_micro_batch_passed_the_reference_by_has_no_count_of_it() -> None:
    told = FakeStep(real=30, padded=40, loss=10, train_s=1.0, reference=True)
    untold = FakeStep(real=30, padded=40, loss=10, train_s=1.0)
    trainer = FakeTrainer(steps=[told, told, told, untold], accumulation=2, ref_model=fake_model())
    events = _observe(trainer, FakeClock(), method=FakeMethod(reference=True))
    assert [step.get("reference_tokens") for step in _steps(events)] == [60, None]
    assert [event["step"] for event in events if event["kind"] == "finding"] == [2]


def test_steps_whose_tokens_were_never_read_are_no_part_of_the_speed() -> None:
    whole = {"real_tokens": 10, "padded_tokens": 20, "loss_tokens": 5, "reference_tokens": 0, "samples": 1}
    events: list[Event] = [
        {"t": 1.0, "kind": "step", "step": 1, "measured": True, "wall_s": 1.0, "data_s": 0.0, **whole},
        {"t": 4.0, "kind": "step", "step": 2, "measured": True, "wall_s": 3.0, "data_s": 0.0, "samples": 1},
    ]
    summary = summarise(events)
    assert summary["tokens_per_second"] == pytest.approx(10.0)
    assert "real_tokens" not in summary  # the sum would lack a step
    assert summary["samples_per_second"] == pytest.approx(0.5)


@pytest.mark.parametrize(("warmup", "said"), [(2, []), (3, [3]), (7, [3]), (0, [])])
def test_a_training_that_ends_within_its_warm_up_says_that_nothing_was_measured(warmup: int, said: list[int]) -> None:
    some = FakeStep(real=30, padded=40, loss=10, train_s=1.0)
    events = _observe(FakeTrainer(steps=[some] * 3), FakeClock(), warmup=warmup)
    assert [event["text"] for event in events if event["kind"] == "note"] == [
        f"no step was measured: training ended with step {step}, within its warm-up" for step in said
    ]
    assert ("tokens_per_second" in summarise(events)) == (not said)


@pytest.mark.parametrize(("every", "said"), [(1, 0), (3, 0), (4, 1)])
def test_a_training_that_ends_before_its_first_log_says_so(every: int, said: int) -> None:
    some = FakeStep(real=30, padded=40, loss=10, train_s=1.0)
    events = _observe(FakeTrainer(steps=[some] * 3, log_every=every), FakeClock(), warmup=0)
    notes = [event["text"] for event in events if event["kind"] == "note"]
    assert len(notes) == said
    assert all(text.startswith("no loss was logged: training ended with step 3,") for text in notes)


def test_steps_whose_samples_were_never_read_are_no_part_of_their_speed() -> None:
    """Padding-free samples are counted on the device, and may be lost with it."""
    events: list[Event] = [
        {"t": 1.0, "kind": "step", "step": 1, "measured": True, "wall_s": 1.0, "data_s": 0.0, "samples": 4},
        {"t": 4.0, "kind": "step", "step": 2, "measured": True, "wall_s": 3.0, "data_s": 0.0},
    ]
    assert summarise(events)["samples_per_second"] == pytest.approx(4.0)
    assert "samples_per_second" not in summarise([{**events[0], "samples": 0}])  # no speed is a zero


def test_counts_that_lie_on_a_device_are_complete_where_it_is_waited_for_anyway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edge of a phase writes every step: before an evaluation, and at the end of training."""

    def send(values: Sequence[torch.Tensor]) -> Transfer:
        return Transfer(ready=lambda: False, read=lambda: [int(value) for value in values])

    monkeypatch.setattr(owed, "on_device", lambda value: isinstance(value, torch.Tensor))
    monkeypatch.setattr(owed, "send_from_device", send)
    clock = FakeClock()
    steps = [FakeStep(real=30, padded=40, loss=10, train_s=0.1)] * 5
    trainer = FakeTrainer(steps=steps, eval_every=2, eval_s=1.0, sleep=clock.sleep)
    with Recorder(tmp_path / "events.jsonl", clock=clock) as recorder:
        attach(trainer, recorder, FakeMethod(), 0, start_probes(recorder), lambda: None)
        with recorder.phase("train"):
            trainer.train()
    found = _steps(list(read_events(tmp_path / "events.jsonl")))
    assert [step.get("real_tokens") for step in found] == [30] * 5


@pytest.mark.parametrize("said", [{"world_size": 4}, {}])
def test_throughput_per_device_is_shared_by_all_that_trained(said: dict[str, int]) -> None:
    step = {"real_tokens": 80, "padded_tokens": 80, "samples": 1, "wall_s": 2.0, "data_s": 0.0}
    events: list[Event] = [
        {"t": 0.0, "kind": "active", "values": said},
        {"t": 2.0, "kind": "step", "step": 1, "measured": True, **step},
    ]
    summary = summarise(events)
    assert summary["tokens_per_second_per_device"] == pytest.approx(40.0 / said.get("world_size", 1))


def test_evaluations_within_an_evaluation_are_one_pause() -> None:
    """As transformers' trainer calls itself for each of several sets of rows."""

    class Several(FakeTrainer):
        within = False

        def evaluate(self) -> None:
            if self.within:
                super().evaluate()
                return
            self.within = True
            for _ in range(3):
                vars(self)["evaluate"]()
            self.within = False

    events = _observe(
        Several(steps=[FakeStep(real=1, padded=1, loss=1, train_s=1.0)] * 4, eval_every=2, eval_s=2.0), FakeClock()
    )
    assert [event["edge"] for event in events if event.get("name") == "eval"] == ["start", "end"] * 2
    assert [step["wall_s"] for step in _steps(events)] == [1.0] * 4


def test_the_largest_batch_is_that_of_the_most_positions() -> None:
    steps = [FakeStep(real=1, padded=padded, loss=1, train_s=1.0) for padded in (40, 90, 60)]
    assert facts(_observe(FakeTrainer(steps=steps), FakeClock()))["largest_batch"] == {"rows": 1, "length": 90}
    unseen = [FakeStep(real=1, padded=40, loss=1, train_s=1.0, seen=False)]
    assert "largest_batch" not in facts(_observe(FakeTrainer(steps=unseen), FakeClock()))
