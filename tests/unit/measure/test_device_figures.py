"""Figures of the device over the measured window, from scripts whose truth is known, and what disturbed it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.measure.facts import disturbed, facts
from harness.measure.fakes import ScriptedNvml
from harness.measure.fakes.nvml import integral
from harness.measure.nvml import NvmlError, identity
from harness.measure.sampler import Sampler
from harness.measure.summarise import summarise
from harness.measure.summarise.spans import measured_spans
from harness.records.device_log import device_events, in_order
from harness.records.events import Event, encode

GIB = 2**30
OF_DEVICE = {
    "energy",
    "energy_per_token",
    "mean_power",
    "mean_device_utilization",
    "mean_sm_clock",
    "max_temperature",
    "peak_device_memory",
}


def _sample(
    folder: Path,
    devices: Sequence[dict[str, Any]],
    until: float,
    *,
    hz: float = 10.0,
    marks: Sequence[float] = (),
    silence: tuple[float, float] = (0.0, 0.0),
) -> Path:
    """What a sampler writes over the scripts, its first sample a little after the start; `marks` as a worker sends."""
    now = [0.0]
    nvml = ScriptedNvml.of(
        {"devices": [{"uuid": f"GPU-{number}", **device} for number, device in enumerate(devices)]},
        clock=lambda: now[0],
    )
    log = folder / "device.jsonl"
    log.unlink(missing_ok=True)
    sampler = Sampler(log=log, hz=hz, worker=1)
    before = {gpu.uuid: {**_before(gpu), "processes": [7] if 7 in gpu.processes() else []} for gpu in nvml.gpus()}
    sampler.begin(nvml.gpus(), before, origin=100.0)
    sampler.use([gpu.uuid for gpu in nvml.gpus()])
    due = [(0.037 + tick / hz, False) for tick in range(int(until * hz) + 1)]
    due = [(t, marked) for t, marked in due if not silence[0] < t < silence[1]]
    for now[0], marked in sorted([*due, *((mark, True) for mark in marks)]):
        if not sampler.over:
            sampler.mark(now[0]) if marked else sampler.tick(now[0])
    now[0] = max(now[0], until)
    sampler.end(now[0])
    return log


def _before(gpu: Any) -> dict[str, float]:
    try:
        return {"memory_before": gpu.read("memory")["memory_used"]}
    except NvmlError:
        return {}


def _steps(begin: float, walls: Sequence[float], *, warmup: int = 0, tokens: int = 100) -> list[Event]:
    """Training that begins at a time and makes steps of these lengths."""
    events: list[Event] = [{"kind": "phase", "name": "train", "edge": "start", "t": begin}]
    t = begin
    for number, wall in enumerate(walls, start=1):
        t += wall
        events.append(
            {
                "kind": "step",
                "step": number,
                "t": t,
                "wall_s": wall,
                "measured": number > warmup,
                "real_tokens": tokens,
                "padded_tokens": tokens,
            }
        )
    return events


def _trial(
    folder: Path, device: dict[str, Any], *, walls: Sequence[float] = (1.0,) * 10, warmup: int = 2
) -> list[Event]:
    """A trial that trains from second 2 on, beside one device."""
    steps = _steps(2.0, walls, warmup=warmup)
    return in_order(steps, device_events([_sample(folder, [device], 2 + sum(walls) + 1)]))


def test_figures_are_those_of_the_script_within_one_percent(tmp_path: Path) -> None:
    power = [[0, 100], [4, 100], [4, 300], [8, 500], [12, 200], [13, 900]]
    device = {
        "power": power,
        "utilization": [[0, 0], [4, 0.2], [12, 0.8]],
        "sm_clock": [[0, 0], [4, 1000], [12, 2000]],
        "temperature": [[0, 20], [9, 70], [12, 40], [13, 99]],
        "memory": [[0, GIB], [6, 5 * GIB], [6.2, 5 * GIB], [7, 2 * GIB]],
    }
    found = summarise(_trial(tmp_path, device))
    curve = tuple((float(t), float(watts)) for t, watts in power)
    truth = integral(curve, 12.0) - integral(curve, 4.0)  # of the window: eight steps after two of warm-up
    assert found["energy"] == pytest.approx(truth, rel=0.01)
    assert found["mean_power"] == pytest.approx(truth / 8, rel=0.01)
    assert found["energy_per_token"] == pytest.approx(truth / 800, rel=0.01)
    assert found["mean_device_utilization"] == pytest.approx(0.5, rel=0.01)
    assert found["mean_sm_clock"] == pytest.approx(1500, rel=0.01)
    assert found["max_temperature"] == pytest.approx(70, rel=0.01)  # 99 °C came after the window
    assert found["peak_device_memory"] == pytest.approx(4 * GIB, rel=0.01)
    assert disturbed(_trial(tmp_path, device)) == ()


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
    log = _sample(tmp_path, [{"power": power}], end + 1, hz=hz)
    events = in_order(_steps(2.0, walls, warmup=warmup), device_events([log]))
    curve = tuple((t, value) for t, value in power)
    begin = 2 + sum(walls[:warmup])
    truth = integral(curve, end) - integral(curve, begin)
    # Between two samples power is taken to be straight: a bend of so many W/s leaves at most Δt² ÷ 8 of it.
    slopes = [(later - sooner) * (len(watts) - 1) / (end + 1) for sooner, later in itertools.pairwise(watts)]
    bends = sum(abs(later - sooner) for sooner, later in itertools.pairwise(slopes))
    assert summarise(events)["energy"] == pytest.approx(truth, rel=0.01, abs=bends / hz**2 / 4)


def test_evaluation_inside_the_window_is_no_part_of_it(tmp_path: Path) -> None:
    steps = _steps(2.0, [1.0, 1.0])
    steps += [
        {"kind": "phase", "name": "eval", "edge": "start", "t": 4.0},
        {"kind": "phase", "name": "eval", "edge": "end", "t": 7.0},
    ]
    late = _steps(7.0, [1.0, 1.0])[1:]
    steps += [{**step, "step": step["step"] + 2} for step in late]
    assert measured_spans(steps) == [(2.0, 4.0), (7.0, 9.0)]
    device = {"power": [[0, 100], [4, 100], [4, 900], [7, 900], [7, 100]]}
    events = in_order(steps, device_events([_sample(tmp_path, [device], 10, marks=[4.0, 7.0])]))
    found = summarise(events)
    assert found["energy"] == pytest.approx(400, rel=0.01)
    assert found["mean_power"] == pytest.approx(found["energy"] / 4)


def test_a_long_window_of_thinned_lines_is_as_right(tmp_path: Path) -> None:
    device = {"power": [[0, 100], [1000, 700]], "utilization": [[0, 0], [1000, 1]]}
    steps = _steps(2.0, [1.0] * 900, warmup=100)
    found = summarise(in_order(steps, device_events([_sample(tmp_path, [device], 905)])))
    assert found["energy"] == pytest.approx(800 * (100 + 0.6 * 502), rel=0.01)
    assert found["mean_device_utilization"] == pytest.approx(0.502, rel=0.01)


def test_two_devices_add_up(tmp_path: Path) -> None:
    devices = [
        {"power": 100, "utilization": 0.2, "temperature": 50},
        {"power": 300, "utilization": 0.6, "temperature": 40},
    ]
    found = summarise(in_order(_steps(2.0, [1.0] * 4), device_events([_sample(tmp_path, devices, 7)])))
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
        in_order(_steps(2.0, [1.0] * 4), device_events([_sample(tmp_path, devices, 7)]))
    )


def test_a_device_that_two_ranks_sampled_counts_once(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    main, other = _sample(tmp_path, [{"power": 100}], 10), _sample(tmp_path / "other", [{"power": 100}], 10)
    other.write_text(other.read_text().replace('"origin":100.0', '"origin":102.0'))  # its energy began later
    found = summarise(in_order(_steps(3.0, [1.0] * 4), device_events([main, other])))
    assert found["energy"] == pytest.approx(400, rel=0.01)


def test_a_device_of_another_rank_is_put_on_the_same_clock(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    main = _sample(tmp_path, [{"power": 100}], 10)
    other = _sample(tmp_path / "other", [{"power": [[0, 0], [3, 0], [3, 200]]}], 10)
    text = other.read_text().replace('"origin":100.0', '"origin":102.0').replace(identity("GPU-0"), identity("GPU-1"))
    other.write_text(text)  # begun two seconds later: its third second is the main one's fifth
    found = summarise(in_order(_steps(3.0, [1.0] * 4), device_events([main, other])))
    assert found["energy"] == pytest.approx(400 + 2 * 200, rel=0.02)


@pytest.mark.parametrize("error", ["Unknown Error", "GPU is lost"])
@pytest.mark.parametrize(("begin", "end"), [(6.0, 6.5), (6.0, 100.0), (11.5, 100.0)])
def test_what_fails_within_the_window_has_no_figure_rather_than_a_small_one(
    error: str, begin: float, end: float, tmp_path: Path
) -> None:
    events = _trial(tmp_path, {"power": 300, "errors": [[begin, end, "all", error]]})
    found = summarise(events)
    kept = {"peak_device_memory"} if error == "Unknown Error" and end < 100 else set()  # half a second hides no peak
    assert found.keys() & OF_DEVICE == kept
    assert sum(event.get("kind") == "note" and "GPU" not in event["text"][:3] for event in events) >= 1


def test_what_fails_outside_the_window_harms_nothing(tmp_path: Path) -> None:
    errors = [[0.5, 1.5, "all", "Unknown Error"], [12.5, 100, "power", "Unknown Error"]]
    assert summarise(_trial(tmp_path, {"power": 300, "errors": errors}))["energy"] == pytest.approx(2400, rel=0.01)


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
    events = _trial(tmp_path, {"power": 300, "errors": [[0, 100, what, "Not Supported"]]})
    found = summarise(events)
    assert OF_DEVICE - found.keys() == absent
    assert found["energy"] == pytest.approx(2400, rel=0.01)
    assert facts(events)["sampling"].get("energy_from") == ("power" if what == "energy" else None)


def test_neither_counter_nor_power_leaves_no_energy(tmp_path: Path) -> None:
    errors = [[0, 100, "energy", "Not Supported"], [0, 100, "power", "Not Supported"]]
    found = summarise(_trial(tmp_path, {"errors": errors}))
    assert not {"energy", "mean_power", "energy_per_token"} & found.keys()


def test_a_counter_that_starts_anew_within_the_window_gives_no_energy(tmp_path: Path) -> None:
    events = _trial(tmp_path, {"power": 300})
    later = [
        event for event in events if event.get("kind") == "device" and event["t"] > 7 and "energy" in event["values"]
    ]
    for event in later:
        event["values"] = {**event["values"], "energy": event["values"]["energy"] - 2000}
    assert "energy" not in summarise(events)


def test_samples_that_end_before_the_window_does_give_nothing(tmp_path: Path) -> None:
    """As when the sampling process was killed: the peak may have come after that."""
    log = _sample(tmp_path, [{"power": 300}], 9)
    found = summarise(in_order(_steps(2.0, [1.0] * 10), device_events([log])))
    assert not found.keys() & OF_DEVICE


def test_a_peak_that_may_lie_in_a_silence_at_the_beginning_is_no_figure(tmp_path: Path) -> None:
    memory = [[0, GIB], [1, GIB], [1, 30 * GIB], [2, 30 * GIB], [2, 3 * GIB]]
    quiet = _trial(tmp_path, {"memory": memory, "errors": [[0.01, 3, "memory", "Unknown Error"]]})
    assert "peak_device_memory" not in summarise(quiet)
    assert summarise(_trial(tmp_path, {"memory": memory}))["peak_device_memory"] == 29 * GIB


@pytest.mark.parametrize("t", [3.0, 8.4])
def test_a_clock_that_went_back_leaves_no_figure_of_the_window(t: float, tmp_path: Path) -> None:
    """The sampler's times and the worker's are no longer the same: samples would be laid beside the wrong steps."""
    events = _trial(tmp_path, {"power": [[0, 100], [14, 500]], "throttle": [[0, 100, "sw_power_cap"]]})
    back = [
        {**event, "t": event["t"] - 0.4} if event["kind"] == "device" and event["t"] > t else event for event in events
    ]
    finding: Event = {"kind": "finding", "name": "clock_stepped_back", "step": None, "t": t}
    found = in_order([*back, finding], [])
    assert summarise(found).keys() & OF_DEVICE == {"peak_device_memory"}
    assert "throttle" not in facts(found)


def test_a_hole_in_the_samples_gives_nothing(tmp_path: Path) -> None:
    events = [
        event for event in _trial(tmp_path, {"power": 300}) if not 6 < event["t"] < 8 or event["kind"] != "device"
    ]
    assert not summarise(events).keys() & {"energy", "mean_power", "mean_sm_clock"}


@pytest.mark.parametrize(("silent", "figures"), [(0.8, True), (1.5, False), (4.5, False)])
def test_a_hole_between_lines_that_stand_for_many_samples_is_one_all_the_same(
    silent: float, figures: bool, tmp_path: Path
) -> None:
    """After half an hour a line stands for 16 samples, 1.6 s of them."""
    log = _sample(tmp_path, [{"power": 300}], 1900, silence=(1500.0, 1500.0 + silent))
    found = summarise(in_order(_steps(1400.0, [1.0] * 200), device_events([log])))
    assert bool(found.keys() & OF_DEVICE) == figures


def test_the_workers_own_peak_counts_where_it_is_higher(tmp_path: Path) -> None:
    events = _trial(tmp_path, {"memory": [[0, 100], [5, 500]]})
    memory: Event = {"kind": "memory", "step": 3, "t": 6.0, "values": {"device_used": 700}}
    assert summarise([*events, memory])["peak_device_memory"] == 700
    assert summarise(events)["peak_device_memory"] == 400


def test_no_device_no_figures_and_no_facts() -> None:
    events = _steps(2.0, [1.0] * 4)
    assert not summarise(events).keys() & OF_DEVICE
    assert facts(events).keys().isdisjoint({"sampling", "throttle"})
    assert disturbed(events) == ()


def test_a_damaged_log_costs_the_devices_figures_alone(tmp_path: Path) -> None:
    log = _sample(tmp_path, [{"power": 300}], 13)
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0], '{"t": 1, "kind', *lines[1:]]) + "\n")
    events = in_order(_steps(2.0, [1.0] * 10), device_events([log]))
    found = summarise(events)
    assert not found.keys() & OF_DEVICE
    assert found["measured_steps"] == 10
    assert any("device.jsonl is damaged" in event.get("text", "") for event in events)


def test_a_torn_last_line_is_fine(tmp_path: Path) -> None:
    log = _sample(tmp_path, [{"power": 300}], 13)
    log.write_text(log.read_text() + encode({"t": 14.0, "kind": "device"})[:-8])
    assert summarise(in_order(_steps(2.0, [1.0] * 10), device_events([log])))["energy"] == pytest.approx(3000, rel=0.01)


# Disturbances


@pytest.mark.parametrize("reason", ["hw_thermal", "sw_thermal", "hw_power_brake", "hw_slowdown"])
def test_throttling_by_heat_or_supply_disturbs(reason: str, tmp_path: Path) -> None:
    events = _trial(tmp_path, {"throttle": [[6, 8, reason]]})
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
    assert disturbed(_trial(tmp_path, {"throttle": throttle})) == ()


def test_the_power_cap_is_a_fact(tmp_path: Path) -> None:
    assert facts(_trial(tmp_path, {"throttle": [[0, 100, "sw_power_cap"]]}))["throttle"] == {"sw_power_cap": 1.0}


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
    assert list(disturbed(_trial(tmp_path, {"processes": processes}))) == expected


def test_after_a_clock_went_back_others_count_whenever_they_were_there(tmp_path: Path) -> None:
    """And throttling does not: of which share of the window is not known."""
    hot = {"throttle": [[0, 100, "hw_thermal"]], "processes": [[0, 100, 9, GIB], [0, 2, 7, GIB]]}
    finding: Event = {"kind": "finding", "name": "clock_stepped_back", "step": None, "t": 4.0}
    told = disturbed(in_order([*_trial(tmp_path, hot), finding], []))
    assert told == ("another process was on the device during the trial, holding 1 GiB",)


def test_memory_that_nobody_owns_before_the_trial_disturbs(tmp_path: Path) -> None:
    (said,) = disturbed(_trial(tmp_path, {"memory": 5 * GIB}))
    assert said == "5 GiB of the device were in use beforehand, by nobody that NVML lists"
    assert disturbed(_trial(tmp_path, {"memory": GIB})) == ()


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
    events = _trial(tmp_path, {"memory": late})
    assert summarise(events)["peak_device_memory"] == pytest.approx(8 * GIB, rel=0.01)
    assert disturbed(events) == ()


def test_memory_that_falls_while_it_trains_was_there_before(tmp_path: Path) -> None:
    memory = [[0, 4 * GIB], [3, 4 * GIB], [3, 6 * GIB], [5, 6 * GIB], [5, 3 * GIB]]
    events = _trial(tmp_path, {"memory": memory})
    assert summarise(events)["peak_device_memory"] == 2 * GIB
    assert disturbed(events) == ("4 GiB of the device were in use beforehand, by nobody that NVML lists",)


def test_memory_of_a_process_that_ended_before_the_window_disturbs_nothing(tmp_path: Path) -> None:
    leaving = {"memory": [[0, 5 * GIB], [1, 5 * GIB], [1, 0], [20, GIB]]}
    processes = [[0, 1, 7, 5 * GIB], [0, 100, 9, GIB]]
    assert disturbed(_trial(tmp_path, {**leaving, "processes": processes})) == ()


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
