"""Counts that lie on a device: nothing waits for them, and no event is written without them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.measure import Recorder
from harness.measure.fakes import FakeClock
from harness.measure.forwards import _send
from harness.measure.owed import Owed, Transfer
from harness.records.events import Event, read_events


@dataclass
class Device:
    """A device that computes nothing until told so; its tensors know their number."""

    done: bool = False
    waits: int = 0
    transfers: int = 0
    broken: bool = False
    device: Any = field(default_factory=lambda: SimpleNamespace(type="cuda"))

    def tensor(self, number: int) -> Any:
        return SimpleNamespace(device=self.device, number=number)

    def send(self, values: Sequence[Any]) -> Transfer:
        self.transfers += 1

        def read() -> list[int]:
            if self.broken:
                raise RuntimeError("CUDA error: unspecified launch failure")
            self.waits += 0 if self.done else 1
            return [value.number for value in values]

        return Transfer(ready=lambda: self.done, read=read)


@dataclass
class Log:
    """A recorder on a clock as told, and the counts it owes."""

    path: Path
    device: Device = field(default_factory=Device)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.recorder = Recorder(self.path, clock=self.clock)
        self.owed = Owed(self.recorder, self.device.send)

    def step(self, number: int, *, seconds: float = 1.0) -> None:
        self.clock.sleep(seconds)
        event: Event = {"kind": "step", "step": number}
        self.owed.add(event, {"real_tokens": self.device.tensor(10 * number), "padded_tokens": 7})
        self.recorder.add_event(event)

    def written(self) -> list[tuple[int, int | None]]:
        return [
            (event["step"], event.get("real_tokens")) for event in read_events(self.path) if event["kind"] == "step"
        ]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path / "events.jsonl")
    yield made
    made.recorder.close()


def test_a_busy_device_is_not_waited_for_and_its_steps_are_held_back(log: Log) -> None:
    for number in (1, 2, 3):
        log.step(number)
    assert (log.written(), log.device.waits) == ([], 0)
    log.device.done = True
    log.step(4)
    assert log.written() == [(1, 10), (2, 20), (3, 30), (4, 40)]
    assert log.device.waits == 0


def test_the_counts_of_many_steps_travel_together(log: Log) -> None:
    log.device.done = True
    for number in range(1, 101):
        log.step(number, seconds=0.01)
    log.recorder.close()
    assert log.written() == [(number, 10 * number) for number in range(1, 101)]
    assert log.device.transfers <= 3


def test_where_the_device_is_waited_for_anyway_everything_is_complete(log: Log) -> None:
    for number in (1, 2):
        log.step(number, seconds=0.1)
    log.owed.hurry()
    log.recorder.flush()
    assert log.written() == [(1, 10), (2, 20)]
    assert log.device.waits == 1
    log.step(3)
    assert log.device.waits == 1  # the hurry is over


def test_plain_numbers_are_there_at_once(log: Log) -> None:
    event: Event = {"kind": "step", "step": 1}
    log.owed.add(event, {"real_tokens": 5})
    log.recorder.add_event(event)
    log.clock.sleep(2.0)
    log.recorder.note("info", "later")
    assert log.written() == [(1, 5)]
    assert log.device.transfers == 0


def test_a_lost_device_leaves_counts_out_and_the_log_whole(log: Log) -> None:
    log.step(1)
    log.device.done = log.device.broken = True
    log.step(2)
    log.recorder.close()
    assert log.written() == [(1, None), (2, None)]
    notes = [event["text"] for event in read_events(log.path) if event["kind"] == "note"]
    assert len(notes) == 1
    assert "unspecified launch failure" in notes[0]


def test_of_a_forward_only_what_lies_on_the_device_is_sent_for() -> None:
    device = Device()
    tensors = [_Lying(device.device, 3), 7, _Lying(SimpleNamespace(type="cpu"), 9), _Lying(device.device, 4)]
    sent: list[_Lying] = []

    def copy(values: Sequence[Any]) -> Transfer:
        sent.extend(values)
        return Transfer(ready=lambda: device.done, read=lambda: [value.number for value in values])

    transfer = _send(tensors, copy)
    assert not transfer.ready()
    assert transfer.read() == [3, 7, 9, 4]
    assert [value.device.type for value in sent] == ["cuda", "cuda"]


@dataclass
class _Lying:
    """A tensor of one element that refuses to be read where it lies on a device."""

    device: Any
    number: int

    def numel(self) -> int:
        return 1

    def reshape(self, *shape: int) -> _Lying:
        assert self.device.type == "cpu"
        return self

    def tolist(self) -> list[int]:
        return [self.number]
