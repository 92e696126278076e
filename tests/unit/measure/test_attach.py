"""Which probes are told what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.measure.attach import PROBES, STEPPING, Loop, listeners
from harness.measure.memory import Memory
from harness.measure.probe import Probe
from harness.measure.recorder import Recorder


class Waits(Probe):
    def waited(self, seconds: float) -> None:
        self.recorder.note("info", f"waited {seconds}")


class Heir(Waits):
    pass


@pytest.fixture
def recorder(tmp_path: Path) -> Any:
    with Recorder(tmp_path / "events.jsonl") as recorder:
        yield recorder


def test_only_probes_that_do_something_are_told_in_their_order(recorder: Recorder) -> None:
    silent, first, heir = Probe(recorder), Waits(recorder), Heir(recorder)
    assert listeners([first, silent, heir], "waited") == [first.waited, heir.waited]
    assert listeners([first, silent, heir], "batch_begin") == []


def test_a_method_that_one_probe_was_given_is_called(recorder: Recorder) -> None:
    probe: Any = Probe(recorder)
    probe.step_end = lambda event: None
    assert listeners([probe], "step_end") == [probe.step_end]


@pytest.mark.parametrize("name", STEPPING)
def test_what_is_told_within_a_step_has_a_listener(name: str, recorder: Recorder) -> None:
    made = [make(recorder) for make in PROBES.values()]
    told = [type(getattr(call, "__self__", None)) for call in listeners(made, name)]
    assert told, f"no probe listens to {name}: it need not be told"
    assert (Memory in told) == (name not in ("waited", "logged"))


def test_what_loading_left_running_on_the_device_is_no_steps(recorder: Recorder) -> None:
    """Without warm-up, at whose end the device is waited for, the first step is measured from where loading ends."""
    order: list[str] = []
    probe: Any = Probe(recorder)
    probe.train_begin = lambda: order.append("begins")
    Loop(recorder, [probe], 0, lambda: order.append("waits")).begin()
    assert order == ["waits", "begins"]


def test_the_device_is_waited_for_at_the_edges_of_the_window_alone(recorder: Recorder) -> None:
    """Where it begins, since warm-up's work is none of it, and after the last step: between, a wait would cost time."""
    steps: list[int] = []
    waited: list[int] = []
    loop = Loop(recorder, [], 2, lambda: waited.append(steps[-1]))
    for step in range(1, 7):
        steps.append(step)
        loop.step_end(step, last=step == 6)
    assert waited == [2, 6]
