"""Several processes train one trial: tokens add up, times are the slowest's, and nobody waits because of measuring."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError
from harness.measure.facts import facts
from harness.measure.summarise import summarise
from harness.records.events import Event, encode
from harness.records.outcome import Outcome
from harness.records.ranks import merged, world_size
from harness.records.run_folder import Attempt, RunFolder, write_json
from harness.records.spec import Spec
from harness.worker.ranks import Rank, announce, join, of_all, own_device, rank_here
from tests.unit.measure.trained import MODEL, WORDS, labelled, ones, size

ROOT = Path(__file__).parents[3]


def _step(number: int, wall: float, real: int, **more: Any) -> Event:
    return {"t": 1.0 * number, "kind": "step", "step": number, "wall_s": wall, "real_tokens": real, **more}


def _of(*steps: Event, processes: int = 2) -> list[Event]:
    return [{"t": 0.0, "kind": "active", "values": {"world_size": processes}}, *steps]


def _steps(events: list[Event]) -> list[Event]:
    return [event for event in events if event["kind"] == "step"]


@pytest.mark.parametrize(
    "name", ["padded_tokens", "loss_tokens", "reference_tokens", "samples", "model_flops", "hardware_flops"]
)
def test_whatever_a_step_counts_adds_up_over_the_ranks_and_a_part_is_no_sum(name: str) -> None:
    one, other = (_of(_step(1, 1.0, 5, measured=True, **{name: count})) for count in (7, 4))
    (both,) = _steps(merged(one, [other]))
    assert both[name] == 11
    (part,) = _steps(merged(one, [_of(_step(1, 1.0, 5, measured=True))]))
    assert name not in part


def test_tokens_add_up_and_times_are_those_of_the_slowest_rank() -> None:
    """Not of the slowest in each step: ranks wait for each other, and a second lost in turn would count twice."""
    main = _of(_step(1, 2.0, 10, measured=True, data_s=0.5), _step(2, 1.0, 20, measured=True, data_s=0.1))
    other = _of(_step(1, 1.0, 3, measured=True, data_s=0.2), _step(2, 2.5, 4, measured=True, data_s=0.3))
    first, second = _steps(merged(main, [other]))
    assert (first["real_tokens"], second["real_tokens"]) == (13, 24)
    assert (first["wall_s"], second["wall_s"]) == (1.0, 2.5)
    assert (first["data_s"], second["data_s"]) == (0.2, 0.3)


def test_warm_up_does_not_decide_who_is_slowest() -> None:
    main = _of(_step(1, 9.0, 1, measured=False), _step(2, 1.0, 1, measured=True))
    other = _of(_step(1, 1.0, 1, measured=False), _step(2, 2.0, 1, measured=True))
    assert [step["wall_s"] for step in _steps(merged(main, [other]))] == [1.0, 2.0]


def test_a_step_that_one_rank_did_not_record_is_out_of_the_window() -> None:
    main = _of(_step(1, 1.0, 10, measured=True), _step(2, 1.0, 10, measured=True))
    first, second = _steps(merged(main, [_of(_step(1, 1.0, 5, measured=True))]))
    assert (first["real_tokens"], first["measured"], second["measured"]) == (15, True, False)
    assert not any(step["measured"] for step in _steps(merged(main, [])))  # the other rank left nothing


def test_a_sum_that_lacks_a_ranks_part_is_left_out() -> None:
    main = _of(_step(1, 1.0, 10, measured=True, model_flops=5))
    other = _of(_step(1, 1.0, 10, measured=True))
    (step,) = _steps(merged(main, [other]))
    assert step["real_tokens"] == 20
    assert "model_flops" not in step


def test_memory_and_findings_of_every_rank_are_told() -> None:
    memory = {"t": 1.0, "kind": "memory", "step": 1, "values": {"host_uss_peak": 7}}
    note = {"t": 1.0, "kind": "note", "level": "info", "text": "said by each"}
    found = merged(_of(note), [_of(memory, note)])
    assert [event["kind"] for event in found] == ["active", "note", "memory"]


def test_what_all_ranks_say_is_told_once_and_what_one_says_alone_too() -> None:
    both = {"t": 1.0, "kind": "finding", "name": "diverged", "step": 3, "level": "warning", "text": "loss became nan"}
    own = {"t": 1.0, "kind": "note", "level": "warning", "text": "the sampler of the device ended early (exit code 1)"}
    found = merged(_of(both), [_of({**both, "t": 1.2}), _of(own, {**both, "step": 4}), _of(own)])
    assert found[1:] == [both, own, {**both, "step": 4}]


def test_memory_that_ran_out_on_one_rank_and_its_largest_batch_are_facts() -> None:
    def batch(rows: int) -> Event:
        return {"t": 2.0, "kind": "batch", "rows": rows, "length": 8}

    short = {"t": 1.0, "kind": "oom", "phase": "forward", "values": {"device": "host"}}
    found = facts(merged(_of(batch(4)), [_of(short, batch(5)), _of(batch(3))]))
    assert found["oom"] == {"phase": "forward", "device": "host", "peaks": {}}
    assert found["largest_batch"] == {"rows": 5, "length": 8}


def test_times_of_another_rank_are_put_on_the_main_ones_clock() -> None:
    """It may begin seconds before: by its own clock the attempt would have taken longer than it did."""
    memory = {"t": 9.0, "kind": "memory", "step": 1, "values": {"host_uss": 7}}

    def begun(at: float) -> Event:
        return {"t": 0.0, "kind": "process", "origin": at}

    main, other = [begun(103.0), *_of({**memory, "t": 6.0})], [begun(100.0), *_of(memory, {**memory, "t": 2.0})]
    assert [event["t"] for event in merged(main, [other])[-2:]] == [6.0, 0.0]
    assert summarise(merged(main, [other]))["trial_seconds"] == 6.0


def test_a_step_without_its_number_harms_nothing() -> None:
    main = _of(_step(1, 1.0, 10, measured=True), {"kind": "step"})
    assert [step["measured"] for step in _steps(merged(main, [_of({"kind": "step"})]))] == [False, False]


def _ended(name: str, cause: str | None) -> Outcome:
    return Outcome(outcome=name, attempt=1, started_at="", ended_at="", duration_s=1.0, phase="train", cause=cause)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("own", "other", "told"),
    [
        (("crashed", "closed"), ("oom", "out of memory"), ("oom", "out of memory (process 2)")),
        (("interrupted", "SIGTERM"), ("diverged", "loss nan"), ("diverged", "loss nan (process 2)")),
        (("crashed", "closed"), ("crashed", "boom"), ("crashed", "closed; process 2: boom")),
        (("crashed", "boom"), ("crashed", "boom"), ("crashed", "boom")),
        (("interrupted", "SIGTERM"), ("interrupted", "SIGTERM"), ("interrupted", "SIGTERM")),
        (("oom", "out of memory"), ("crashed", "closed"), ("oom", "out of memory")),
        (("ok", None), ("crashed", "boom"), ("ok", None)),
    ],
)
def test_a_trial_ends_as_the_process_that_took_the_others_with_it(
    own: tuple[str, str], other: tuple[str, str], told: tuple[str, str], tmp_path: Path
) -> None:
    main = Attempt(tmp_path, 1)
    replace(main, rank=1).close(_ended("ok", None))
    replace(main, rank=2).close(_ended(*other))
    found = of_all(main, _ended(*own))
    assert (found.outcome, found.cause) == told


def test_the_peak_of_another_rank_is_put_in_the_phase_that_it_was_in() -> None:
    def rank(peak: int) -> list[Event]:
        values = {"device_allocated_peak": peak, "backward_allocated_peak": peak}
        return _of(
            {"t": 0.0, "kind": "phase", "name": "train", "edge": "start"},
            {"t": 1.0, "kind": "memory", "step": 1, "values": values},
            {"t": 2.0, "kind": "phase", "name": "train", "edge": "end"},
        )

    assert facts(merged(rank(7), [rank(5)]))["peak_phase"] == "backward"
    assert facts(merged(rank(5), [rank(7)]))["peak_phase"] == "backward"


def test_a_last_step_that_one_rank_did_not_record_is_no_warm_up() -> None:
    norms = [{"t": step, "kind": "log", "step": step, "values": {"grad_norm": 1.0 * step}} for step in (1, 2, 3)]
    main = _of(*(_step(step, 1.0, 10, measured=step > 1) for step in (1, 2, 3)))
    other = _of(*(_step(step, 1.0, 10, measured=step > 1) for step in (1, 2)))
    summary = summarise(merged([*main, *norms], [other]))
    assert summary["measured_steps"] == 1
    assert summary["max_grad_norm"] == 3.0


def test_one_process_is_left_as_it_is() -> None:
    alone = _of(_step(1, 1.0, 10, measured=True), processes=1)
    assert merged(alone, []) == alone
    assert world_size([]) == world_size(alone) == 1
    assert world_size([*_of(processes=4), {"t": 1.0, "kind": "active", "values": {"attention": "sdpa"}}]) == 4


def test_each_rank_has_files_of_its_own(tmp_path: Path) -> None:
    main, other = Attempt(tmp_path, 1), Attempt(tmp_path, 1, rank=3)
    assert (main.events.name, main.outcome_file.name) == ("events.jsonl", "outcome.json")
    assert (other.events.name, other.outcome_file.name) == ("events.rank3.jsonl", "outcome.rank3.json")
    for attempt, real in ((main, 10), (other, 5)):
        events = _of(_step(1, 1.0, real, measured=True))
        attempt.events.write_text("".join(map(encode, events)))
    assert _steps(main.readable_events())[0]["real_tokens"] == 15
    assert not _steps(other.all_events())[0]["measured"]  # a part is no figure of the trial
    other.events.write_text("{}\nnot json\n{}\n")
    with pytest.raises(ValueError, match="not a JSON object"):
        main.all_events()
    assert main.readable_events() == []


LAUNCH = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}


def test_the_launchers_variables_say_who_this_is() -> None:
    assert rank_here({}) == Rank(0, 1)
    assert rank_here(LAUNCH) == Rank(1, 2)
    assert own_device(LAUNCH) == 1
    assert own_device({"LOCAL_RANK": "1"}) is None


def test_processes_on_several_machines_are_refused() -> None:
    with pytest.raises(InputError, match="2 processes train, 1 of them on this machine") as caught:
        rank_here({**LAUNCH, "LOCAL_WORLD_SIZE": "1"})
    assert "torchrun" in str(caught.value)


def test_a_rank_joins_the_attempt_of_its_own_start_only(tmp_path: Path) -> None:
    folder, second = RunFolder(tmp_path), Rank(1, 2)
    attempt = folder.new_attempt()
    with pytest.raises(InputError, match="process 1 of 2 found no attempt to join"):
        join(folder, second, patience_s=0.0)
    announce(attempt, Rank(0, 2))
    assert join(folder, second, patience_s=0.0) == replace(attempt, rank=1)
    with pytest.raises(InputError):
        join(folder, Rank(1, 3), patience_s=0.0)
    stranger = json.loads((attempt.path / "ranks.json").read_text()) | {"launcher": 1}
    write_json(attempt.path / "ranks.json", stranger)
    with pytest.raises(InputError):
        join(folder, second, patience_s=0.0)


def _spec(folder: Path, method: str) -> Spec:
    dice = random.Random(7)

    def sentence(most: int) -> str:
        return " ".join(dice.choice(WORDS) for _ in range(dice.randint(1, most)))

    answers = ("completion",) if method == "sft" else ("chosen", "rejected")
    rows = [{"prompt": sentence(6), **{name: " " + sentence(5) for name in answers}} for _ in range(23)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train = {"num_train_epochs": 2, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    return Spec(
        suite="s",
        suite_file=str(folder / "s.yaml"),
        trial_id="t-0",
        cell_id="t",
        name="t",
        cell_name="t",
        kind="cell",
        levels={},
        seed=3,
        method=method,
        model={"shape": "tiny", "overrides": {**MODEL, "num_hidden_layers": 1}},
        data={"path": "rows.jsonl"},
        train={**train, "max_length": 64, "logging_steps": 1, "gradient_checkpointing": False},
        lora=None,
        start=None,
        warmup_steps=1,
        timeout_s=60.0,
        host_memory=None,
        retries=0,
        checkpoint="keep",
    )


def _launch(folder: RunFolder, function: str) -> subprocess.CompletedProcess[str]:
    """Two processes on this machine, as a user would start them."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    worker = ["-m", "harness.worker", str(folder.path), "--train", f"tests.unit.measure.rank_training:{function}"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*launcher, *worker], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=400
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_two_real_processes_count_what_their_data_loaders_gave(method: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "t-0")
    write_json(folder.spec_file, _spec(tmp_path, method).to_json())
    answer = _launch(folder, "train")
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert answer.stdout.count("attempt 1: ok") == 1
    (attempt,) = folder.attempts()
    outcome = attempt.outcome()
    assert outcome is not None
    batches = [json.loads((folder.path / f"batches.{rank}.json").read_text()) for rank in (0, 1)]
    assert [len(own) for own in batches] == [6, 6]  # 23 rows a pass: three batches of 4 for each, the last made up
    steps = _steps(attempt.all_events())
    assert len(steps) == 4  # of two micro-batches, then of one, twice
    for step, own in zip(steps, (slice(0, 2), slice(2, 3), slice(3, 5), slice(5, 6)), strict=True):
        both = [batch for rank in batches for batch in rank[own]]
        real = sum(ones(batch["attention_mask"]) for batch in both)
        assert step["real_tokens"] == real
        assert step["padded_tokens"] == sum(size(batch["input_ids"]) for batch in both)
        assert step["reference_tokens"] == (real if method == "dpo" else 0)
        if method == "sft":
            assert step["loss_tokens"] == sum(labelled(batch["labels"]) for batch in both)
            assert step["samples"] == sum(len(batch["input_ids"]) for batch in both)
    measured = steps[1:]
    assert outcome.summary["real_tokens"] == sum(step["real_tokens"] for step in measured)
    seconds = sum(step["wall_s"] for step in measured)
    assert outcome.summary["trial_seconds"] <= outcome.duration_s
    rate = outcome.summary["tokens_per_second"]
    assert rate == pytest.approx(outcome.summary["real_tokens"] / seconds)
    assert outcome.summary["tokens_per_second_per_device"] == pytest.approx(rate / 2)
    other = replace(attempt, rank=1).outcome()
    assert other is not None
    assert other.outcome == "ok"


@pytest.mark.slow
def test_a_rank_that_runs_out_of_memory_is_the_trials_outcome(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "t-0")
    write_json(folder.spec_file, _spec(tmp_path, "sft").to_json())
    assert _launch(folder, "runs_out").returncode != 0
    (attempt,) = folder.attempts()
    outcome = attempt.outcome()
    assert outcome is not None
    assert outcome.outcome == "oom"
    assert outcome.cause is not None
    assert outcome.cause.endswith("(process 1)")
    assert outcome.facts["oom"]["phase"] == "forward"


@pytest.mark.slow
def test_a_rank_that_dies_leaves_only_what_all_have_recorded(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "t-0")
    write_json(folder.spec_file, _spec(tmp_path, "sft").to_json())
    assert _launch(folder, "dies").returncode != 0
    (attempt,) = folder.attempts()
    outcome = attempt.outcome()
    assert outcome is not None
    assert outcome.outcome in ("interrupted", "crashed")
    written = {event["step"] for event in _steps(list(replace(attempt, rank=1).all_events()))}
    assert {step["step"] for step in _steps(attempt.all_events()) if step["measured"]} <= written
