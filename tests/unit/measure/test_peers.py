"""Mistakes that published tools have made, each in a test that would catch it here.

A damaged store that is read as empty and overwritten: tests/unit/store/test_trouble.py. An adapter that is silently
ignored: tests of scoring. No verdict at zero variance, a seed of resampling that is ignored: tests of comparing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.execute.resume import close_abandoned
from harness.measure import Recorder, attach, summarise
from harness.measure.active import Active
from harness.measure.clock import StepClock
from harness.measure.fakes import FakeClock, FakeMethod, FakeStep, FakeTrainer
from harness.measure.peaks import listed, peak
from harness.measure.tokens import TokenCounter
from harness.records.events import Event, read_events
from harness.records.outcome import Outcome
from harness.records.run_folder import RunFolder, write_json
from harness.store import Store
from tests.unit.store.made_up import spec_of, write_folder

PEAK = 100e12  # FLOP/s


def _step(number: int, *, wall: float = 1.0, real: int = 100, padded: int = 100, samples: int = 8) -> Event:
    tokens = {"real_tokens": real, "padded_tokens": padded, "loss_tokens": real, "reference_tokens": 0}
    flops = {"model_flops": 40e12 * wall, "hardware_flops": 50e12 * wall}
    step: Event = {"t": number * wall, "kind": "step", "step": number, "measured": True, "wall_s": wall, "data_s": 0.0}
    return step | tokens | flops | {"samples": samples}


def _compute(**values: Any) -> Event:
    return {"t": 0.0, "kind": "compute", "values": values}


def test_the_volume_of_a_run_is_not_divided_by_one_step() -> None:
    """A peer tells 800 samples/s here, a hundred times the truth: all samples over the mean step."""
    found = summarise([_step(number) for number in range(1, 101)])
    assert found["samples_per_second"] == pytest.approx(8.0)
    assert found["tokens_per_second"] == pytest.approx(100.0)
    assert found["padded_tokens_per_second"] == pytest.approx(100.0)


@pytest.mark.slow
@pytest.mark.parametrize("accumulation", [1, 2, 4])
def test_accumulation_changes_the_step_and_no_rate(accumulation: int, tmp_path: Path) -> None:
    """Another divided its throughput by the accumulation, and would have to multiply it to be right by chance."""
    clock = FakeClock()
    batches = [FakeStep(real=10, padded=16, loss=5, load_s=0.1, train_s=0.4)] * 16
    trainer = FakeTrainer(steps=batches, accumulation=accumulation, sleep=clock.sleep)
    with Recorder(tmp_path / "events.jsonl", clock=clock) as recorder:
        attach(trainer, recorder, FakeMethod(), 0, [Active(recorder), StepClock(recorder), TokenCounter(recorder)])
        trainer.train()
    found = summarise(read_events(tmp_path / "events.jsonl"))
    assert found["measured_steps"] == 16 / accumulation
    assert found["step_seconds_p50"] == pytest.approx(0.5 * accumulation)
    assert found["tokens_per_second"] == pytest.approx(20.0)
    assert found["samples_per_second"] == pytest.approx(2.0)
    assert found["real_tokens"] == 160


def test_cumulative_counts_are_not_taken_for_those_of_a_step() -> None:
    """A trainer's own token counter grows all the while; over the time of one step it made 250% MFU."""
    events = [_compute(peak_flops_per_second=PEAK)]
    for number in range(1, 51):
        events += [
            _step(number),
            {"t": 1.0 * number, "kind": "log", "step": number, "values": {"num_tokens": 100 * number}},
        ]
    found = summarise(events)
    assert found["mfu"] == pytest.approx(0.4)
    assert found["hfu"] == pytest.approx(0.5)
    assert found["tokens_per_second"] == pytest.approx(100.0)


def test_all_ranks_work_is_not_measured_against_one_device() -> None:
    active: Event = {"t": 0.0, "kind": "active", "values": {"world_size": 4}}
    found = summarise([active, _compute(peak_flops_per_second=PEAK / 4), _step(1), _step(2)])
    assert found["mfu"] == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["NVIDIA H200X", "NVIDIA Wonder 9000", "", "H100"])
def test_an_unknown_device_has_no_utilization(name: str) -> None:
    """A fallback for unknown devices made 563% MFU; here FLOP/s stay, and what they are a share of is not made up."""
    assert listed(name) is None
    assert peak(name, "bfloat16") is None
    found = summarise([_compute(model_flops_per_token=1.0), _step(1), _step(2)])
    assert found["model_flops_per_second"] == pytest.approx(40e12)
    assert not {"mfu", "hfu"} & set(found)


def test_padding_is_not_throughput() -> None:
    """Published runs: 1480 s padded, 1137 s padding-free, and "tokens/s" that fell from 2407 to 2036 all the same."""
    real = 2036 * 1137
    padded = summarise([_step(1, wall=1480.0, real=real, padded=2407 * 1480)])
    free = summarise([_step(1, wall=1137.0, real=real, padded=real)])
    assert free["padded_tokens_per_second"] < padded["padded_tokens_per_second"]
    assert free["tokens_per_second"] / padded["tokens_per_second"] == pytest.approx(1480 / 1137)
    assert padded["padding_share"] == pytest.approx(0.35, abs=0.01)
    assert free["padding_share"] == 0.0


@pytest.mark.slow
def test_the_same_text_is_as_many_tokens_for_every_method(tmp_path: Path) -> None:
    """Trainers' own counters differ: one takes padding for tokens, one counts a pair, one counts nothing."""
    from datasets import Dataset

    from tests.unit.measure.trained import make_rows, train

    pairs = list(make_rows("preference"))
    halves = [{"prompt": pair["prompt"], "completion": pair[half]} for pair in pairs for half in ("chosen", "rejected")]
    once = {"num_train_epochs": 1, "eval_strategy": "no", "max_length": None}
    free = {**once, "padding_free": True}
    told = {
        "sft": train(tmp_path / "sft", "sft", "prompt_completion", once, rows=Dataset.from_list(halves)),
        "free": train(tmp_path / "free", "sft", "prompt_completion", free, rows=Dataset.from_list(halves)),
        "dpo": train(tmp_path / "dpo", "dpo", "preference", once),
        "lora": train(tmp_path / "lora", "dpo", "preference", once, lora=True),
        "orpo": train(tmp_path / "orpo", "orpo", "preference", {**once, "max_length": 64}),
    }
    tokens = {name: trained.sum("real_tokens") for name, trained in told.items()}
    assert len(set(tokens.values())) == 1, tokens
    assert told["dpo"].sum("reference_tokens") == tokens["dpo"]  # kept apart, in no throughput
    assert told["dpo"].sum("loss_tokens") == told["sft"].sum("loss_tokens")


@pytest.mark.slow
def test_the_parent_does_not_spin_while_a_trial_is_measured(tmp_path: Path) -> None:
    """A parent that polls without sleeping takes a core from the run it measures."""
    from harness.execute import LocalEngine, execute
    from harness.records.plan import Plan
    from harness.records.progress import Silent
    from harness.records.suite import Setup, Suite
    from tests.functional.rehearsed_suite import make_spec, make_trial

    trial = make_trial("t", None)
    suite = Suite(name="rehearsed", question="?", file=Path("rehearsed.yaml"), base=Setup())
    plan = Plan(suite=suite, cells=(trial.cell,), trials=(trial,))
    engine = LocalEngine(preload="none", train="harness.worker.rehearsal:train")
    began, used = time.monotonic(), time.process_time()
    execute(
        plan,
        {trial.id: make_spec(trial, {"steps": 40, "step_s": 0.1})},
        tmp_path / "results",
        engine=engine,
        observer=Silent(),
    )
    took, used = time.monotonic() - began, time.process_time() - used
    (outcome,) = [attempt.outcome() for attempt in RunFolder(tmp_path / "results" / "rehearsed" / "t").attempts()]
    assert outcome is not None
    assert outcome.outcome == "ok"
    assert outcome.duration_s >= 4.0
    assert used < 0.2 * took, f"{used:.2f} s of processor time in {took:.2f} s"


def test_results_of_another_environment_are_kept_beside_the_old(tmp_path: Path) -> None:
    """Keyed by trial alone, a new version's results overwrite the old one's; here attempts and environments add up."""
    folder = write_folder(tmp_path, spec_of())
    (first,) = folder.attempts()
    folder.environment_file.unlink()
    for version, environment in (("1.15", "aaaa"), ("1.16", "bbbb")):
        attempt = first if version == "1.15" else folder.new_attempt()
        folder.write_environment({"hash": environment, "packages": {"trl": version}})
        attempt.close(_outcome(attempt.number, environment, tokens=1000.0 * attempt.number))
    store = Store(path=tmp_path / "harness.duckdb")
    assert store.ingest([folder]).problems == ()
    told = store.query("SELECT attempt, environment FROM attempts ORDER BY attempt").rows
    assert [tuple(row) for row in told] == [(1, "aaaa"), (2, "bbbb")]
    figures = store.query("SELECT value FROM metrics WHERE metric = 'tokens_per_second' ORDER BY attempt").rows
    assert [row[0] for row in figures] == [1000.0, 2000.0]
    versions = "SELECT content->>'$.packages.trl' FROM environments ORDER BY environment"
    assert [row[0] for row in store.query(versions).rows] == ["1.15", "1.16"]
    assert len(store.query("SELECT * FROM trial_summary").rows) == 1


def test_an_environment_that_returns_is_kept_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for environment in ("aaaa", "bbbb", "aaaa"):
        folder.write_environment({"hash": environment})
    hashes = [json.loads(path.read_text())["hash"] for path in folder.environment_files()]
    assert hashes == ["aaaa", "bbbb"]


def _outcome(number: int, environment: str | None = None, *, tokens: float = 1.0) -> Outcome:
    return Outcome(
        outcome="ok",
        attempt=number,
        started_at="2026-01-01T00:00:00+00:00",
        ended_at="2026-01-01T00:01:00+00:00",
        duration_s=60.0,
        summary={"tokens_per_second": tokens},
        environment=environment,
    )


_WRITES = """
import sys
from pathlib import Path
from harness.records.run_folder import Attempt, write_json
attempt, count = Attempt(Path(sys.argv[1]), 1), 0
while True:
    count += 1
    write_json(attempt.outcome_file, {"count": count, "filler": "x" * 400_000, "end": count})
    print(count, flush=True)
"""


@pytest.mark.slow
def test_a_kill_never_tears_an_outcome(tmp_path: Path) -> None:
    """JSON that is written in place is torn by a kill, and the next reader starts from nothing."""
    for round_ in range(6):
        folder = tmp_path / str(round_)
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITES, str(folder)], stdout=subprocess.PIPE, env=dict(os.environ), text=True
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.003 * round_)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        value = json.loads((folder / "outcome.json").read_text())
        assert value["count"] == value["end"]


@pytest.mark.parametrize("torn", [b'{"outcome": "ok", "att', b"", b"[]", b'{"outcome": "ok"}', b"\x00" * 64])
def test_an_outcome_that_cannot_be_read_is_set_aside_before_another_is_written(torn: bytes, tmp_path: Path) -> None:
    """A parse error read as "nothing there yet" overwrites what a person could still have mended."""
    folder = RunFolder(tmp_path)
    attempt = folder.new_attempt()
    attempt.outcome_file.write_bytes(torn)
    assert attempt.outcome() is None
    assert close_abandoned(folder)
    assert (attempt.path / "outcome.damaged.json").read_bytes() == torn
    closed = attempt.outcome()
    assert closed is not None
    assert closed.outcome == "interrupted"
    assert closed.cause == "its outcome.json could not be read and is kept as outcome.damaged.json"
    assert not close_abandoned(folder)


def test_a_damaged_log_is_an_error_and_is_added_to_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    damaged = b'{"kind":"step"}\nnot an event\n{"kind":"step"}\n'
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"events\.jsonl:2"):
        list(read_events(path))
    with Recorder(path) as recorder:
        recorder.note("info", "more")
    assert path.read_bytes().startswith(damaged)


def test_a_damaged_log_gives_no_figures_rather_than_those_of_its_rest(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    attempt = folder.new_attempt()
    lines = [json.dumps(_step(number)) for number in range(1, 4)]
    attempt.events.write_text("\n".join([lines[0], "torn here", *lines[1:]]) + "\n")
    assert attempt.readable_events() == []
    close_abandoned(folder)
    closed = attempt.outcome()
    assert closed is not None
    assert "tokens_per_second" not in closed.summary
    write_json(folder.spec_file, {})
    assert attempt.events.read_text().splitlines()[1] == "torn here"
