"""Real worker processes, forked by a real nursery, with a rehearsal in place of training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.errors import FolderError, HeldError, InputError, Interrupted
from harness.execute import Limits, LocalEngine
from harness.execute.memory import OomKills
from harness.records.outcome import Outcome
from harness.records.progress import Live, Silent
from harness.records.run_folder import RunFolder
from harness.records.spec import Spec

Bench = Any  # tests/unit/execute/conftest.py


def local(**options: Any) -> LocalEngine:
    return LocalEngine(preload="none", train="harness.worker.rehearsal:train", **options)


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    """No test may leave a process behind."""
    yield
    deadline = time.monotonic() + 10
    while (left := psutil.Process().children(recursive=True)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == []


def rehearse(behaviour: str | list[str], **options: Any) -> dict[str, Any]:
    return {"behaviour": behaviour, **options}


@dataclass
class Doing(Silent):
    """Does something once, when a trial shows a step for the first time."""

    act: Callable[[Live], None] = lambda state: None
    seen: list[Live] = field(default_factory=list)

    def live(self, state: Live) -> None:
        first = state.step is not None and all(earlier.step is None for earlier in self.seen)
        self.seen.append(state)
        if first:
            self.act(state)


def test_trials_run_in_workers_of_one_nursery(bench: Bench) -> None:
    bench.trial("a", train=rehearse("ok", steps=6, step_s=0.05))
    bench.trial("b", train=rehearse("ok"))
    observer = Doing()
    engine = local()
    engine.warm(bench.specs["t-a"])
    nursery = engine.nursery_pid
    outcomes = bench.run(engine, observer=observer)
    assert {name: outcome.outcome for name, outcome in outcomes.items()} == {"a": "ok", "b": "ok"}
    assert nursery is not None
    assert not psutil.pid_exists(nursery)
    assert bench.folder("a").outcome() == outcomes["a"]
    steps = [state.step for state in observer.seen if state.trial.name == "a" and state.step]
    assert len(set(steps)) > 2, "figures are shown while the trial runs"
    assert observer.seen[-1].tokens_per_second == pytest.approx(10_000)


@pytest.mark.parametrize(
    ("behaviour", "outcome", "cause"),
    [
        ("crash", "crashed", "RuntimeError: rehearsed crash"),
        ("leave", "crashed", "SystemExit: a library called sys.exit"),
        ("exit", "crashed", "it ended with exit code 3 and no outcome; its last words: rehearsed exit"),
        ("die", "crashed", "killed by signal 9 (SIGKILL); its last words: rehearsed death"),
        ("memory", "oom", "host memory: rehearsed"),
        (
            "full_device",
            "oom",
            "out of device memory, and a library ended the worker: "
            "Error out of memory at line 74 in file /src/csrc/ops.cu",
        ),
    ],
)
def test_every_end_of_a_worker_is_an_outcome(bench: Bench, behaviour: str, outcome: str, cause: str) -> None:
    bench.trial("bad", train=rehearse(behaviour), retries=0)
    bench.trial("next", train=rehearse("ok"))
    outcomes = bench.run(local())
    assert (outcomes["bad"].outcome, outcomes["bad"].cause, outcomes["bad"].phase) == (outcome, cause, "train")
    assert outcomes["next"].outcome == "ok"


def test_the_last_words_of_a_killed_worker_hold_no_secret(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "rehearsed death")
    bench.trial("bad", train=rehearse("die"), retries=0)
    assert str(bench.run(local())["bad"].cause).endswith("its last words: [SOME_TOKEN redacted]")
    assert "rehearsed death" not in bench.folder("bad").attempts()[0].log.read_text()


def test_a_fault_is_told_with_its_signal_and_its_trace_is_in_the_log(bench: Bench) -> None:
    bench.trial("bad", train=rehearse("fault"), retries=0)
    assert "killed by signal 11 (SIGSEGV)" in str(bench.run(local())["bad"].cause)
    assert "Segmentation fault" in bench.folder("bad").attempts()[0].log.read_text()


def test_a_crash_is_repeated(bench: Bench) -> None:
    bench.trial("flaky", train=rehearse(["die", "ok"]), retries=1)
    assert bench.run(local())["flaky"].outcome == "ok"
    assert [attempt.outcome().outcome for attempt in bench.folder("flaky").attempts()] == ["crashed", "ok"]


@pytest.mark.parametrize(
    ("behaviour", "killed"), [("hang", False), ("swallow", False), ("deaf", True), ("helpers", False)]
)
def test_a_worker_beyond_its_time_is_ended_with_all_it_started(bench: Bench, behaviour: str, killed: bool) -> None:
    bench.trial("long", train=rehearse(behaviour), timeout_s=0.3)
    outcome = bench.run(local(), limits=Limits(poll_s=0.02, grace_s=0.3))["long"]
    assert outcome.outcome == "timeout"
    assert outcome.phase == "train"
    assert ("did not stop by itself" in str(outcome.cause)) is killed


def test_the_memory_limit_ends_a_worker(bench: Bench) -> None:
    bench.trial("greedy", train=rehearse("grow"), host_memory=40 * 2**20)
    bench.trial("modest", train=rehearse("ok", steps=20), host_memory=2**30)
    outcomes = bench.run(local(), limits=Limits(poll_s=0.02, memory_poll_s=0.05))
    assert outcomes["greedy"].outcome == "oom"
    assert "its limit is 40 MiB" in str(outcomes["greedy"].cause)
    assert outcomes["greedy"].summary["peak_host_memory"] > 40 * 2**20
    assert outcomes["greedy"].facts["peak_phase"] == outcomes["greedy"].phase  # it fell where it was ended for it
    assert outcomes["modest"].outcome == "ok"


class Rising(OomKills):
    """A kernel whose out-of-memory killer strikes between two looks."""

    counts = iter((3, 4))

    def count(self) -> int | None:
        return next(self.counts)


def test_a_worker_that_the_kernel_killed_for_memory_is_out_of_memory(bench: Bench) -> None:
    bench.trial("a", train=rehearse("die"))
    outcome = bench.run(local(), limits=Limits(poll_s=0.02, oom_kills=Rising()))["a"]
    assert (outcome.outcome, outcome.cause) == ("oom", "host memory: the kernel's out-of-memory killer ended it")
    assert len(bench.folder("a").attempts()) == 1


def test_a_killed_nursery_costs_one_attempt(bench: Bench) -> None:
    bench.trial("a", train=rehearse(["helpers", "ok"]))
    engine = local()
    observer = Doing(act=lambda state: os.kill(engine.nursery_pid or 0, signal.SIGKILL))
    assert bench.run(engine, observer=observer)["a"].outcome == "ok"
    first, second = (attempt.outcome() for attempt in bench.folder("a").attempts())
    assert (first.outcome, first.cause) == ("crashed", "the nursery died (signal 9)")
    assert second.outcome == "ok"


def test_a_nursery_that_dies_between_trials_is_replaced(bench: Bench) -> None:
    bench.trial("a", train=rehearse("ok"))
    bench.trial("b", train=rehearse("ok"))
    engine = local()

    @dataclass
    class Killing(Silent):
        def finished(self, trial: Any, outcome: Outcome, *, will_retry: bool) -> None:
            if trial.name == "a":
                os.kill(engine.nursery_pid or 0, signal.SIGKILL)
                time.sleep(0.05)

    outcomes = bench.run(engine, observer=Killing())
    assert {name: outcome.outcome for name, outcome in outcomes.items()} == {"a": "ok", "b": "ok"}
    assert len(bench.folder("b").attempts()) == 1


def test_one_interrupt_lets_the_worker_stop_cleanly(bench: Bench) -> None:
    bench.trial("a", train=rehearse("hang"))
    bench.trial("b", train=rehearse("ok"))
    with pytest.raises(Interrupted):
        bench.run(local(), observer=Doing(act=lambda state: signal.raise_signal(signal.SIGINT)))
    outcome = bench.folder("a").outcome()
    assert (outcome.outcome, outcome.cause) == ("interrupted", "stopped by the user (SIGINT)")
    assert bench.folder("b").attempts() == []


def test_a_second_interrupt_does_not_wait(bench: Bench) -> None:
    bench.trial("a", train=rehearse("deaf"))

    def twice(state: Live) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    began = time.monotonic()
    with pytest.raises(Interrupted):
        bench.run(local(), observer=Doing(act=twice), limits=Limits(poll_s=0.02, grace_s=60))
    assert time.monotonic() - began < 5
    outcome = bench.folder("a").outcome()
    assert outcome.outcome == "interrupted"
    assert "was killed" in outcome.cause


@pytest.fixture
def _sleeping_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "this_module_sleeps.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("_sleeping_module")
def test_an_interrupt_during_the_imports_ends_them(bench: Bench) -> None:
    bench.trial("a", train=rehearse("ok"))
    engine = LocalEngine(preload="this_module_sleeps", train="harness.worker.rehearsal:train")

    @dataclass
    class Early(Silent):
        pressed: bool = False

        def live(self, state: Live) -> None:
            if not self.pressed:
                self.pressed = True
                signal.raise_signal(signal.SIGINT)

    began = time.monotonic()
    with pytest.raises(Interrupted):
        bench.run(engine, observer=Early())
    assert time.monotonic() - began < 5
    assert bench.folder("a").outcome().outcome == "interrupted"


@pytest.mark.usefixtures("_sleeping_module")
def test_imports_without_end_are_given_up(bench: Bench) -> None:
    bench.trial("a", train=rehearse("ok"))
    engine = LocalEngine(preload="this_module_sleeps", import_limit_s=0.2)
    with pytest.raises(InputError, match=r"it took more than 0\.2 s"):
        bench.run(engine)


def test_a_training_stack_that_does_not_import_is_told_before_any_trial_is_blamed(bench: Bench) -> None:
    bench.trial("a", train=rehearse("ok"))
    with pytest.raises(InputError, match="No module named 'no_such_stack'") as caught:
        bench.run(LocalEngine(preload="no_such_stack"))
    assert caught.value.exit_code == 2
    assert bench.folder("a").outcome().outcome == "interrupted"
    assert bench.run(local())["a"].outcome == "ok"


def test_a_python_that_is_not_there_is_an_input_error(bench: Bench) -> None:
    bench.trial("a", train=rehearse("ok"))
    with pytest.raises(InputError, match="cannot start /no/such/python"):
        bench.run(replace(local(), python="/no/such/python"))


def test_a_full_disk_stops_the_suite_and_loses_nothing(bench: Bench) -> None:
    bench.trial("a", train=rehearse("ok"))
    bench.trial("b", train=rehearse(["full_disk", "ok"]), retries=3)
    with pytest.raises(FolderError, match="the disk is full") as caught:
        bench.run(local())
    assert caught.value.exit_code == 2
    outcome = bench.folder("b").outcome()
    assert outcome.outcome == "interrupted"
    assert "No space left on device" in outcome.cause
    outcomes = bench.run(local())
    assert {name: outcome.outcome for name, outcome in outcomes.items()} == {"a": "ok", "b": "ok"}
    assert len(bench.folder("a").attempts()) == 1


def test_an_attempt_in_another_terminal_is_not_disturbed(bench: Bench) -> None:
    """command.sh trains in the foreground; the suite must neither close that attempt nor train beside it."""
    bench.trial("a", train=rehearse(["ok", "hang", "ok"]))
    bench.run(local())
    folder: RunFolder = bench.folder("a")
    command = [sys.executable, "-m", "harness.worker", "--train", "harness.worker.rehearsal:train", str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as alone:
        wait_for(lambda: len(folder.attempts()) == 2 and folder.attempts()[1].events.exists())
        with pytest.raises(HeldError, match="is being trained by another process"):
            bench.run(local())
        alone.send_signal(signal.SIGINT)
        said, _ = alone.communicate()
    assert alone.returncode == 130
    assert "attempt 2: interrupted" in said
    assert bench.run(local())["a"].outcome == "ok"


def test_watching_costs_next_to_nothing(bench: Bench) -> None:
    bench.trial("a", train=rehearse("ok", steps=40, step_s=0.05))
    before = time.process_time()
    bench.run(local(), limits=Limits())
    assert time.process_time() - before < 0.1


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.mark.parametrize(("devices", "seen"), [(2, "GPU-0"), (1, None)])
def test_a_worker_sees_one_device(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, devices: int, seen: str | None
) -> None:
    """Left with two, Hugging Face's trainer would spread every batch over both."""
    script = tmp_path / "gpu.json"
    script.write_text(json.dumps({"devices": [{"uuid": f"GPU-{number}"} for number in range(devices)]}))
    monkeypatch.setenv("HARNESS_FAKE_NVML", str(script))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    bench.trial("a")
    assert _devices_of_the_nursery(local(), bench.specs["t-a"]) == seen
    restricted = local()
    restricted.restrict("GPU-1")
    assert _devices_of_the_nursery(restricted, bench.specs["t-a"]) == "GPU-1"


def _devices_of_the_nursery(engine: LocalEngine, spec: Spec) -> str | None:
    engine.warm(spec)
    try:
        assert engine.nursery_pid is not None
        process = psutil.Process(engine.nursery_pid)
        wait_for(lambda: bool(process.environ()))  # Linux shows it a moment after the program has begun
        found: str | None = process.environ().get("CUDA_VISIBLE_DEVICES")
    finally:
        engine.close()
    return found
