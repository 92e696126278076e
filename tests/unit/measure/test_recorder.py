"""The event log: buffered, ordered, and true about where an attempt broke."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.measure import Recorder
from harness.measure.phases import durations
from harness.records.events import last_phase, read_events


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_events_are_held_back_for_a_second_at_most(tmp_path: Path) -> None:
    clock, path = _Clock(), tmp_path / "events.jsonl"
    recorder = Recorder(path, clock=clock)
    recorder.add("log", step=1, values={})
    clock.now += 0.9
    recorder.add("log", step=2, values={})
    assert list(read_events(path)) == []
    clock.now += 0.1
    recorder.add("log", step=3, values={})
    assert [(event["step"], event["t"]) for event in read_events(path)] == [(1, 0.0), (2, 0.9), (3, 1.0)]
    recorder.add("log", step=4, values={})
    recorder.close()
    assert [event["step"] for event in read_events(path)] == [1, 2, 3, 4]


def test_events_may_be_completed_until_they_are_written(tmp_path: Path) -> None:
    with Recorder(tmp_path / "events.jsonl") as recorder:
        event = recorder.add("step", step=1)
        recorder.before_flush.append(lambda: event.update(real_tokens=7))
    (written,) = read_events(tmp_path / "events.jsonl")
    assert written["real_tokens"] == 7


def test_a_stop_while_events_are_completed_costs_none_of_them(tmp_path: Path) -> None:
    path, asked = tmp_path / "events.jsonl", [0, 0]

    def hang() -> None:
        asked[0] += 1
        raise KeyboardInterrupt  # a signal, as it comes to whoever waits for a device that hangs

    def wait() -> None:
        asked[1] += 1

    with Recorder(path) as recorder:
        recorder.begin("train")
        recorder.before_flush += [hang, wait]
        recorder.add("step", step=1)
        with pytest.raises(KeyboardInterrupt):
            recorder.flush()
        recorder.note("info", "on the way out")
    assert [event["kind"] for event in read_events(path)] == ["phase", "step", "note"]
    assert asked == [1, 0]  # nobody waits for that device once more


def test_a_phase_that_broke_stays_open_and_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    told: list[str] = []

    def attempt(recorder: Recorder) -> None:
        recorder.on_phase_end.append(told.append)
        with recorder.phase("model"):
            pass
        with recorder.phase("train"):
            with recorder.phase("eval"):
                pass
            raise KeyError("x")

    with Recorder(path) as recorder, pytest.raises(KeyError):
        attempt(recorder)
    events = list(read_events(path))
    assert last_phase(events) == "train"
    assert set(durations(events)) == {"model", "eval"}
    assert told == ["model", "eval", "train"]


def test_secrets_and_non_finite_numbers_are_written_safely(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Recorder(path, redact=lambda text: text.replace("hunter2hunter2", "[gone]")) as recorder:
        recorder.note("warning", "the key is hunter2hunter2")
        recorder.add("log", step=1, values={"loss": float("nan")})
    note, log = read_events(path)
    assert note["text"] == "the key is [gone]"
    assert log["values"]["loss"] == "NaN"


def test_a_count_that_fails_is_noted_and_the_log_goes_on(tmp_path: Path) -> None:
    def fails() -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    with Recorder(tmp_path / "events.jsonl") as recorder:
        recorder.before_flush.append(fails)
        recorder.begin("train")
        recorder.end("train")
    events = list(read_events(tmp_path / "events.jsonl"))
    assert [event["kind"] for event in events].count("phase") == 2
    notes = [event["text"] for event in events if event["kind"] == "note"]
    assert notes == ["figures are missing from here on: RuntimeError: CUDA error: unspecified launch failure"]


def test_an_event_is_held_until_all_who_owe_it_let_go(tmp_path: Path) -> None:
    with Recorder(tmp_path / "events.jsonl", clock=_Clock()) as recorder:
        event = recorder.add("step", step=1)
        recorder.hold(event)
        recorder.hold(event, "other")
        recorder.release(event)
        recorder.flush(whole=False)
        assert list(read_events(tmp_path / "events.jsonl")) == []
        recorder.release(event, "other")
        recorder.flush(whole=False)
        assert len(list(read_events(tmp_path / "events.jsonl"))) == 1
