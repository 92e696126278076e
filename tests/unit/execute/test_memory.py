"""Host memory of a worker, and the kernel's out-of-memory counters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.execute.memory import OomKills, unique_memory


def test_what_a_process_holds_alone_grows_with_it() -> None:
    before = unique_memory(os.getpid())
    held = bytearray(os.urandom(1)) * (32 * 2**20)
    after = unique_memory(os.getpid())
    assert before is not None
    assert after is not None
    assert after - before > 30 * 2**20
    assert len(held) == 32 * 2**20


def test_what_lies_in_swap_is_held_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / str(os.getpid()) / "smaps_rollup", "Swap: 9437184 kB\nSwapPss: 9437184 kB\n")
    held, resident = unique_memory(os.getpid(), tmp_path), unique_memory(os.getpid(), tmp_path / "nothing")
    assert held is not None
    assert resident is not None
    assert held - resident > 8 * 2**30  # the process itself grows and shrinks a little meanwhile


def test_a_process_that_has_ended_holds_nothing() -> None:
    assert unique_memory(2**22 - 1) is None


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("groups", "counter", "text"),
    [
        ("0::/user/run", "user/run/memory.events", "low 0\noom 9\noom_kill 4\noom_group_kill 0\n"),
        ("0::/", "memory.events", "oom 9\noom_kill 4\n"),
        ("4:memory:/box/7\n0::/", "memory/box/7/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"),
        ("4:cpu,memory:/not/mounted", "memory/memory.oom_control", "oom_kill 4\n"),
    ],
)
def test_the_count_of_this_control_group_goes_first(tmp_path: Path, groups: str, counter: str, text: str) -> None:
    write(tmp_path / "proc/self/cgroup", groups + "\n")
    write(tmp_path / "proc/vmstat", "oom_kill 77\n")
    write(tmp_path / "cgroup" / counter, text)
    assert OomKills(tmp_path / "cgroup", tmp_path / "proc").count() == 4


def test_the_machine_s_count_is_next_and_then_nothing_is_known(tmp_path: Path) -> None:
    kills = OomKills(tmp_path / "cgroup", tmp_path / "proc")
    assert kills.count() is None
    write(tmp_path / "proc/vmstat", "nr_free_pages 5\noom_kill 7\n")
    assert kills.count() == 7
