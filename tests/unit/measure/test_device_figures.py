"""Figures of the device over the measured window, from scripts whose truth is known."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.measure.facts import disturbed, facts
from harness.measure.fakes.nvml import integral
from harness.measure.nvml import identity
from harness.measure.summarise import summarise
from harness.measure.summarise.spans import measured_spans
from harness.records.device_log import device_events, in_order
from harness.records.events import Event, encode
from tests.unit.measure.scripted import GIB, sampled_log, trained_steps, trial_beside

OF_DEVICE = {
    "energy",
    "energy_per_token",
    "mean_power",
    "mean_device_utilization",
    "mean_sm_clock",
    "max_temperature",
    "peak_device_memory",
}


def test_figures_are_those_of_the_script_within_one_percent(tmp_path: Path) -> None:
    power = [[0, 100], [4, 100], [4, 300], [8, 500], [12, 200], [13, 900]]
    device = {
        "power": power,
        "utilization": [[0, 0], [4, 0.2], [12, 0.8]],
        "sm_clock": [[0, 0], [4, 1000], [12, 2000]],
        "temperature": [[0, 20], [9, 70], [12, 40], [13, 99]],
        "memory": [[0, GIB], [6, 5 * GIB], [6.2, 5 * GIB], [7, 2 * GIB]],
    }
    found = summarise(trial_beside(tmp_path, device))
    curve = tuple((float(t), float(watts)) for t, watts in power)
    truth = integral(curve, 12.0) - integral(curve, 4.0)  # of the window: eight steps after two of warm-up
    assert found["energy"] == pytest.approx(truth, rel=0.01)
    assert found["mean_power"] == pytest.approx(truth / 8, rel=0.01)
    assert found["energy_per_token"] == pytest.approx(truth / 800, rel=0.01)
    assert found["mean_device_utilization"] == pytest.approx(0.5, rel=0.01)
    assert found["mean_sm_clock"] == pytest.approx(1500, rel=0.01)
    assert found["max_temperature"] == pytest.approx(70, rel=0.01)  # 99 °C came after the window
    assert found["peak_device_memory"] == pytest.approx(4 * GIB, rel=0.01)
    assert disturbed(trial_beside(tmp_path, device)) == ()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    watts=st.lists(st.floats(50, 900), min_size=2, max_size=6),
    walls=st.lists(st.floats(0.05, 2.0), min_size=3, max_size=40),
    warmup=st.integers(0, 2),
    hz=st.sampled_from([10.0, 25.0, 100.0]),
)
def test_energy_is_the_integral_of_power_over_any_window(
    watts: list[float], walls: list[float], warmup: int, hz: float, tmp_path: Path
) -> None:
    end = 2 + sum(walls)
    power = [[(end + 1) * place / (len(watts) - 1), value] for place, value in enumerate(watts)]
    log = sampled_log(tmp_path, [{"power": power}], end + 1, hz=hz)
    events = in_order(trained_steps(2.0, walls, warmup=warmup), device_events([log]))
    curve = tuple((t, value) for t, value in power)
    begin = 2 + sum(walls[:warmup])
    truth = integral(curve, end) - integral(curve, begin)
    # Between two samples power is taken to be straight: a bend of so many W/s leaves at most Δt² ÷ 8 of it.
    slopes = [(later - sooner) * (len(watts) - 1) / (end + 1) for sooner, later in itertools.pairwise(watts)]
    bends = sum(abs(later - sooner) for sooner, later in itertools.pairwise(slopes))
    assert summarise(events)["energy"] == pytest.approx(truth, rel=0.01, abs=bends / hz**2 / 4)


def test_evaluation_inside_the_window_is_no_part_of_it(tmp_path: Path) -> None:
    steps = trained_steps(2.0, [1.0, 1.0])
    steps += [
        {"kind": "phase", "name": "eval", "edge": "start", "t": 4.0},
        {"kind": "phase", "name": "eval", "edge": "end", "t": 7.0},
    ]
    late = trained_steps(7.0, [1.0, 1.0])[1:]
    steps += [{**step, "step": step["step"] + 2} for step in late]
    assert measured_spans(steps) == [(2.0, 4.0), (7.0, 9.0)]
    device = {"power": [[0, 100], [4, 100], [4, 900], [7, 900], [7, 100]]}
    events = in_order(steps, device_events([sampled_log(tmp_path, [device], 10, marks=[4.0, 7.0])]))
    found = summarise(events)
    assert found["energy"] == pytest.approx(400, rel=0.01)
    assert found["mean_power"] == pytest.approx(found["energy"] / 4)


def test_a_long_window_of_thinned_lines_is_as_right(tmp_path: Path) -> None:
    device = {"power": [[0, 100], [1000, 700]], "utilization": [[0, 0], [1000, 1]]}
    steps = trained_steps(2.0, [1.0] * 900, warmup=100)
    found = summarise(in_order(steps, device_events([sampled_log(tmp_path, [device], 905)])))
    assert found["energy"] == pytest.approx(800 * (100 + 0.6 * 502), rel=0.01)
    assert found["mean_device_utilization"] == pytest.approx(0.502, rel=0.01)


def test_two_devices_add_up(tmp_path: Path) -> None:
    devices = [
        {"power": 100, "utilization": 0.2, "temperature": 50},
        {"power": 300, "utilization": 0.6, "temperature": 40},
    ]
    found = summarise(in_order(trained_steps(2.0, [1.0] * 4), device_events([sampled_log(tmp_path, devices, 7)])))
    assert found["energy"] == pytest.approx(1600, rel=0.01)
    assert found["mean_power"] == pytest.approx(400, rel=0.01)
    assert found["mean_device_utilization"] == pytest.approx(0.4)
    assert found["max_temperature"] == 50


def test_a_peak_that_one_of_two_devices_does_not_tell_is_no_figure(tmp_path: Path) -> None:
    devices: list[dict[str, Any]] = [
        {"memory": [[0, 100], [5, 500]]},
        {"errors": [[0, 100, "memory", "Not Supported"]]},
    ]
    assert "peak_device_memory" not in summarise(
        in_order(trained_steps(2.0, [1.0] * 4), device_events([sampled_log(tmp_path, devices, 7)]))
    )


def test_a_device_that_two_ranks_sampled_counts_once(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    main, other = sampled_log(tmp_path, [{"power": 100}], 10), sampled_log(tmp_path / "other", [{"power": 100}], 10)
    other.write_text(other.read_text().replace('"origin":100.0', '"origin":102.0'))  # its energy began later
    found = summarise(in_order(trained_steps(3.0, [1.0] * 4), device_events([main, other])))
    assert found["energy"] == pytest.approx(400, rel=0.01)


def test_a_device_of_another_rank_is_put_on_the_same_clock(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    main = sampled_log(tmp_path, [{"power": 100}], 10)
    other = sampled_log(tmp_path / "other", [{"power": [[0, 50], [3, 50], [3, 200]]}], 10)
    text = other.read_text().replace('"origin":100.0', '"origin":102.0').replace(identity("GPU-0"), identity("GPU-1"))
    other.write_text(text)  # begun two seconds later: its third second is the main one's fifth
    found = summarise(in_order(trained_steps(3.0, [1.0] * 4), device_events([main, other])))
    assert found["energy"] == pytest.approx(400 + 2 * 50 + 2 * 200, rel=0.02)


@pytest.mark.parametrize("error", ["Unknown Error", "GPU is lost"])
@pytest.mark.parametrize(("begin", "end"), [(6.0, 6.5), (6.0, 100.0), (11.5, 100.0)])
def test_what_fails_within_the_window_has_no_figure_rather_than_a_small_one(
    error: str, begin: float, end: float, tmp_path: Path
) -> None:
    events = trial_beside(tmp_path, {"power": 300, "errors": [[begin, end, "all", error]]})
    found = summarise(events)
    kept = {"peak_device_memory"} if error == "Unknown Error" and end < 100 else set()  # half a second hides no peak
    assert found.keys() & OF_DEVICE == kept
    assert sum(event.get("kind") == "note" and "GPU" not in event["text"][:3] for event in events) >= 1


@pytest.mark.parametrize("silence", [(0.5, 3.7), (12.5, 16)])
def test_a_silence_outside_the_window_harms_nothing_but_the_peak(tmp_path: Path, silence: tuple[float, float]) -> None:
    sampled = sampled_log(tmp_path, [{"power": 300}], 18, silence=silence)
    found = summarise(in_order(trained_steps(2.0, [1.0] * 10, warmup=2), device_events([sampled])))
    assert OF_DEVICE - found.keys() <= {"peak_device_memory"}
    assert found["energy"] == pytest.approx(2400, rel=0.01)


def test_a_step_without_tokens_takes_energy_all_the_same(tmp_path: Path) -> None:
    events = trial_beside(tmp_path, {"power": 300})
    none = [{**event, "real_tokens": 0} if event.get("step") == 5 else event for event in events]
    assert summarise(none)["energy_per_token"] == pytest.approx(2400 / 700, rel=0.01)


def test_what_fails_outside_the_window_harms_nothing(tmp_path: Path) -> None:
    errors = [[0.5, 1.5, "all", "Unknown Error"], [12.5, 100, "power", "Unknown Error"]]
    assert summarise(trial_beside(tmp_path, {"power": 300, "errors": errors}))["energy"] == pytest.approx(
        2400, rel=0.01
    )


@pytest.mark.parametrize(
    ("what", "absent"),
    [
        ("energy", set()),  # integrated from power
        ("power", set()),  # from the counter
        ("utilization", {"mean_device_utilization"}),
        ("clocks", {"mean_sm_clock"}),
        ("temperature", {"max_temperature"}),
        ("throttle", set()),
        ("memory", {"peak_device_memory"}),
    ],
)
def test_what_a_device_never_tells_is_absent_and_nothing_else(what: str, absent: set[str], tmp_path: Path) -> None:
    events = trial_beside(tmp_path, {"power": 300, "errors": [[0, 100, what, "Not Supported"]]})
    found = summarise(events)
    assert OF_DEVICE - found.keys() == absent
    assert found["energy"] == pytest.approx(2400, rel=0.01)
    assert facts(events)["sampling"].get("energy_from") == ("power" if what == "energy" else None)


@pytest.mark.parametrize(
    ("until", "source", "known"),
    [
        (100, "power", True),  # it never answers: as a device that has no counter
        (3, None, True),  # it answers before the window begins
        (8, "power", False),  # in the midst of it: of neither is there all
    ],
)
def test_a_counter_that_fails_from_the_start(until: float, source: str | None, known: bool, tmp_path: Path) -> None:
    events = trial_beside(tmp_path, {"power": 300, "errors": [[0, until, "energy", "Unknown Error"]]})
    found = summarise(events)
    assert found.get("energy") == (pytest.approx(2400, rel=0.01) if known else None)
    assert found["mean_power"] == pytest.approx(300)
    assert facts(events)["sampling"].get("energy_from") == source


def test_neither_counter_nor_power_leaves_no_energy(tmp_path: Path) -> None:
    errors = [[0, 100, "energy", "Not Supported"], [0, 100, "power", "Not Supported"]]
    found = summarise(trial_beside(tmp_path, {"errors": errors}))
    assert not {"energy", "mean_power", "energy_per_token"} & found.keys()


def test_a_counter_that_starts_anew_within_the_window_gives_no_energy(tmp_path: Path) -> None:
    events = trial_beside(tmp_path, {"power": 300})
    later = [
        event for event in events if event.get("kind") == "device" and event["t"] > 7 and "energy" in event["values"]
    ]
    for event in later:
        event["values"] = {**event["values"], "energy": event["values"]["energy"] - 2000}
    assert "energy" not in summarise(events)


@pytest.mark.parametrize(("still", "known"), [(0.8, True), (2.0, False), (100.0, False)])
def test_a_counter_that_stands_still_in_the_window_gives_no_energy(still: float, known: bool, tmp_path: Path) -> None:
    """What is used meanwhile is not in it; its rise before and after would be too little."""
    power = [[0, 300], [7, 300], [7, 0], [7 + still, 0], [7 + still, 300]]
    found = summarise(trial_beside(tmp_path, {"power": power}))
    assert ("energy" in found, "energy_per_token" in found) == (known, known)
    assert found["mean_power"] == pytest.approx(300 * max(3, 8 - still) / 8, rel=0.05)  # of the samples' own power


@pytest.mark.parametrize("warmed", [100.0, 1000.0])
def test_what_was_before_the_window_is_not_in_it_where_lines_stand_for_many_samples(
    warmed: float, tmp_path: Path
) -> None:
    """After half an hour a line stands for 16 samples: the one before the window ends where that begins."""
    device = {
        "processes": [[0, 1e9, 50, 1], [warmed, warmed + 2.6, 51, GIB]],
        "temperature": [[0, 90], [warmed + 2.9, 90], [warmed + 2.9, 60]],
    }
    steps = trained_steps(warmed, [1.0] * 8, warmup=3)
    marks = [warmed + step + 0.0005 for step in (1, 2, 3, 8)]  # as the worker sends them, a moment after
    log = sampled_log(tmp_path, [device], warmed + 9, marks=marks)
    events = in_order(steps, device_events([log]))
    assert summarise(events)["max_temperature"] == 60
    assert disturbed(events) == ()


def test_samples_that_end_before_the_window_does_give_nothing(tmp_path: Path) -> None:
    """As when the sampling process was killed: the peak may have come after that."""
    log = sampled_log(tmp_path, [{"power": 300}], 9)
    found = summarise(in_order(trained_steps(2.0, [1.0] * 10), device_events([log])))
    assert not found.keys() & OF_DEVICE


def test_a_peak_that_may_lie_in_a_silence_at_the_beginning_is_no_figure(tmp_path: Path) -> None:
    memory = [[0, GIB], [1, GIB], [1, 30 * GIB], [2, 30 * GIB], [2, 3 * GIB]]
    quiet = trial_beside(tmp_path, {"memory": memory, "errors": [[0.01, 3, "memory", "Unknown Error"]]})
    assert "peak_device_memory" not in summarise(quiet)
    assert summarise(trial_beside(tmp_path, {"memory": memory}))["peak_device_memory"] == 29 * GIB


@pytest.mark.parametrize(("first", "known"), [(2.9, True), (5.0, False)])
def test_a_sampler_that_comes_late_tells_no_peak_of_what_was_before(first: float, known: bool, tmp_path: Path) -> None:
    """On a machine that is busy it may begin after the training, which began at second 2."""
    memory = [[0, GIB], [4, GIB], [4, 30 * GIB], [4.5, 30 * GIB], [4.5, 3 * GIB]]
    log = sampled_log(tmp_path, [{"memory": memory}], 13, silence=(0.0, first))
    found = summarise(in_order(trained_steps(2.0, [1.0] * 10), device_events([log])))
    assert found.get("peak_device_memory") == (29 * GIB if known else None)


@pytest.mark.parametrize("t", [3.0, 8.4])
def test_a_clock_that_went_back_leaves_no_figure_of_the_window(t: float, tmp_path: Path) -> None:
    """The sampler's times and the worker's are no longer the same: samples would be laid beside the wrong steps."""
    events = trial_beside(tmp_path, {"power": [[0, 100], [14, 500]], "throttle": [[0, 100, "sw_power_cap"]]})
    back = [
        {**event, "t": event["t"] - 0.4} if event["kind"] == "device" and event["t"] > t else event for event in events
    ]
    finding: Event = {"kind": "finding", "name": "clock_stepped_back", "step": None, "t": t}
    found = in_order([*back, finding], [])
    assert summarise(found).keys() & OF_DEVICE == {"peak_device_memory"}
    assert "throttle" not in facts(found)


def test_a_hole_in_the_samples_gives_nothing(tmp_path: Path) -> None:
    events = [
        event for event in trial_beside(tmp_path, {"power": 300}) if not 6 < event["t"] < 8 or event["kind"] != "device"
    ]
    assert not summarise(events).keys() & {"energy", "mean_power", "mean_sm_clock"}


@pytest.mark.parametrize(("silent", "figures"), [(0.8, True), (1.5, False), (4.5, False)])
def test_a_hole_between_lines_that_stand_for_many_samples_is_one_all_the_same(
    silent: float, figures: bool, tmp_path: Path
) -> None:
    """After half an hour a line stands for 16 samples, 1.6 s of them."""
    log = sampled_log(tmp_path, [{"power": 300}], 1900, silence=(1500.0, 1500.0 + silent))
    found = summarise(in_order(trained_steps(1400.0, [1.0] * 200), device_events([log])))
    assert bool(found.keys() & OF_DEVICE) == figures


def test_the_workers_own_peak_counts_where_it_is_higher(tmp_path: Path) -> None:
    events = trial_beside(tmp_path, {"memory": [[0, 100], [5, 500]]})
    memory: Event = {"kind": "memory", "step": 3, "t": 6.0, "values": {"device_used": 700}}
    assert summarise([*events, memory])["peak_device_memory"] == 700
    assert summarise(events)["peak_device_memory"] == 400


def test_no_device_no_figures_and_no_facts() -> None:
    events = trained_steps(2.0, [1.0] * 4)
    assert not summarise(events).keys() & OF_DEVICE
    assert facts(events).keys().isdisjoint({"sampling", "throttle"})
    assert disturbed(events) == ()


def test_a_damaged_log_costs_the_devices_figures_alone(tmp_path: Path) -> None:
    log = sampled_log(tmp_path, [{"power": 300}], 13)
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0], '{"t": 1, "kind', *lines[1:]]) + "\n")
    events = in_order(trained_steps(2.0, [1.0] * 10), device_events([log]))
    found = summarise(events)
    assert not found.keys() & OF_DEVICE
    assert found["measured_steps"] == 10
    assert any("device.jsonl is damaged" in event.get("text", "") for event in events)


def test_a_torn_last_line_is_fine(tmp_path: Path) -> None:
    log = sampled_log(tmp_path, [{"power": 300}], 13)
    log.write_text(log.read_text() + encode({"t": 14.0, "kind": "device"})[:-8])
    assert summarise(in_order(trained_steps(2.0, [1.0] * 10), device_events([log])))["energy"] == pytest.approx(
        3000, rel=0.01
    )
