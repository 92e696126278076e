"""The processors of a process whose main thread is tied to one of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.measure import host
from harness.measure.load import reading
from harness.measure.processors import usable


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> Iterator[frozenset[int]]:
    """All processors; the main thread is tied to the first of them, as OpenMP does it."""
    for name in ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"):
        monkeypatch.delenv(name, raising=False)
    every = os.sched_getaffinity(0)
    if len(every) < 2:
        pytest.skip("there is one processor")
    os.sched_setaffinity(0, {min(every)})
    try:
        yield frozenset(every)
    finally:
        os.sched_setaffinity(0, every)


def test_a_binding_of_threads_takes_no_processor_away(
    bound: frozenset[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OMP_PROC_BIND", "true")
    assert usable() == bound
    assert host.cpu()["usable"] == len(bound)
    (tmp_path / "stat").write_text("".join(f"cpu{number} 100 0 0 0 0 0 0 0\n" for number in sorted(bound)))
    assert reading(tmp_path, ()).cores == len(bound)


def test_without_a_binding_those_left_are_all_there_are(bound: frozenset[int]) -> None:
    assert usable() == {min(bound)}
    assert host.cpu()["usable"] == 1
