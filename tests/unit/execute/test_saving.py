"""Weights saved on the way through a run: of one attempt, whole, and gone with the attempts that were not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.execute import DebugEngine
from harness.records.progress import Silent
from tests.unit.execute.conftest import Bench


def _left(bench: Bench) -> list[str]:
    return sorted(path.name for path in bench.folder("a").path.glob("checkpoint*"))


def test_they_lie_beside_those_of_the_end_and_have_hashes_of_their_own(bench: Bench) -> None:
    bench.trial("a", save_every=3)
    outcome = bench.run()["a"]
    run = bench.folder("a")
    assert [step for step, _ in run.checkpoints()] == [3, 6]
    assert list(run.step_hashes()) == [3, 6]
    assert len({*run.step_hashes().values(), outcome.weights_hash}) == 3
    assert all((folder / "debug.json").is_file() for _, folder in run.checkpoints())
    run.drop_checkpoint()
    assert (_left(bench), list(run.step_hashes())) == ([], [3, 6])


@pytest.mark.parametrize("end", ["crash", "die", "oom", "diverge"])
def test_a_failed_attempt_leaves_none_and_takes_none(bench: Bench, end: str) -> None:
    bench.trial("a", save_every=2, retries=0)
    failed = bench.run(DebugEngine({"a": end}))["a"]  # type: ignore[dict-item]
    assert (failed.outcome == "ok", failed.step_hashes, _left(bench)) == (False, {}, [])
    bench.run(retry="failed")
    first = bench.folder("a").step_hashes()
    bench.specs["t-a"] = replace(bench.specs["t-a"], save_every=1)
    bench.run(DebugEngine({"a": end}), force=True)  # type: ignore[dict-item]
    assert [step for step, _ in bench.folder("a").checkpoints()] == [2, 4, 6]
    assert bench.folder("a").step_hashes() == first
    bench.run(force=True)
    assert [step for step, _ in bench.folder("a").checkpoints()] == [1, 2, 3, 4, 5, 6, 7]


def test_what_a_killed_run_left_half_written_goes_when_its_attempt_is_closed(bench: Bench) -> None:
    bench.trial("a", save_every=2)
    bench.run()
    run = bench.folder("a")
    run.new_attempt()
    run.unpublished().checkpoint_at(2).mkdir(parents=True)
    bench.run()
    assert [attempt.outcome().outcome for attempt in run.attempts()] == ["ok", "interrupted"]  # type: ignore[union-attr]
    assert _left(bench) == ["checkpoint", "checkpoints"]


def test_asking_for_other_steps_later_trains_nothing_and_says_so(bench: Bench) -> None:
    bench.trial("a", save_every=3)
    bench.run()
    assert _said(bench) == []
    bench.specs["t-a"] = replace(bench.specs["t-a"], save_every=2)
    (said,) = _said(bench)
    assert len(bench.folder("a").attempts()) == 1
    assert "every 2 steps: of steps on the way it has 3, 6 (`--only a --force`" in said
    bench.specs["t-a"] = replace(bench.specs["t-a"], save_every=None)
    assert _said(bench) == []


def _said(bench: Bench) -> list[str]:
    """The messages of another run."""
    observer = Silent()
    bench.run(observer=observer)
    return [what for kind, what in observer.told if kind == "message"]
