"""Others on the processor: from a made-up /proc, and from events of known loads."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.facts import disturbed
from harness.measure.load import HostLoad, family, quota, reading
from harness.measure.recorder import Recorder
from harness.records.events import Event, read_events

TICK = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))


def _proc(folder: Path, *, busy: float, idle: float, stolen: float = 0.0, waited: float | None = 0.0) -> Path:
    """A /proc whose usable cores together were busy, idle and stolen for these seconds; another core was very busy."""
    each = [round(seconds * TICK / len(CORES)) for seconds in (busy, idle, stolen)]
    lines = [f"cpu{core} {each[0]} 0 0 {each[1]} 0 0 0 {each[2]} 0 0" for core in CORES]
    other = max(CORES) + 1
    folder.mkdir(exist_ok=True)
    (folder / "stat").write_text(
        "\n".join(["cpu 9 9 9 9 9 9 9 9 9 9", *lines, f"cpu{other} 999999 0 0 0 0 0 0 0 0 0", "intr 1"])
    )
    task = folder / "self" / "task" / "77"
    task.mkdir(parents=True, exist_ok=True)
    if waited is not None:
        (task / "schedstat").write_text(f"1 {round(waited * 1e9)} 3")
    return folder


def test_only_usable_cores_count(tmp_path: Path) -> None:
    found = reading(_proc(tmp_path / "proc", busy=10, idle=4, stolen=2, waited=1.5), ())
    assert (found.busy, found.idle, found.stolen) == pytest.approx((10, 4, 2), abs=0.05)
    assert found.cores == len(CORES)
    assert found.waits == {"77": 1.5}


def _host(folder: Path, before: dict[str, Any], after: dict[str, Any], warmup: int = 1) -> list[Event]:
    """The events of a training between two states of the machine."""
    proc = _proc(folder / "proc", **before)
    with Recorder(folder / "events.jsonl") as recorder:
        load = HostLoad(recorder, proc=proc, root=folder / "none")
        load.train_begin()
        for step in range(1, 4):
            load.step_end({"step": step, "measured": step > warmup})
        _proc(folder / "proc", **after)
        load.train_end()
    return list(read_events(folder / "events.jsonl"))


def test_the_window_is_what_lies_between_two_readings(tmp_path: Path) -> None:
    before = {"busy": 100, "idle": 50, "stolen": 1, "waited": 2.0}
    (event,) = _host(tmp_path, before, {"busy": 130, "idle": 60, "stolen": 2, "waited": 2.5})
    values = event["values"]
    assert event["kind"] == "host"
    assert (values["busy"], values["idle"], values["stolen"]) == pytest.approx((30, 10, 1), abs=0.1)
    assert values["waited"] == pytest.approx(0.5)
    assert 0 <= values["own"] < 5


def test_what_a_process_of_the_workers_own_did_before_a_window_without_warm_up_is_not_of_it(tmp_path: Path) -> None:
    helper = tmp_path / "proc" / "910"
    helper.mkdir(parents=True)
    fields = [f"{500 * TICK}" if place == 11 else "0" for place in range(2, 20)]
    (helper / "stat").write_text(f"910 (sampler) S {os.getpid()} {' '.join(fields)}")
    events = _host(tmp_path, {"busy": 1, "idle": 1}, {"busy": 5, "idle": 2}, warmup=0)
    (host,) = [event["values"] for event in events if event["kind"] == "host"]
    assert host["own"] < 100


def test_a_kernel_that_tells_nothing_is_no_event(tmp_path: Path) -> None:
    with Recorder(tmp_path / "events.jsonl") as recorder:
        load = HostLoad(recorder, proc=tmp_path / "none", root=tmp_path)
        load.train_begin()
        load.train_end()
    assert not list(read_events(tmp_path / "events.jsonl"))


def test_without_waits_they_are_absent(tmp_path: Path) -> None:
    quiet = {"busy": 1, "idle": 1, "waited": None}
    (event,) = _host(tmp_path, quiet, quiet)
    assert "waited" not in event["values"]


def _event(**values: Any) -> list[Event]:
    base = {"seconds": 10.0, "cores": 2, "busy": 19.0, "idle": 1.0, "stolen": 0.0, "own": 18.95, "waited": 0.1}
    return [{"kind": "host", "t": 1.0, "values": {**base, **values}}]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"busy": 19.15},  # the harness's own parent: 1% of two cores
        {"busy": 19.0, "own": 10.0, "waited": 0.2},  # others had cores to spare
        {"busy": 19.0, "own": 18.9, "waited": 6.0},  # its own threads stood in each other's way
        {"seconds": 0.5, "busy": 1.0, "own": 0.2, "waited": 0.5},  # too short to tell
        {"busy": 19.0, "own": 10.0, "waited": 9.0, "quota": True},  # its limit held it up
        {"busy": 12.0, "own": 8.0, "idle": 8.0, "waited": None},
        {"stolen": 0.4},
        {"seconds": "NaN"},
    ],
)
def test_a_quiet_machine_is_not_disturbed(values: dict[str, Any]) -> None:
    events = _event(**values)
    if events[0]["values"]["waited"] is None:
        del events[0]["values"]["waited"]
    assert disturbed(events) == ()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"busy": 19.9, "own": 18.9, "waited": 0.92}, "other processes took 5% of the processor's cores"),
        ({"busy": 20.0, "own": 13.3, "waited": 6.7}, "other processes took 34% of the processor's cores"),
        ({"busy": 20.0, "own": 13.3, "idle": 0.0, "waited": None}, "other processes took 34%"),
        ({"stolen": 1.0}, "the hypervisor took 5% of the cores' time"),
    ],
)
def test_a_busy_machine_is_disturbed(values: dict[str, Any], said: str) -> None:
    events = _event(**values)
    if events[0]["values"]["waited"] is None:
        del events[0]["values"]["waited"]
    (reason,) = disturbed(events)
    assert reason.startswith(said)


def test_of_a_window_whose_length_is_not_known_no_shares_are_told() -> None:
    finding: Event = {"kind": "finding", "name": "clock_stepped_back", "step": 4, "t": 3.0}
    events = _event(busy=20.0, own=13.3, waited=6.7)
    assert disturbed(events)
    assert disturbed([*events, finding]) == ()


@given(
    own=st.floats(0, 1),
    others=st.floats(0, 1),
    waited=st.floats(0, 4),
    cores=st.integers(1, 256),
    seconds=st.floats(1, 1e4),
)
def test_others_disturb_when_they_are_many_and_in_the_way(
    own: float, others: float, waited: float, cores: int, seconds: float
) -> None:
    capacity = cores * seconds
    values = {"seconds": seconds, "cores": cores, "idle": 0.0, "busy": (own + others) * capacity, "own": own * capacity}
    found = disturbed(_event(**values, waited=waited * seconds))
    if others >= 0.031 and waited >= 0.031:
        assert found
    if others < 0.029 or waited < 0.029:
        assert not found


def test_the_family_is_what_this_process_started(tmp_path: Path) -> None:
    me, group = os.getpid(), os.getpgrp()
    processes = {me: (1, group), 910: (me, 910), 911: (910, 910), 920: (1, group), 930: (1, 930)}
    for pid, (parent, its_group) in processes.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a b) c) S {parent} {its_group} 1 0")
    assert family(tmp_path, {}) == [910, 911, 920]


def test_processes_that_train_together_are_not_others_to_each_other(tmp_path: Path) -> None:
    """A launcher starts each in a process group of its own."""
    me, launcher = os.getpid(), os.getppid()
    processes = {launcher: (1, 900), me: (launcher, 901), 910: (launcher, 910), 911: (910, 911), 930: (1, 930)}
    for pid, (parent, its_group) in processes.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (python) S {parent} {its_group} 1 0")
    assert family(tmp_path, {"WORLD_SIZE": "2"}) == sorted([launcher, 910, 911])
    assert family(tmp_path, {"WORLD_SIZE": "1"}) == []


@pytest.mark.parametrize(
    ("groups", "limited"),
    [
        ({"cpu.max": "max 100000"}, False),
        ({"cpu.max": "200000 100000"}, True),
        ({"user.slice/cpu.max": "200000 100000", "user.slice/job/cpu.max": "max 100000"}, True),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, False),
        ({"cpu/user.slice/cpu.cfs_quota_us": "50000", "cpu/user.slice/cpu.cfs_period_us": "100000"}, True),
        ({"other.slice/cpu.max": "200000 100000"}, False),
        ({}, False),
    ],
)
def test_a_quota_is_found_in_a_group_of_its_own_and_above(
    groups: dict[str, str], limited: bool, tmp_path: Path
) -> None:
    own = {"proc/self/cgroup": "3:cpu:/user.slice/job\n0::/user.slice/job\n"}
    for name, text in {**own, **{f"sys/fs/cgroup/{name}": text for name, text in groups.items()}}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert quota(tmp_path) is limited
    assert quota(tmp_path / "none") is False


def test_saving_within_training_is_not_of_the_window(tmp_path: Path) -> None:
    def at(busy: float, idle: float, waited: float) -> None:
        _proc(tmp_path / "proc", busy=busy, idle=idle, waited=waited)

    at(100, 50, 2.0)
    with Recorder(tmp_path / "events.jsonl") as recorder:
        load = HostLoad(recorder, proc=tmp_path / "proc", root=tmp_path / "none")
        load.phase_begin("save")  # nothing is measured yet
        load.phase_end("save")
        load.train_begin()
        load.step_end({"step": 1, "measured": False})
        at(110, 52, 2.1)
        load.phase_begin("save")
        at(200, 80, 9.1)  # the kernel writes, and others look as if they took the cores
        load.phase_end("save")
        at(220, 81, 9.2)
        load.phase_begin("eval")  # stays in
        load.phase_end("eval")
        load.train_end()
        load.phase_begin("save")
        load.phase_end("save")
    (event,) = read_events(tmp_path / "events.jsonl")
    values = event["values"]
    assert (values["busy"], values["idle"]) == pytest.approx((30, 3), abs=0.2)
    assert values["waited"] == pytest.approx(0.2)


def test_the_time_of_saving_is_taken_out_of_the_window_too(tmp_path: Path) -> None:
    _proc(tmp_path / "proc", busy=1, idle=1, waited=None)
    first = reading(tmp_path / "proc", ())
    since, until = replace(first, at=first.at + 1), replace(first, at=first.at + 5, busy=first.busy + 3)
    later = first.later(since, until)
    assert (later.at - first.at, later.busy - first.busy) == pytest.approx((4, 3))
    assert later.waits is None
