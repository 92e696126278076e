"""Sampling against scripts: what is read, never told, or not for a time; who else is there; what is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.fakes import ScriptedNvml
from harness.measure.nvml import identity
from harness.measure.sampler import Sampler
from harness.measure.sampling.others import Others
from harness.measure.sampling.thinning import LINES, Thinned
from harness.records.events import Event, read_events

HZ = 10.0


def sampled(
    folder: Path, device: dict[str, Any], seconds: float, *, use_at: float = 0.0, hz: float = HZ
) -> list[Event]:
    """Events of a sampler that ran over one scripted device for so long, on a clock that costs no time."""
    now = [0.0]
    nvml = ScriptedNvml.of({"devices": [{"uuid": "GPU-1", "name": "Scripted", **device}]}, clock=lambda: now[0])
    log = folder / "device.jsonl"
    sampler = Sampler(log=log, hz=hz, worker=1)
    sampler.begin(nvml.gpus(), {"GPU-1": {"memory_before": 100, "processes": [11]}}, origin=0.0)
    used = False
    for tick in range(int(seconds * hz)):
        now[0] = tick / hz
        if now[0] >= use_at and not used:
            used = True
            sampler.use(["GPU-1"])
        sampler.tick(now[0])
        if sampler.over:
            break
    now[0] += 0.5 / hz
    sampler.end(now[0])
    return list(read_events(log))


def _values(events: list[Event]) -> Iterator[tuple[float, dict[str, Any]]]:
    for event in events:
        if event["kind"] == "device" and "hz" not in event and event["values"]:
            yield event["t"], event["values"]


def _notes(events: list[Event]) -> list[str]:
    """But for the one that a script without processes brings about."""
    said = [event["text"] for event in events if event["kind"] == "note"]
    return [text for text in said if "lists no processes" not in text]


def test_every_sample_holds_what_the_script_says(tmp_path: Path) -> None:
    device = {
        "memory": [[0, 0], [10, 1000]],
        "power": [[0, 100], [10, 300]],
        "utilization": 0.5,
        "throttle": [[4, 6, "hw_thermal"]],
        "processes": [[0, 100, 11, 5], [7, 9, 12, 6]],
    }
    events = sampled(tmp_path, device, 10)
    assert events[0]["values"] == {"memory_before": 100}
    assert (events[0]["name"], events[0]["hz"]) == ("Scripted", HZ)
    found = dict(_values(events))
    assert len(found) == 101
    assert found[5.0]["memory_used"] == 500
    assert found[5.0]["power"] == 200
    assert found[5.0]["energy"] == pytest.approx(100 * 5 + 20 * 25 / 2)
    assert (found[5.0]["throttle"], found[5.0]["throttle_hw_thermal"]) == (1, 1)
    assert found[8.5]["others"] == 1  # 11 was there before the trial; the one that came later is the worker's own
    assert found[8.5]["others_memory"] == 5
    assert _notes(events) == []


def test_what_is_sampled_before_the_device_is_known_is_kept_and_of_others_nothing_is(tmp_path: Path) -> None:
    events = sampled(tmp_path, {}, 4, use_at=3)
    assert next(t for t, _ in _values(events)) == 0.0
    (tmp_path / "other").mkdir()
    sampler = Sampler(log=tmp_path / "other" / "device.jsonl", hz=HZ, worker=1)
    nvml = ScriptedNvml.of({"devices": [{"uuid": "GPU-1"}, {"uuid": "GPU-2"}]})
    sampler.begin(nvml.gpus(), {}, origin=0.0)
    sampler.tick(0.0)
    sampler.use(["GPU-2"])
    sampler.end(1.0)
    assert {event.get("device") for event in read_events(sampler.log)} == {None, identity("GPU-2")}  # a note is of none


def test_devices_that_are_never_used_leave_no_file(tmp_path: Path) -> None:
    sampler = Sampler(log=tmp_path / "device.jsonl", hz=HZ, worker=1)
    sampler.begin(ScriptedNvml.of({"devices": [{"uuid": "GPU-1"}]}).gpus(), {}, origin=0.0)
    sampler.tick(0.0)
    sampler.end(1.0)
    assert not sampler.log.exists()


@pytest.mark.parametrize("what", ["energy", "power", "utilization", "clocks", "temperature", "throttle", "memory"])
def test_what_a_device_never_tells_is_said_once_and_in_no_sample(what: str, tmp_path: Path) -> None:
    events = sampled(tmp_path, {"errors": [[0, 100, what, "Not Supported"]]}, 3)
    assert _notes(events).count(f"Scripted does not tell its {what} (Not Supported)") == 1
    from harness.measure.nvml import NAMES

    missing = set(NAMES[what]) - ({"energy"} if what == "energy" else set())
    assert all(not missing & values.keys() for _, values in _values(events))


def test_without_a_counter_energy_is_integrated_power_and_that_is_said(tmp_path: Path) -> None:
    device = {"power": [[0, 100], [10, 300]], "errors": [[0, 100, "energy", "Not Supported"]]}
    events = sampled(tmp_path, device, 10)
    t, last = list(_values(events))[-1]
    assert last["energy"] == pytest.approx(100 * t + 20 * t * t / 2, rel=1e-3)
    assert any("integrated" in note for note in _notes(events))
    assert [event["energy_from"] for event in events if "energy_from" in event] == ["power"]


def test_an_error_in_the_middle_is_null_and_said_once(tmp_path: Path) -> None:
    events = sampled(tmp_path, {"errors": [[3, 4, "all", "Unknown Error"]]}, 6)
    found = dict(_values(events))
    assert found[2.9]["power"] == 100
    assert all(found[t][name] is None for t in (3.0, 3.5, 3.9) for name in ("power", "energy", "memory_used"))
    assert found[4.5]["power"] == 100
    readings = "memory, energy, power, utilization, clocks, temperature, throttle and processes"
    assert _notes(events) == [f"Scripted did not tell its {readings} for a time (Unknown Error)"]


def test_an_error_from_the_start_is_not_told_as_one_in_the_middle(tmp_path: Path) -> None:
    events = sampled(tmp_path, {"errors": [[0, 9, "utilization", "Unknown Error"]]}, 6)
    assert {values["utilization"] for _, values in _values(events)} == {None}
    assert _notes(events) == ["Scripted could not be asked for its utilization from the start (Unknown Error)"]


@pytest.mark.parametrize("error", ["Unknown Error", "Not Supported"])
def test_a_counter_that_fails_from_the_start_is_as_good_as_none(error: str, tmp_path: Path) -> None:
    device = {"power": [[0, 100], [10, 300]], "errors": [[0, 100, "energy", error]]}
    events = sampled(tmp_path, device, 10)
    t, last = list(_values(events))[-1]
    assert last["energy"] == pytest.approx(100 * t + 20 * t * t / 2, rel=1e-3)
    assert "energy of Scripted is its power, integrated over the samples" in _notes(events)
    assert [event["energy_from"] for event in events if "energy_from" in event] == ["power"]


def test_a_counter_that_answers_late_is_not_joined_to_the_power_before_it(tmp_path: Path) -> None:
    events = sampled(tmp_path, {"power": 100, "errors": [[0, 2, "energy", "Unknown Error"]]}, 4)
    found = {t: values["energy"] for t, values in _values(events)}
    assert found[1.9] == pytest.approx(190)
    assert found[2.0] is None
    assert (found[2.1], found[3.9]) == (0, pytest.approx(180))
    assert [event["energy_from"] for event in events if "energy_from" in event] == ["power", "counter"]
    assert _notes(events)[-1] == "the energy counter of Scripted answers: energy is its rise from here on"


@pytest.mark.parametrize(("still", "said"), [(0.9, 0), (3.0, 1)])
def test_a_counter_that_stands_still_for_a_second_is_said_once(still: float, said: int, tmp_path: Path) -> None:
    power = [[0, 100], [2, 100], [2, 0], [2 + still, 0], [2 + still, 100], [6, 100], [6, 0], [6 + still, 0]]
    notes = _notes(sampled(tmp_path, {"power": [*power, [6 + still, 100]]}, 10))
    assert notes == ["the energy counter of Scripted stands still: it gives no energy"] * said


@pytest.mark.parametrize(
    ("before", "errors", "said"),
    [({}, [], 1), ({"memory_before": 0}, [], 0), ({}, [[0, 9, "memory", "Not Supported"]], 0)],
)
def test_memory_before_that_is_not_known_is_said(
    before: dict[str, int], errors: list[Any], said: int, tmp_path: Path
) -> None:
    """One reading failed before the trial, and none after: nothing else would tell why there is no peak."""
    nvml = ScriptedNvml.of({"devices": [{"uuid": "GPU-1", "name": "Scripted", "errors": errors}]}, clock=lambda: 0.0)
    sampler = Sampler(log=tmp_path / "device.jsonl", hz=HZ, worker=1)
    sampler.begin(nvml.gpus(), {"GPU-1": before}, origin=0.0)
    sampler.use(["GPU-1"])
    for t in (0.0, 0.1):
        sampler.tick(t)
    sampler.end(0.2)
    text = "what was in use of Scripted before the trial is not known: its samples tell no peak"
    assert _notes(list(read_events(sampler.log))).count(text) == said


def test_a_device_that_is_lost_ends_with_nulls_and_a_note(tmp_path: Path) -> None:
    events = sampled(tmp_path, {"errors": [[3, 100, "all", "GPU is lost"]]}, 60)
    t, last = list(_values(events))[-1]
    assert t == 3.0
    assert set(last.values()) == {None}
    assert [note for note in _notes(events) if "is lost" in note] == _notes(events)


def test_a_stretch_that_ends_is_on_disk_at_once(tmp_path: Path) -> None:
    """Where several processes train, the main one reads the others' samples while their samplers are still ending."""
    nvml = ScriptedNvml.of({"devices": [{"uuid": "GPU-1"}]}, clock=lambda: 0.0)
    sampler = Sampler(log=tmp_path / "device.jsonl", hz=10.0, worker=1)
    sampler.begin(nvml.gpus(), {}, origin=0.0)
    sampler.use(["GPU-1"])
    for t in (1.0, 1.1):
        sampler.mark(t)
    written = [event["t"] for event in read_events(tmp_path / "device.jsonl") if event["kind"] == "device"]
    sampler.end(1.2)
    assert written == [0, 1, 1.1]


def test_a_stall_of_the_sampling_is_said_once(tmp_path: Path) -> None:
    sampler = Sampler(log=tmp_path / "device.jsonl", hz=HZ, worker=1)
    gpus = ScriptedNvml.of({"devices": [{"uuid": "GPU-1"}]}).gpus()
    sampler.begin(gpus, {"GPU-1": {"memory_before": 0}}, origin=0.0)
    sampler.use(["GPU-1"])
    for t in (0.0, 0.1, 3.0, 3.1, 8.0, 8.1):
        sampler.tick(t)
    sampler.end(8.2)
    (note,) = _notes(list(read_events(sampler.log)))
    assert note == "the device was not sampled for 2.9 s: the machine was too busy, or its driver slow to answer"


@pytest.mark.parametrize(("stall", "silent"), [(0.98, []), (1.02, [1.02])])
def test_a_time_of_more_than_a_second_without_samples_is_marked_and_has_no_energy(
    stall: float, silent: list[float], tmp_path: Path
) -> None:
    now = [0.0]
    script = {"uuid": "GPU-1", "power": 100, "errors": [[0, 9, "energy", "Not Supported"]]}
    nvml = ScriptedNvml.of({"devices": [script]}, clock=lambda: now[0])
    sampler = Sampler(log=tmp_path / "device.jsonl", hz=HZ, worker=1)
    sampler.begin(nvml.gpus(), {}, origin=0.0)
    sampler.use(["GPU-1"])
    for t in (0.0, 0.1, 0.1 + stall):
        now[0] = t
        sampler.tick(t)
    sampler.end(0.2 + stall)
    events = list(read_events(sampler.log))
    assert [event["silent"] for event in events if "silent" in event] == silent
    energies = [values["energy"] for _, values in _values(events)]
    assert energies[2] == (None if silent else pytest.approx(100 * (0.1 + stall)))


def test_processes_are_listed_once_a_second(tmp_path: Path) -> None:
    asked: list[float] = []
    now = [0.0]
    (gpu,) = ScriptedNvml.of({"devices": [{"uuid": "GPU-1"}]}, clock=lambda: now[0]).gpus()
    listing = gpu.processes

    def processes() -> Mapping[int, int | None]:
        asked.append(now[0])
        return listing()

    gpu.processes = processes  # type: ignore[method-assign]
    sampler = Sampler(log=tmp_path / "device.jsonl", hz=HZ, worker=1)
    sampler.begin([gpu], {}, origin=0.0)
    for tick in range(31):
        now[0] = tick / 10
        sampler.tick(now[0])
    assert asked == [0.0, 1.0, 2.0, 3.0]


def test_processes_are_listed_anew_at_a_mark_and_ten_times_a_second_at_most(tmp_path: Path) -> None:
    """A training that evaluates all the time marks more often."""
    asked: list[float] = []
    now = [0.0]
    (gpu,) = ScriptedNvml.of({"devices": [{"uuid": "GPU-1"}]}, clock=lambda: now[0]).gpus()
    gpu.processes = lambda: asked.append(now[0]) or {}  # type: ignore[method-assign,func-returns-value]
    sampler = Sampler(log=tmp_path / "device.jsonl", hz=HZ, worker=1)
    sampler.begin([gpu], {}, origin=0.0)
    for now[0] in (0.0, 0.05, 0.11, 0.2, 0.23):
        sampler.mark(now[0])
    assert asked == [0.0, 0.11, 0.23]


# Whose processes


def _proc(folder: Path, parents: dict[int, int]) -> Path:
    for pid, parent in parents.items():
        (folder / str(pid)).mkdir(parents=True)
        (folder / str(pid) / "stat").write_text(f"{pid} (a ) name) S {parent} 1 1 0")
    return folder


def test_own_processes_are_told_by_their_number(tmp_path: Path) -> None:
    others = Others(worker=50, proc=_proc(tmp_path, {50: 1, 51: 50, 52: 51, 60: 1}))
    assert others.of({50: 10, 52: 20, 60: 5}, in_use=True) == {"others": 1, "others_memory": 5}


def test_with_foreign_numbers_the_first_that_came_is_the_workers(tmp_path: Path) -> None:
    others = Others(worker=50, before=[900], proc=tmp_path)
    assert others.of({900: 7}, in_use=False) == {"others": 1, "others_memory": 7}
    assert others.of({900: 7, 901: 3}, in_use=False) == {"others": 1, "others_memory": 7}
    assert others.of({900: 7, 901: 3}, in_use=True) == {"others": 1, "others_memory": 7}
    assert others.of({901: 3, 902: 4}, in_use=True) == {"others": 1, "others_memory": 4}
    assert others.of({901: None}, in_use=True) == {"others": 0, "others_memory": 0}


def test_who_came_first_and_left_was_not_the_worker(tmp_path: Path) -> None:
    others = Others(worker=50, before=[900], proc=tmp_path)
    assert others.of({900: 7, 901: 3, 902: 4}, in_use=True) == {"others": 2, "others_memory": 11}
    assert others.of({900: 7, 902: 4}, in_use=True) == {"others": 1, "others_memory": 7}
    assert others.of({902: 4}, in_use=True) == {"others": 0, "others_memory": 0}


def test_a_list_without_the_worker_is_blind(tmp_path: Path) -> None:
    others = Others(worker=50, proc=tmp_path)
    assert others.of({}, in_use=False) == {"others": 0, "others_memory": 0}
    assert others.of({}, in_use=True) is None


def test_whoever_comes_after_a_list_without_the_worker_is_somebody_else(tmp_path: Path) -> None:
    others = Others(worker=50, proc=tmp_path)
    assert others.of({}, in_use=True) is None
    assert others.of({901: 3}, in_use=True) == {"others": 1, "others_memory": 3}


def test_a_list_that_is_empty_for_once_takes_nothing_from_the_worker(tmp_path: Path) -> None:
    others = Others(worker=50, proc=tmp_path)
    assert others.of({901: 3}, in_use=True) == {"others": 0, "others_memory": 0}
    assert others.of({}, in_use=True) is None
    assert others.of({901: 3}, in_use=True) == {"others": 0, "others_memory": 0}


def test_a_blind_list_is_said_and_others_are_absent(tmp_path: Path) -> None:
    events = sampled(tmp_path, {}, 2, use_at=1)
    assert "others" not in list(_values(events))[-1][1]
    assert sum("lists no processes" in event.get("text", "") for event in events) == 1


# What is kept


@given(st.lists(st.floats(0, 1000, allow_nan=False), min_size=1, max_size=400), st.integers(1, 9))
def test_thinned_lines_keep_time_extremes_and_sums(power: list[float], lines: int) -> None:
    thinned = Thinned(lines=lines)
    out = [
        line for t, watts in enumerate(power) for line in thinned.add(float(t), {"power": watts, "memory_used": watts})
    ]
    out += thinned.flush()
    assert sum(line.get("samples", 1) for line in out) == len(power)
    assert out[-1]["t"] == len(power) - 1
    assert max(line["values"]["memory_used"] for line in out) == pytest.approx(max(power), abs=1e-3)
    assert max(line.get("high", {}).get("power", line["values"]["power"]) for line in out) == pytest.approx(
        max(power), abs=1e-3
    )
    total = sum(line["values"]["power"] * line.get("samples", 1) for line in out)
    assert total == pytest.approx(sum(power), abs=1e-3 * len(power) + 1e-6)


def test_hours_fit_in_a_small_file(tmp_path: Path) -> None:
    events = sampled(tmp_path, {"utilization": [[0, 0], [3600, 1]], "power": [[0, 100], [3600, 700]]}, 3600)
    assert len(events) < 6.1 * LINES
    assert (tmp_path / "device.jsonl").stat().st_size < 1.5 * 2**20
    stretches = [event.get("samples", 1) for event in events if "hz" not in event]
    assert stretches[:LINES] == [1] * LINES
    assert max(stretches) == 32


def test_a_line_of_many_samples_has_the_highest_of_what_fills_up_and_heats_up() -> None:
    thinned = Thinned(lines=1)
    thinned.add(0.0, {})
    names = ("memory_used", "temperature", "others", "others_memory", "power")
    samples = [{**dict.fromkeys(names, 3.0 - t), "energy": 100.0 * t, "sm_clock": 1980.0} for t in (1, 2)]
    (line,) = [line for t, values in enumerate(samples, 1) for line in thinned.add(t, values)]
    highest = {"memory_used": 2, "temperature": 2, "others": 2, "others_memory": 2}
    means = {"power": 1.5, "sm_clock": 1980}
    assert line["values"] == {**highest, **means, "energy": 200}  # a counter's last, for what was used since
    assert (line["low"], line["high"]) == ({"power": 1}, {"power": 2})  # of what differed within the stretch


def test_what_failed_is_never_mixed_with_what_did_not() -> None:
    thinned = Thinned(lines=1)
    samples = [1.0, 2.0, None, None, None, 3.0, 4.0]
    out = [line for t, value in enumerate(samples) for line in thinned.add(float(t), {"power": value})]
    out += thinned.flush()
    covered = [line["values"]["power"] for line in out for _ in range(line.get("samples", 1))]
    assert [value is None for value in covered] == [value is None for value in samples]


def test_events_are_lines_of_json(tmp_path: Path) -> None:
    sampled(tmp_path, {"errors": [[1, 2, "all", "Unknown Error"]]}, 3)
    for line in (tmp_path / "device.jsonl").read_text().splitlines():
        assert json.loads(line)["kind"] in ("device", "note")
