"""Every limit that `docs/measuring.md` names for what disturbs a window, and for holes in samples, from either side."""

from __future__ import annotations

from typing import Any

import pytest

from harness.measure.facts import disturbed
from harness.measure.summarise import summarise
from harness.measure.summarise.spans import measured_spans
from harness.records.events import Event

GIB = 2**30


def _window(seconds: float, *lines: Event, before: float = 0, owners: int = 0) -> list[Event]:
    """One measured step from second 10 on, over one device whose lines are these."""
    opening: Event = {"kind": "device", "device": "a", "t": 0.0, "hz": 10, "values": {"memory_before": before}}
    if owners:
        opening["owners"] = owners
    step: Event = {"kind": "step", "step": 1, "t": 10 + seconds, "wall_s": seconds, "measured": True, "real_tokens": 7}
    return [opening, *lines, step]


def _line(t: float, device: str = "a", **values: float) -> Event:
    return {"kind": "device", "device": device, "t": t, "values": values}


@pytest.mark.parametrize(
    ("window", "held", "told"), [(100, 0.98, False), (100, 1.02, True), (10, 0.19, False), (10, 0.21, True)]
)
def test_throttling_holds_for_one_per_cent_and_a_fifth_of_a_second(window: float, held: float, told: bool) -> None:
    hot = [_line(10 + held * share, throttle_hw_thermal=1) for share in (0.5, 1)]
    lines = [_line(10), *hot, _line(10 + window)]
    assert bool(disturbed(_window(window, *lines))) is told


def test_a_sample_after_a_silence_stands_for_none_of_it() -> None:
    """Nobody knows what was then: neither that the device was throttled, nor that others were on it."""
    hot = _line(15, throttle_hw_thermal=1, others=1)
    assert disturbed(_window(4, _line(10), _line(11), hot)) == ()
    assert len(disturbed(_window(6, _line(10), _line(11), hot, _line(15.5, throttle_hw_thermal=1)))) == 2


@pytest.mark.parametrize(
    ("before", "owners", "told"), [(2 * GIB, 0, False), (2 * GIB + 1, 0, True), (9 * GIB, 1, False)]
)
def test_more_than_two_gib_of_nobody_disturb(before: float, owners: int, told: bool) -> None:
    assert bool(disturbed(_window(5, _line(15), before=before, owners=owners))) is told


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"busy": 10.58, "waited": 5.0}, False),  # others, of 20 s of the cores
        ({"busy": 10.62, "waited": 5.0}, True),
        ({"busy": 15.0, "waited": 0.29}, False),  # waiting, of the window's 10 s
        ({"busy": 15.0, "waited": 0.31}, True),
        ({"busy": 15.0, "idle": 2.1}, False),  # a kernel that tells no waiting
        ({"busy": 15.0, "idle": 1.9}, True),
        ({"stolen": 0.58}, False),
        ({"stolen": 0.62}, True),
        ({"seconds": 0.98, "stolen": 1.0}, False),
        ({"seconds": 1.02, "stolen": 1.0}, True),
    ],
)
def test_the_processor_has_limits_of_its_own(values: dict[str, Any], told: bool) -> None:
    quiet = {"seconds": 10.0, "cores": 2, "busy": 10.0, "idle": 0.0, "stolen": 0.0, "own": 10.0}
    assert bool(disturbed([{"kind": "host", "t": 20.0, "values": {**quiet, **values}}])) is told


@pytest.mark.parametrize(("silence", "known"), [(0.98, True), (1.02, False)])
def test_a_silence_of_more_than_a_second_is_a_hole(silence: float, known: bool) -> None:
    lines = [_line(t, temperature=50.0, memory_used=9.0) for t in (0.5, 9.6, 10.4, 10.4 + silence, 11.5, 12.0)]
    summary = summarise(_window(2, *lines))
    assert ("max_temperature" in summary) is known
    assert "peak_device_memory" not in summary  # of which the silence before the window is part
    whole = [_line(0.9 * place, memory_used=9.0) for place in range(12)]
    told = summarise(_window(0.1, *whole, _line(9.9 + silence, memory_used=9.0), _line(11.5, memory_used=9.0)))
    assert ("peak_device_memory" in told) is known


def test_of_two_devices_one_that_does_not_tell_leaves_no_figure() -> None:
    both = {"utilization": 0.5, "sm_clock": 1000.0, "temperature": 60.0}
    lines = [_line(t, device, **both) for t in (10.0, 10.5, 11.0) for device in ("a", "b")]
    second: Event = {"kind": "device", "device": "b", "t": 0.0, "hz": 10, "values": {"memory_before": 0}}
    names = {"mean_device_utilization", "mean_sm_clock", "max_temperature"}
    assert names <= summarise([second, *_window(1, *lines)]).keys()
    for line in lines:
        if line["device"] == "b":
            line["values"] = {}
    assert not names & summarise([second, *_window(1, *lines)]).keys()


def test_a_counter_that_stands_still_gives_no_energy() -> None:
    """An idle device takes tens of watts: the sum over both would be that of one."""
    moving = {"a": [100.0, 200.0, 300.0], "b": [100.0, 200.0, 300.0]}
    second: Event = {"kind": "device", "device": "b", "t": 0.0, "hz": 10, "values": {"memory_before": 0}}

    def found(counters: dict[str, list[float]]) -> dict[str, float]:
        lines = [_line(10 + n / 2, device, energy=counters[device][n], power=50) for n in range(3) for device in "ab"]
        return summarise([second, *_window(1, *lines)])

    assert found(moving)["energy"] == 400
    assert "energy" not in found({**moving, "b": [7.0, 7.0, 7.0]})
    assert found({**moving, "b": [7.0, 7.0, 7.0]})["mean_power"] == 100


def test_power_is_the_mean_of_its_samples_where_energy_cannot_be_told() -> None:
    counter = {10.0: 500.0, 10.5: 600.0, 11.0: 5.0}  # it started anew
    lines = [_line(t, energy=joules, power=50 + 10 * t) for t, joules in counter.items()]
    summary = summarise(_window(1, *lines))
    assert "energy" not in summary
    assert "energy_per_token" not in summary
    assert summary["mean_power"] == pytest.approx((155 + 160) / 2)  # a sample stands for the time before it


@pytest.mark.parametrize("pause", ["eval", "save"])
def test_a_pause_of_training_is_no_part_of_the_window(pause: str) -> None:
    edges: list[Event] = [
        {"kind": "phase", "name": pause, "edge": edge, "t": t} for edge, t in (("start", 11.0), ("end", 13.0))
    ]
    first: Event = {"kind": "step", "step": 1, "t": 11.0, "wall_s": 1.0, "measured": True}
    assert measured_spans([first, *edges, {**first, "step": 2, "t": 14.0}]) == [(10.0, 11.0), (13.0, 14.0)]
