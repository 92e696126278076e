"""What disturbs a measured window on the device, from scripts whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.measure.facts import disturbed, facts
from harness.measure.fakes import ScriptedNvml
from harness.measure.sampler import Sampler
from harness.measure.summarise import summarise
from harness.records.device_log import device_events, in_order
from harness.records.events import Event
from tests.unit.measure.scripted import GIB, sampled_log, trained_steps, trial_beside


@pytest.mark.parametrize("reason", ["hw_thermal", "sw_thermal", "hw_power_brake", "hw_slowdown"])
def test_throttling_by_heat_or_supply_disturbs(reason: str, tmp_path: Path) -> None:
    events = trial_beside(tmp_path, {"throttle": [[6, 8, reason]]})
    (said,) = disturbed(events)
    assert "throttled" in said
    assert f"{reason} 25%" in said
    assert facts(events)["throttle"][reason] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    "throttle",
    [
        [[0, 100, "sw_power_cap"]],  # a training at full power is always there
        [[0, 100, "applications_clocks"]],
        [[0, 100, "gpu_idle"]],
        [[0, 3.9, "hw_thermal"]],  # before the window
        [[12.1, 100, "hw_thermal"]],  # after it
        [[6.0, 6.1, "hw_slowdown"]],  # one sample, as when clocks change
    ],
)
def test_other_limits_and_other_times_do_not_disturb(throttle: list[Any], tmp_path: Path) -> None:
    assert disturbed(trial_beside(tmp_path, {"throttle": throttle})) == ()


def test_the_power_cap_is_a_fact(tmp_path: Path) -> None:
    assert facts(trial_beside(tmp_path, {"throttle": [[0, 100, "sw_power_cap"]]}))["throttle"] == {"sw_power_cap": 1.0}


@pytest.mark.parametrize(
    ("processes", "expected"),
    [
        ([[0, 100, 7, 3 * GIB]], ["another process was on the device in the measured window, holding 3 GiB"]),
        (
            [[5, 7, 8, GIB], [0, 100, 9, GIB]],
            ["another process was on the device in the measured window, holding 1 GiB"],
        ),
        ([[0, 100, 9, GIB]], []),  # the one that came: the worker's own
        ([[0, 100, 9, GIB], [0, 2, 7, GIB]], []),  # gone before the window
        (
            [[0, 100, 7, 0], [6, 8, 8, 0], [0, 100, 9, 0]],
            ["2 other processes were on the device in the measured window"],
        ),
    ],
)
def test_others_on_the_device_disturb(processes: list[Any], expected: list[str], tmp_path: Path) -> None:
    assert list(disturbed(trial_beside(tmp_path, {"processes": processes}))) == expected


@pytest.mark.parametrize(
    ("begin", "end", "told"),
    [
        (0, 3.6, False),  # it left between two readings of the list, before the window
        (11.8, 100, True),  # it came before the window's end, after the last reading
        (12.1, 100, False),
    ],
)
def test_who_is_on_the_device_is_read_anew_where_a_window_begins_and_ends(
    begin: float, end: float, told: bool, tmp_path: Path
) -> None:
    device = {"processes": [[0, 100, 9, GIB], [begin, end, 7, GIB]]}
    log = sampled_log(tmp_path, [device], 13, marks=[4.0, 12.0])
    steps = trained_steps(2.0, [1.0] * 10, warmup=2)
    assert bool(disturbed(in_order(steps, device_events([log])))) is told


def test_after_a_clock_went_back_others_count_whenever_they_were_there(tmp_path: Path) -> None:
    """And throttling does not: of which share of the window is not known."""
    hot = {"throttle": [[0, 100, "hw_thermal"]], "processes": [[0, 100, 9, GIB], [0, 2, 7, GIB]]}
    finding: Event = {"kind": "finding", "name": "clock_stepped_back", "step": None, "t": 4.0}
    told = disturbed(in_order([*trial_beside(tmp_path, hot), finding], []))
    assert told == ("another process was on the device during the trial, holding 1 GiB",)


def test_memory_that_nobody_owns_before_the_trial_disturbs(tmp_path: Path) -> None:
    (said,) = disturbed(trial_beside(tmp_path, {"memory": 5 * GIB}))
    assert said == "5 GiB of the device were in use beforehand, by nobody that NVML lists"
    assert disturbed(trial_beside(tmp_path, {"memory": GIB})) == ()


def test_memory_that_the_trial_before_gives_back_late_is_of_nobody(tmp_path: Path) -> None:
    """Its process has ended, the driver is still at it: neither the peak nor what was there before is to have it."""
    late = [
        [0, 90 * GIB],
        [0.4, 90 * GIB],
        [0.9, GIB],
        [1.5, GIB],
        [1.5, 2 * GIB],
        [6, 9 * GIB],
        [6.2, 9 * GIB],
        [8, GIB],
    ]
    events = trial_beside(tmp_path, {"memory": late})
    assert summarise(events)["peak_device_memory"] == pytest.approx(8 * GIB, rel=0.01)
    assert disturbed(events) == ()


def test_memory_that_falls_while_it_trains_was_there_before(tmp_path: Path) -> None:
    memory = [[0, 4 * GIB], [3, 4 * GIB], [3, 6 * GIB], [5, 6 * GIB], [5, 3 * GIB]]
    events = trial_beside(tmp_path, {"memory": memory})
    assert summarise(events)["peak_device_memory"] == 2 * GIB
    assert disturbed(events) == ("4 GiB of the device were in use beforehand, by nobody that NVML lists",)


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (10 * GIB - 200 * 2**20, ()),  # as much moves of itself
        (GIB, ("9 GiB that others held of the device were given back while it trained: its peak is too low",)),
    ],
)
def test_memory_of_others_that_is_given_back_while_it_trains_hides_its_peak(
    left: int, told: tuple[str, ...], tmp_path: Path
) -> None:
    """In the warm-up, so that nobody else is there in the window: the peak is 5 GiB, and looks like none."""
    memory = [[0, 10 * GIB], [3, 10 * GIB], [3, left], [6, left], [6.5, left + 5 * GIB]]
    device = {"memory": memory, "processes": [[0, 3, 7, 10 * GIB], [0, 100, 9, GIB]]}
    assert disturbed(trial_beside(tmp_path, device)) == told


def test_memory_of_a_process_that_ended_before_the_window_disturbs_nothing(tmp_path: Path) -> None:
    leaving = {"memory": [[0, 5 * GIB], [1, 5 * GIB], [1, 0], [20, GIB]]}
    processes = [[0, 1, 7, 5 * GIB], [0, 100, 9, GIB]]
    assert disturbed(trial_beside(tmp_path, {**leaving, "processes": processes})) == ()


def test_a_made_up_device_says_so(tmp_path: Path) -> None:
    log = tmp_path / "device.jsonl"
    sampler = Sampler(log=log, hz=10, worker=1, made_up="gpu.json")
    sampler.begin(ScriptedNvml.of({"devices": [{"uuid": "GPU-1"}, {"uuid": "GPU-2"}]}).gpus(), {}, origin=0.0)
    sampler.use(["GPU-1"])
    sampler.use(["GPU-2"])
    sampler.end(1.0)
    events = device_events([log])
    assert facts(events)["sampling"]["made_up"] == "gpu.json"
    assert sum("made up by gpu.json" in event.get("text", "") for event in events) == 1
