"""Trials that something disturbed: run again when asked, told everywhere, and never in an undisturbed one's place."""

from __future__ import annotations

from typing import Any

from harness.execute import Behaviour, DebugEngine, status

Bench = Any  # tests/unit/execute/conftest.py


def test_only_disturbed_trials_run_again_and_only_when_asked(bench: Bench) -> None:
    bench.trial("calm")
    bench.trial("busy")
    script: dict[str, list[Behaviour]] = {"busy": ["disturbed", "ok"]}
    first = bench.run(DebugEngine(script=script))
    assert first["busy"].disturbed
    assert first["calm"].disturbed == ()
    engine = DebugEngine(script=script)
    bench.run(engine)
    bench.run(engine, retry="failed")
    assert engine.started == []
    again = bench.run(engine, retry="disturbed")
    assert engine.started == ["busy"]
    assert not again["busy"].disturbed
    bench.run(engine, retry="disturbed")
    assert engine.started == ["busy"]


def test_a_disturbed_trial_that_ran_out_of_memory_runs_again_too(bench: Bench) -> None:
    from dataclasses import replace

    bench.trial("a")
    bench.run(DebugEngine(script={"a": "oom"}))
    attempt = bench.folder("a").last_attempt()
    attempt.close(replace(attempt.outcome(), disturbed=("another process was on the device",)))
    engine = DebugEngine()
    assert bench.run(engine)["a"].outcome == "oom"
    assert bench.run(engine, retry="disturbed")["a"].outcome == "ok"


def test_an_undisturbed_attempt_counts_before_a_later_disturbed_one(bench: Bench) -> None:
    bench.trial("a")
    bench.run(DebugEngine(script={"a": "ok"}))
    bench.run(DebugEngine(script={"a": "disturbed"}), force=True)
    assert bench.folder("a").outcome().attempt == 1
    bench.run(DebugEngine(script={"a": "crash"}), force=True)
    assert bench.folder("a").outcome().attempt == 1
    bench.run(DebugEngine(script={"a": "ok"}), force=True)
    assert bench.folder("a").outcome().attempt == bench.folder("a").last_attempt().number


def test_a_disturbed_attempt_counts_before_none_and_before_a_bad_end(bench: Bench) -> None:
    bench.trial("a", retries=0)
    bench.run(DebugEngine(script={"a": "disturbed"}))
    bench.run(DebugEngine(script={"a": "crash"}), force=True)
    outcome = bench.folder("a").outcome()
    assert (outcome.outcome, outcome.attempt) == ("ok", 1)


def test_a_stage_that_is_measured_again_leaves_what_started_from_it(bench: Bench) -> None:
    bench.trial("base", kind="stage")
    bench.trial("dpo", needs="base", method="dpo")
    bench.run(DebugEngine(script={"base": "disturbed"}))
    engine = DebugEngine()
    bench.run(engine, retry="disturbed")
    assert engine.started == ["base"]


def test_status_counts_the_disturbed(bench: Bench) -> None:
    bench.trial("calm")
    bench.trial("busy")
    bench.run(DebugEngine(script={"busy": "disturbed"}))
    (found,) = status(bench.results)
    assert (found.outcomes, found.disturbed) == ({"ok": 2}, 1)
