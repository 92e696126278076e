"""Scoring beside the training, through the real command line: real workers, a fake training, a fake scoring child."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.records.events import read_events
from harness.records.run_folder import RunFolder, run_folders
from harness.records.score import Score
from harness.score.scorefiles import read_documents, read_score
from tests.functional.conftest import SUITE

Answer = subprocess.CompletedProcess[str]
Harness = Callable[..., Answer]

HERE = Path(__file__).parent
DRIVER = f"""
import sys
from contextlib import contextmanager
from dataclasses import replace
from harness import execute
from harness.__main__ import run
from harness.cli import run as command
from harness.score.backends import BACKENDS, Place

@contextmanager
def place(tell):
    yield Place(command=(sys.executable, {str(HERE.parent / "unit" / "score" / "fake_worker.py")!r}))

BACKENDS["hf"] = replace(BACKENDS["hf"], place=place)
command.engine_of = lambda name, script: execute.LocalEngine(preload="none", train="beside_training:train")
sys.exit(run(sys.argv[1:]))
"""
TWO = [{"uuid": "GPU-a"}, {"uuid": "GPU-b"}]


Devices = list[dict[str, str]]


def _start(
    folder: Path,
    devices: Devices,
    *arguments: str,
    orders: Any = None,
    seconds: float = 0.2,
    until_scored: bool = False,
) -> subprocess.Popen[str]:
    """`harness run` of the suite on a machine with these devices; `orders` are the fake child's, by trial."""
    (folder / "gpu.json").write_text(json.dumps({"devices": devices}))
    kept = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, "run", "tiny.yaml", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **kept,
            **({"UNTIL_SCORED": "1"} if until_scored else {}),
            "PYTHONPATH": str(HERE),
            "PYTHONUNBUFFERED": "1",
            "HARNESS_FAKE_NVML": str(folder / "gpu.json"),
            "ORDERS": json.dumps(orders or {}),
            "SECONDS": str(seconds),
        },
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, str]]:
    """The suite on two devices and on one: its folder and what was said. With two the second trial is trained until the
    first has its score."""
    found = {}
    for number in (2, 1):
        folder = tmp_path_factory.mktemp(f"devices{number}")
        (folder / "tiny.yaml").write_text(SUITE, encoding="utf-8")
        process = _start(folder, TWO[:number], orders={"floor": "is slow on arithmetic_mc"}, until_scored=number == 2)
        _, said = process.communicate(timeout=90)
        assert process.returncode == 0, said
        found[number] = folder, said
    return found


@contextmanager
def _until(process: subprocess.Popen[str], *words: str) -> Iterator[list[psutil.Process]]:
    """The processes it has started by the time that all the words were in lines of its progress, in any order."""
    left = set(words)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            left -= {word for word in left if word in line}
            if not left:
                break
        else:
            pytest.fail(f"it ended without ever saying {left}")
        started = psutil.Process(process.pid).children(recursive=True)
        yield started
    finally:
        process.kill()
        process.communicate()


def _gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=10)
    return not alive


def _trials(folder: Path) -> list[RunFolder]:
    """In the order in which they were trained."""

    def started(folder: RunFolder) -> str:
        outcome = folder.outcome()
        return outcome.started_at if outcome else ""

    return sorted(run_folders(folder / "results"), key=started)


def _score(folder: RunFolder) -> Score:
    found = read_score(folder, "arithmetic_mc", "hf")
    assert found is not None
    return found


def _trained_on(folder: RunFolder) -> set[str | None]:
    events = [event for attempt in folder.attempts() for event in read_events(attempt.events)]
    return {event["values"]["devices"] for event in events if event["kind"] == "active"}


def _notes(folder: RunFolder) -> list[str]:
    events = [event for attempt in folder.attempts() for event in read_events(attempt.events)]
    return [event["text"] for event in events if event["kind"] == "note"]


def test_with_two_devices_scoring_begins_before_the_training_has_ended(both: dict[int, tuple[Path, str]]) -> None:
    folder, said = both[2]
    assert "scoring goes on beside the training, on another device" in said
    assert said.index("scoring 1/1 floor") < said.index("[2/3] sft-learning_rate0.001-s0: ok"), said
    trials = _trials(folder)
    assert {device for one in trials for device in _trained_on(one)} == {"GPU-a"}
    seen = [(_score(one).environment or {})["devices"] for one in trials]
    assert seen[0] == "GPU-b"
    assert "GPU-a" not in seen
    assert _notes(trials[0]) == []
    (note,) = _notes(trials[1])
    assert note.startswith("scoring went on beside this attempt for ")
    assert not any(outcome.disturbed for one in trials if (outcome := one.outcome()))


def test_on_one_device_scoring_follows_and_comes_to_the_same(both: dict[int, tuple[Path, str]]) -> None:
    folder, said = both[1]
    assert said.index("scoring 1/3 floor") > said.index("[3/3] sft-learning_rate0.002-s0: ok"), said
    assert "beside the training" not in said
    trials = _trials(folder)
    assert [_notes(one) for one in trials] == [[], [], []]
    assert {device for one in trials for device in _trained_on(one)} == {None}
    assert _scored(folder) == _scored(both[2][0])
    assert len(_scored(folder)) == 3


def _scored(folder: Path) -> dict[str, Any]:
    """What every trial's score says, but for when and where it was made."""
    return {
        one.path.name: (
            replace(_score(one), scored_at="", duration_s=0.0, environment=None),
            read_documents(one, "arithmetic_mc", "hf"),
        )
        for one in _trials(folder)
    }


def test_what_cannot_be_scored_beside_the_training_is_told_once(
    suite: Path,
) -> None:
    process = _start(suite.parent, TWO, orders={"floor": "dies on arithmetic_mc"})
    _, said = process.communicate(timeout=60)
    assert process.returncode == 5, said
    assert said.count("not scored: floor arithmetic_mc: ") == 1, said
    assert sum((folder.scores / "arithmetic_mc.hf").is_dir() for folder in _trials(suite.parent)) == 2


def test_an_interrupt_ends_training_and_scoring_and_the_next_run_goes_on(suite: Path, harness: Harness) -> None:
    process = _start(suite.parent, TWO, orders={"floor": "hangs on arithmetic_mc"}, seconds=60)
    with _until(process, "[2/3]", "scoring 1/1") as started:
        assert any("fake_worker.py" in " ".join(one.cmdline()) for one in started)
        (one,) = json.loads(harness("status", "--json").stdout)
        assert one["doing"] == "scoring 1/1 floor arithmetic_mc"
        assert one["running"] is not None
        shown = harness("status").stdout
        assert "  scoring 1/1 floor arithmetic_mc" in shown
        assert one["running"]["name"] in shown
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 130, said
        assert "stopped by the user (SIGINT)" in said
        assert "Traceback" not in said
        assert _gone(started)
    assert not list(suite.parent.glob("results/tiny/*/scores/*/score.json"))
    assert not (suite.parent / "results/tiny/progress.json").exists()
    ended = [folder.outcome() for folder in _trials(suite.parent)]
    assert {one.outcome for one in ended if one is not None} == {"ok", "interrupted"}
    _, said = _start(suite.parent, TWO, "--force").communicate(timeout=60)  # what is scored now does not hang
    assert len(list(suite.parent.glob("results/tiny/*/scores/*/score.json"))) == 3, said


def test_a_killed_parent_leaves_neither_worker_nor_scoring_child(
    suite: Path,
) -> None:
    process = _start(suite.parent, TWO, orders={"floor": "hangs on arithmetic_mc"}, seconds=60)
    with _until(process, "[2/3]", "scoring 1/1") as started:
        patience = time.monotonic() + 20
        while len(started) < 3 and time.monotonic() < patience:  # nursery, worker, scoring child
            time.sleep(0.05)
            started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) == 3
        process.kill()
        process.wait()
        assert _gone(started)
