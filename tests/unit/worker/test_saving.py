"""Weights saved on the way: what lies where, of which attempt, and that training is the same with and without them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.measure.facts import facts
from harness.methods import METHODS
from harness.models import weights_hash
from harness.records.events import Event, read_events
from harness.records.outcome import Outcome
from harness.records.run_folder import RunFolder, write_json
from harness.records.spec import Spec
from harness.worker.config import resolve
from tests.unit.worker.made import spec_of

TINY = {"shape": "tiny", "overrides": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}}
TRAIN = {
    "max_steps": 6,
    "per_device_train_batch_size": 4,
    "max_length": 32,
    "learning_rate": 1e-2,
    "lr_scheduler_type": "constant",  # so that a shorter training is the beginning of a longer one
    "logging_steps": 1,
    "gradient_checkpointing": False,
}
LORA = {"r": 2, "lora_dropout": 0.2}


def _spec(**changes: Any) -> Spec:
    plain = spec_of(TINY, TRAIN, {"source": "arithmetic", "rows": 40}, seed=3)
    return replace(plain, **changes)


def _run(folder: Path, spec: Spec) -> Outcome:
    from harness.worker.trial import run_trial

    run = RunFolder(folder)
    write_json(run.spec_file, spec.to_json())
    attempt = run.new_attempt()
    outcome = run_trial(run, attempt)
    attempt.close(outcome)
    assert _tidy(run)
    return outcome


def _tidy(run: RunFolder) -> bool:
    """Nothing is left of what the trainer or the harness writes meanwhile."""
    names = {path.name for path in run.path.rglob("*") if path.is_dir()}
    scratch = (run.attempts()[-1].path / "scratch").exists()
    return not scratch and not any(name.startswith("checkpoint-") or name.endswith(".tmp") for name in names)


def _events(run: RunFolder) -> list[Event]:
    return list(read_events(run.attempts()[-1].events))


def _losses(run: RunFolder) -> list[float]:
    return [event["values"]["loss"] for event in _events(run) if event["kind"] == "log" and "loss" in event["values"]]


# What the trainer is told


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (None, {"save_strategy": "no"}),
        ("epoch", {"save_strategy": "epoch"}),
        (50, {"save_strategy": "steps", "save_steps": 50}),
        (0.25, {"save_strategy": "steps", "save_steps": 0.25}),
    ],
)
def test_the_trainer_is_told_what_the_spec_says_whatever_train_says(
    every: float | str | None, expected: Mapping[str, Any]
) -> None:
    spec = _spec(save_every=every, train={**TRAIN, "save_strategy": "steps"})
    told = resolve(spec, METHODS["sft"], scratch=Path("/x"), cuda=False, eval_rows=0).kwargs
    assert {name: told[name] for name in ("save_strategy", "save_steps") if name in told} == expected


# Real trainings


@pytest.mark.slow
@pytest.mark.parametrize(("method", "lora"), [("sft", None), ("sft", LORA), ("dpo", LORA), ("orpo", None)])
def test_saving_changes_nothing_and_each_step_is_what_a_training_that_ends_there_leaves(
    tmp_path: Path, method: str, lora: dict[str, Any] | None
) -> None:
    spec = _spec(method=method, lora=lora)
    plain = _run(tmp_path / "plain", spec)
    saving = _run(tmp_path / "saving", replace(spec, save_every=2))
    short = _run(tmp_path / "short", replace(spec, train={**TRAIN, "max_steps": 4}))
    assert (plain.outcome, saving.outcome, short.outcome) == ("ok", "ok", "ok"), saving.cause
    assert plain.weights_hash == saving.weights_hash
    assert plain.step_hashes == {}
    run = RunFolder(tmp_path / "saving")
    assert _losses(run) == _losses(RunFolder(tmp_path / "plain"))
    assert [step for step, _ in run.checkpoints()] == [2, 4]  # those of step 6 are `checkpoint`
    assert run.step_hashes() == {step: weights_hash(folder) for step, folder in run.checkpoints()}
    assert run.step_hashes()[4] == short.weights_hash
    assert len({*run.step_hashes().values(), saving.weights_hash}) == 3


@pytest.mark.slow
def test_an_evaluation_in_half_precision_is_none_of_the_weights(tmp_path: Path) -> None:
    """transformers casts the model itself for an evaluation after training, and leaves it so."""
    data = {"source": "arithmetic", "rows": 40, "eval_fraction": 0.2}
    plain = _run(tmp_path / "plain", _spec(data=data))
    halved = _run(tmp_path / "halved", _spec(data=data, train={**TRAIN, "bf16_full_eval": True}))
    assert halved.summary["final_eval_loss"] != plain.summary["final_eval_loss"]
    assert halved.weights_hash == plain.weights_hash


@pytest.mark.slow
def test_each_is_whole_also_on_a_stage_and_after_the_results_were_moved(tmp_path: Path) -> None:
    from harness.models.load import open_checkpoint

    _run(tmp_path / "s" / "stage", _spec())
    _run(tmp_path / "s" / "cell", _spec(lora=LORA, start="../stage/checkpoint", save_every="epoch"))
    (tmp_path / "s").rename(tmp_path / "moved")
    run = RunFolder(tmp_path / "moved" / "cell")
    assert run.checkpoints() == []  # 40 rows in batches of 4: the epoch ends after step 10
    _run(run.path, _spec(lora=LORA, start="../stage/checkpoint", save_every=0.5))
    ((step, folder),) = run.checkpoints()
    assert step == 3
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in run.checkpoint.iterdir()}
    model, tokenizer = open_checkpoint(folder)
    ids = tokenizer("1+1=", return_tensors="pt").input_ids
    assert model(input_ids=ids).logits.shape[:2] == ids.shape


@pytest.mark.slow
def test_epochs_save_at_their_ends_but_the_last(tmp_path: Path) -> None:
    train = {name: value for name, value in TRAIN.items() if name != "max_steps"}
    _run(tmp_path, _spec(train={**train, "num_train_epochs": 3}, save_every="epoch"))
    assert [step for step, _ in RunFolder(tmp_path).checkpoints()] == [10, 20]


@pytest.mark.slow
def test_time_of_saving_is_none_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.models import save

    def slow(*args: Any) -> None:
        time.sleep(0.4)
        save(*args)

    monkeypatch.setattr("harness.models.save", slow)
    outcome = _run(tmp_path, _spec(save_every=1))
    steps = [event["wall_s"] for event in _events(RunFolder(tmp_path)) if event["kind"] == "step"]
    assert len(RunFolder(tmp_path).checkpoints()) == 5
    assert max(steps[1:]) < 0.35
    assert outcome.summary["train_seconds"] < outcome.summary["trial_seconds"] - 6 * 0.4


@pytest.mark.slow
def test_attempts_are_never_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(tmp_path)
    first = _run(tmp_path, _spec(save_every=2))

    def full(model: Any, tokenizer: Any, folder: Path, base: Any) -> None:
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))

    with monkeypatch.context() as patch:
        patch.setattr("harness.models.save", full)
        second = _run(tmp_path, _spec(save_every=1))
    assert (second.outcome, second.phase) == ("crashed", "save")
    assert "the disk is full" in str(second.cause)
    assert second.step_hashes == {}
    assert {str(step): weights_hash(folder) for step, folder in run.checkpoints()} == first.step_hashes
    assert [*first.step_hashes] == ["2", "4"]
    third = _run(tmp_path, _spec(save_every=5))
    assert {str(step): weights_hash(folder) for step, folder in run.checkpoints()} == third.step_hashes
    assert [*third.step_hashes] == ["5"]
    last = _run(tmp_path, _spec())
    assert run.checkpoints() == []
    assert (run.weights_hash(), run.step_hashes()) == (last.weights_hash, {})


@pytest.mark.slow
def test_a_killed_worker_leaves_nothing_that_would_be_taken_for_weights(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    write_json(run.spec_file, _spec(save_every=1, train={**TRAIN, "max_steps": 100_000}).to_json())
    command = [sys.executable, "-P", "-m", "harness.worker", str(tmp_path)]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        meanwhile, deadline = run.unpublished().checkpoint_at(3), time.monotonic() + 90
        while not meanwhile.is_dir() and time.monotonic() < deadline:
            assert worker.poll() is None
            time.sleep(0.01)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert meanwhile.is_dir()
    assert facts(read_events(run.attempts()[0].events))["own_libraries"] is True  # it was started alone
    assert run.checkpoints() == []
    assert not run.checkpoint.exists()
    _run(tmp_path, _spec(save_every=4))
    assert [step for step, _ in run.checkpoints()] == [4]
