"""Running a plan: resume, retry, force, stages, limits and interrupts, by the debug engine."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.environments import Declaration
from harness.errors import FolderError, HeldError, InputError, Interrupted, StoreError
from harness.execute import DebugEngine, Engine, Handle, execute, holder, lock, session, status
from harness.records.outcome import Outcome
from harness.records.progress import Live, Silent
from harness.records.run_folder import Attempt, RunFolder, read_json
from harness.records.spec import Spec

Bench = Any  # tests/unit/execute/conftest.py


def names(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: outcome.outcome for name, outcome in outcomes.items()}


def test_runs_in_order_and_leaves_whole_run_folders(bench: Bench) -> None:
    bench.trial("base", kind="stage")
    bench.trial("dpo", needs="base", method="dpo")
    bench.trial("floor", kind="floor", method=None)
    engine = DebugEngine()
    outcomes = bench.run(engine)
    assert names(outcomes) == {"base": "ok", "dpo": "ok", "floor": "ok"}
    assert engine.started == ["base", "dpo", "floor"] == bench.changed
    folder = bench.folder("dpo")
    assert folder.spec() == bench.specs["t-dpo"].to_json()
    assert folder.outcome() == outcomes["dpo"]
    assert outcomes["dpo"].summary["final_reward_margin"] > outcomes["dpo"].summary["first_reward_margin"]
    assert os.access(folder.command_file, os.X_OK)
    assert "-m harness.worker" in folder.command_file.read_text()


def test_a_peak_between_two_looks_is_beyond_the_limit_too(bench: Bench) -> None:
    """Otherwise the end of a short trial would be a matter of luck."""
    bench.trial("roomy", host_memory=2**50)
    bench.trial("tight", host_memory=2**10)
    outcomes = bench.run()
    assert names(outcomes) == {"roomy": "ok", "tight": "oom"}
    assert outcomes["tight"] == bench.folder("tight").outcome()
    assert "its limit is 1 KiB (limits.host_memory); so briefly that it trained" in str(outcomes["tight"].cause)
    assert bench.run() == outcomes, "and stays so"


def test_running_again_trains_nothing_twice(bench: Bench) -> None:
    bench.trial("a")
    bench.trial("b")
    first = bench.run()
    engine, observer = DebugEngine(), Silent()
    assert bench.run(engine, observer=observer) == first
    assert engine.started == []
    assert bench.changed == []
    assert set(observer.told[0][1][1]) == {"t-a", "t-b"}


def test_a_trial_added_later_is_all_that_runs(bench: Bench) -> None:
    bench.trial("a")
    bench.run()
    bench.trial("b")
    engine = DebugEngine()
    bench.run(engine)
    assert engine.started == ["b"]


@pytest.mark.parametrize("behaviour", ["oom", "diverge", "crash"])
def test_bad_ends_are_kept_and_tried_again_only_when_asked(bench: Bench, behaviour: Any) -> None:
    bench.trial("bad", retries=0)
    bench.trial("good")
    assert names(bench.run(DebugEngine({"bad": behaviour})))["bad"] in ("oom", "diverged", "crashed")
    again = DebugEngine()
    assert names(bench.run(again))["bad"] != "ok"
    assert again.started == []
    retried = DebugEngine()
    assert names(bench.run(retried, retry="failed")) == {"bad": "ok", "good": "ok"}
    assert retried.started == ["bad"]
    assert [attempt.number for attempt in bench.folder("bad").attempts()] == [1, 2]


def test_force_runs_all_again_and_keeps_old_attempts(bench: Bench) -> None:
    bench.trial("a")
    bench.trial("b")
    bench.run()
    engine = DebugEngine()
    assert names(bench.run(engine, force=True)) == {"a": "ok", "b": "ok"}
    assert engine.started == ["a", "b"]
    assert [attempt.outcome() is not None for attempt in bench.folder("a").attempts()] == [True, True]


def test_what_is_certain_to_end_so_again_is_not_repeated(bench: Bench) -> None:
    bench.trial("broken", retries=3)
    engine = DebugEngine({"broken": ["refuse", "ok"]})
    assert names(bench.run(engine)) == {"broken": "crashed"}
    assert engine.started == ["broken"]


def test_only_crashes_are_repeated_and_only_so_often(bench: Bench) -> None:
    bench.trial("flaky", retries=2)
    bench.trial("broken", retries=1)
    bench.trial("greedy", retries=3)
    engine, observer = DebugEngine({"flaky": ["die", "crash", "ok"], "broken": "crash", "greedy": "oom"}), Silent()
    assert names(bench.run(engine, observer=observer)) == {"flaky": "ok", "broken": "crashed", "greedy": "oom"}
    assert engine.started == ["flaky"] * 3 + ["broken"] * 2 + ["greedy"]
    ends = [what for kind, what in observer.told if kind == "finished"]
    assert ends == [
        ("flaky", "crashed", True),
        ("flaky", "crashed", True),
        ("flaky", "ok", False),
        ("broken", "crashed", True),
        ("broken", "crashed", False),
        ("greedy", "oom", False),
    ]
    assert bench.changed == ["flaky", "broken", "greedy"]


def test_a_worker_that_dies_without_a_word_is_told_by_its_signal(bench: Bench) -> None:
    bench.trial("a", retries=0)
    outcome = bench.run(DebugEngine({"a": "die"}))["a"]
    assert outcome.outcome == "crashed"
    assert outcome.phase == "train"
    assert outcome.cause is not None
    assert "killed by signal 9 (SIGKILL)" in outcome.cause
    assert "about to be killed" in outcome.cause
    assert outcome.summary["measured_steps"] == 2
    environment = read_json(bench.folder("a").environment_file)
    assert environment is not None
    assert outcome.environment == environment["hash"]
    assert environment["engine"] == "debug"


def test_an_earlier_attempt_s_environment_is_not_taken_for_this_one_s(bench: Bench) -> None:
    bench.trial("a")
    bench.run()
    old = bench.folder("a").environment_file
    os.utime(old, (0, 0))
    (attempt := bench.folder("a").new_attempt()).log.write_text("killed before it wrote anything")
    bench.run()
    closed = attempt.outcome()
    assert closed is not None
    assert (closed.outcome, closed.environment) == ("interrupted", None)


def test_dependants_of_a_failed_stage_are_skipped_and_say_why(bench: Bench) -> None:
    bench.trial("base", kind="stage")
    bench.trial("middle", kind="stage", needs="base")
    bench.trial("leaf", needs="middle")
    bench.trial("free")
    script = {"base": "oom"}
    outcomes = bench.run(DebugEngine(script))  # type: ignore[arg-type]
    assert names(outcomes) == {"base": "oom", "middle": "skipped", "leaf": "skipped", "free": "ok"}
    assert outcomes["middle"].cause == f"stage base ended oom: {outcomes['base'].cause}"
    assert str(outcomes["leaf"].cause).startswith("stage middle ended skipped: stage base ended oom")
    assert bench.folder("leaf").outcome() == outcomes["leaf"]
    assert bench.folder("leaf").spec() is not None
    bench.run(DebugEngine())
    assert len(bench.folder("leaf").attempts()) == 1, "the same reason is recorded once"
    assert names(bench.run(DebugEngine(), retry="failed")) == dict.fromkeys(["base", "middle", "leaf", "free"], "ok")


def test_a_stage_outside_the_selection_counts_by_its_folder(bench: Bench) -> None:
    bench.trial("base", kind="stage")
    bench.trial("leaf", needs="base")
    stage = bench.trials.pop(0)
    assert bench.run()["leaf"].cause == "stage t-base has not been trained"
    bench.trials.insert(0, stage)
    leaf = bench.trials.pop(1)
    bench.run()
    bench.trials[:] = [leaf]
    assert names(bench.run()) == {"leaf": "ok"}


def test_a_stage_is_trained_again_only_when_its_lost_checkpoint_is_needed(bench: Bench) -> None:
    bench.trial("base", kind="stage")
    bench.trial("leaf", needs="base")
    bench.run()
    remove(bench.folder("base").checkpoint)
    engine, observer = DebugEngine(), Silent()
    bench.run(engine, observer=observer)
    assert engine.started == []
    assert any(kind == "message" and "base is gone" in what for kind, what in observer.told)
    bench.trial("new", needs="base")
    again = DebugEngine()
    assert names(bench.run(again)) == {"base": "ok", "leaf": "ok", "new": "ok"}
    assert again.started == ["base", "new"]


def test_a_trial_beyond_its_time_is_stopped_and_recorded(bench: Bench) -> None:
    bench.trial("slow", timeout_s=0.1, retries=3)
    bench.trial("next")
    outcomes = bench.run(DebugEngine({"slow": "hang"}))
    assert names(outcomes) == {"slow": "timeout", "next": "ok"}
    assert outcomes["slow"].cause == "it ran longer than its limit of 0.1 s (limits.timeout)"
    assert outcomes["slow"].phase == "train"
    assert len(bench.folder("slow").attempts()) == 1


@dataclass
class Interrupting(Silent):
    """Presses Ctrl-C once a trial has shown some figures."""

    number: signal.Signals = signal.SIGINT
    presses: int = 1
    trial: str = "b"

    def live(self, state: Live) -> None:
        if state.trial.name == self.trial and self.presses:
            self.presses -= 1
            signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_interrupt_stops_cleanly_and_the_suite_resumes(bench: Bench, number: signal.Signals) -> None:
    for name in "abc":
        bench.trial(name)
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught:
        bench.run(DebugEngine({"b": "hang"}), observer=Interrupting(told=[], number=number))
    assert caught.value.exit_code == 130
    assert signal.getsignal(number) is before
    outcome = bench.folder("b").outcome()
    assert outcome is not None
    assert (outcome.outcome, outcome.cause) == ("interrupted", f"stopped by the user ({number.name})")
    assert bench.folder("c").attempts() == []
    assert bench.changed == ["a", "b"]
    assert holder(bench.results, "bench") is None
    engine = DebugEngine()
    assert names(bench.run(engine)) == {"a": "ok", "b": "ok", "c": "ok"}
    assert engine.started == ["b", "c"]


def test_an_attempt_that_nobody_closed_is_closed_as_interrupted_and_run_again(bench: Bench) -> None:
    bench.trial("a")
    attempt = bench.folder("a").new_attempt()
    attempt.events.write_text('{"t":1.5,"kind":"phase","name":"model","edge":"start"}\n{"t":2,"ki')
    engine = DebugEngine()
    assert names(bench.run(engine)) == {"a": "ok"}
    closed = attempt.outcome()
    assert closed is not None
    assert (closed.outcome, closed.phase, closed.duration_s) == ("interrupted", "model", 1.5)
    assert closed.cause == "whoever ran it was killed before it ended"
    assert engine.started == ["a"]
    assert bench.folder("a").attempts()[-1].number == 2


def test_a_damaged_outcome_counts_as_none(bench: Bench) -> None:
    bench.trial("a")
    bench.run()
    bench.folder("a").attempts()[0].outcome_file.write_text('{"outcome": "o')
    engine = DebugEngine()
    assert names(bench.run(engine)) == {"a": "ok"}
    assert engine.started == ["a"]


def test_a_second_run_is_told_who_holds_the_suite(bench: Bench) -> None:
    bench.trial("a")
    with lock.hold(bench.results, "bench"):
        with pytest.raises(HeldError) as caught:
            bench.run()
        assert f"process {os.getpid()} on" in str(caught.value)
    assert bench.folder("a").attempts() == []
    assert names(bench.run()) == {"a": "ok"}


def readonly(tmp_path: Path) -> Path:
    return Path("/proc/harness-results")


def a_file(tmp_path: Path) -> Path:
    path = tmp_path / "results"
    path.write_text("not a folder")
    return path


@pytest.mark.parametrize("place", [readonly, a_file])
def test_results_that_cannot_be_written_stop_everything_before_it_starts(
    tmp_path: Path, make_bench: Callable[[Path], Bench], place: Callable[[Path], Path]
) -> None:
    results = place(tmp_path)
    bench = make_bench(results)
    bench.trial("a")
    engine = DebugEngine()
    with pytest.raises(FolderError, match=str(results)) as caught:
        bench.run(engine)
    assert caught.value.exit_code == 2
    assert engine.started == []


@dataclass
class Unusable:
    """An engine that cannot run anything."""

    closed: int = 0

    def prepare(self, declarations: Iterable[Declaration], tell: Callable[[str], None]) -> None:
        pass

    def obstacle(self, spec: Spec) -> str | None:
        return None

    def warm(self, spec: Spec) -> None:
        pass

    def restrict(self, devices: str) -> None:
        pass

    def start(self, spec: Spec, folder: RunFolder, attempt: Attempt) -> Handle:
        raise InputError.of("the training stack cannot be imported", why="No module named 'trl'")

    def close(self) -> None:
        self.closed += 1


def test_an_engine_that_cannot_run_blames_no_trial(bench: Bench) -> None:
    bench.trial("a")
    engine: Engine = Unusable()
    with pytest.raises(InputError, match="cannot be imported"):
        bench.run(engine)
    assert isinstance(engine, Unusable)
    assert engine.closed == 1
    outcome = bench.folder("a").outcome()
    assert outcome is not None
    assert outcome.outcome == "interrupted", "the trial runs again once the environment is mended"
    assert outcome.cause is not None
    assert "No module named 'trl'" in outcome.cause


def test_an_error_of_who_watches_leaves_the_suite_resumable(bench: Bench) -> None:
    bench.trial("a")

    class Broken(Silent):
        def live(self, state: Live) -> None:
            raise RuntimeError("terminal gone")

    with pytest.raises(RuntimeError, match="terminal gone"):
        bench.run(observer=Broken())
    assert holder(bench.results, "bench") is None
    assert names(bench.run()) == {"a": "ok"}


def test_an_error_of_the_store_ends_the_run_and_the_finished_trial_stays_finished(bench: Bench) -> None:
    bench.trial("a")
    bench.trial("b")

    def locked(folder: RunFolder) -> None:
        raise StoreError.of("the database is locked")

    with pytest.raises(StoreError, match="locked"):
        execute(bench.plan, bench.specs, bench.results, engine=DebugEngine(), observer=Silent(), on_finished=locked)
    engine = DebugEngine()
    assert names(bench.run(engine)) == {"a": "ok", "b": "ok"}
    assert engine.started == ["b"]


def test_a_run_joins_the_session_that_holds_the_suite(bench: Bench) -> None:
    bench.trial("a")
    with session(bench.results, "bench") as held:
        assert names(bench.run(within=held)) == {"a": "ok"}
        assert holder(bench.results, "bench") is not None, "the suite is still held: it is scored next"
        with pytest.raises(HeldError):
            bench.run()
    assert holder(bench.results, "bench") is None


def test_status_of_a_suite_that_is_being_scored_says_so(bench: Bench) -> None:
    bench.trial("a")
    bench.run()
    bench.folder("a").new_attempt()  # left by a run that was killed
    with session(bench.results, "bench") as held:
        held.doing("scoring 1/2 a arithmetic_mc")
        (one,) = status(bench.results)
        assert (one.doing, one.running, one.outcomes) == ("scoring 1/2 a arithmetic_mc", None, {"ok": 1})
    (one,) = status(bench.results)
    assert one.doing is None


@pytest.mark.parametrize("damage", ["garbage", "{}", '{"trial_id": "t-other"}', None])
def test_a_damaged_spec_is_written_anew_and_what_is_finished_stays(bench: Bench, damage: str | None) -> None:
    bench.trial("a")
    bench.trial("b")
    first = bench.run()
    spec = bench.folder("a").spec_file
    spec.unlink() if damage is None else spec.write_text(damage)
    engine, observer = DebugEngine(), Silent()
    assert bench.run(engine, observer=observer) == first
    assert engine.started == []
    assert bench.folder("a").spec() == bench.specs["t-a"].to_json()
    assert bench.changed == ["a"]
    assert [text for kind, text in observer.told if kind == "message"] == [
        "spec.json of a was damaged and is written anew; its results stand"
    ]
    bench.run(observer=(again := Silent()))
    assert [kind for kind, _ in again.told] == ["planned"]


def remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_what_was_killed_from_outside_runs_again_without_being_asked_to(bench: Bench) -> None:
    bench.trial("killed", retries=0)
    bench.trial("broken", retries=0)
    first = bench.run(DebugEngine({"killed": "die", "broken": "crash"}))
    assert (first["killed"].killed, first["broken"].killed) == (True, False)
    assert names(bench.run(DebugEngine())) == {"killed": "ok", "broken": "crashed"}


def test_attempts_of_one_run_share_its_id_and_those_of_another_do_not(bench: Bench) -> None:
    bench.trial("a")
    bench.trial("b")
    bench.run()
    bench.run(force=True)
    of_a, of_b = ([attempt.run() for attempt in bench.folder(name).attempts()] for name in ("a", "b"))
    assert of_a == of_b
    assert None not in of_a
    assert len(set(of_a)) == 2


def test_a_skip_is_told_once_but_anew_by_every_forced_run(bench: Bench) -> None:
    bench.trial("base", kind="stage")
    bench.trial("dpo", needs="base", method="dpo")
    for force in (False, False, True, True):
        bench.run(DebugEngine(script={"base": ["oom"]}), force=force)
    assert [attempt.outcome().outcome for attempt in bench.folder("dpo").attempts()] == ["skipped"] * 3
