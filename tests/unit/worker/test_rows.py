"""Rows that TRL drops are told, by real trainers; a training of none is an error that says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.records.events import read_events
from harness.records.outcome import Outcome
from harness.records.run_folder import RunFolder, write_json
from tests.unit.worker.made import spec_of

pytestmark = pytest.mark.slow  # training

TINY = {"shape": "tiny", "overrides": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}}
TRAIN = {"max_steps": 2, "per_device_train_batch_size": 4, "max_length": 16, "gradient_checkpointing": False}


def _run(
    folder: Path, short: int, long: int, data: dict[str, Any], model: dict[str, Any] = TINY, **train: Any
) -> tuple[Outcome, list[str]]:
    """A training on so many rows that fit into 16 tokens and so many that do not; its outcome and its warnings."""
    from dataclasses import replace

    from harness.worker.trial import run_trial

    prompts = [f"{number}?" for number in range(short)] + [f"{number} " + "x " * 40 for number in range(long)]
    rows = [json.dumps({"prompt": prompt, "completion": " a"}) + "\n" for prompt in prompts]
    folder.mkdir(exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(rows))
    spec = spec_of(model, {**TRAIN, **train}, {"path": "rows.jsonl", **data}, seed=0)
    run = RunFolder(folder / "run")
    write_json(run.spec_file, replace(spec, suite_file=str(folder / "s.yaml")).to_json())
    attempt = run.new_attempt()
    outcome = run_trial(run, attempt)
    notes = [event for event in read_events(attempt.events) if event["kind"] == "note" and event["level"] == "warning"]
    return outcome, [note["text"] for note in notes]


def test_rows_that_are_dropped_are_told(tmp_path: Path) -> None:
    outcome, notes = _run(tmp_path, 12, 7, {})
    assert outcome.outcome == "ok"
    assert notes == [
        "TRL dropped 7 of 19 rows for training: train.max_length (16) cuts off all of them that carries loss"
    ]


def test_where_none_is_dropped_or_rows_are_packed_nothing_is_said(tmp_path: Path) -> None:
    assert _run(tmp_path / "whole", 12, 0, {})[1] == []
    assert _run(tmp_path / "packed", 60, 0, {}, packing=True)[1] == []
    assert _run(tmp_path / "uncut", 9, 3, {}, max_length=128)[1] == []


def test_dropped_rows_of_evaluation_are_told_too(tmp_path: Path) -> None:
    outcome, (training, evaluation) = _run(tmp_path, 40, 40, {"eval_fraction": 0.5})
    assert "rows for training" in training
    assert "rows for evaluation" in evaluation
    assert outcome.summary["final_eval_loss"] > 0


def test_a_training_of_no_row_says_why(tmp_path: Path) -> None:
    outcome, _ = _run(tmp_path, 0, 9, {})
    assert (outcome.outcome, outcome.phase) == ("crashed", "trainer")
    assert "no row is left to train on: train.max_length (16) cuts off" in str(outcome.cause)


def test_a_training_without_a_whole_batch_is_no_training(tmp_path: Path) -> None:
    outcome, _ = _run(tmp_path, 12, 0, {}, per_device_train_batch_size=100, dataloader_drop_last=True)
    assert (outcome.outcome, outcome.certain) == ("crashed", True)
    assert "no step was made: 12 rows are no batch of 100" in str(outcome.cause)


def test_packed_rows_without_loss_are_no_training(tmp_path: Path) -> None:
    outcome, _ = _run(tmp_path, 0, 9, {}, packing=True)
    assert (outcome.outcome, outcome.phase, outcome.certain) == ("crashed", "trainer", True)
    assert "no position carries loss" in str(outcome.cause)


def _saved(folder: Path, *, template: bool, more_tokens: int) -> dict[str, Any]:
    """A model in a folder of its own, with or without a chat template, and with tokens that it does not embed."""
    from harness.models.load import load

    model, tokenizer = load(TINY, root=Path(), device="cpu")
    rows = model.get_input_embeddings().weight.shape[0]
    tokenizer.add_tokens([f"<extra-{number}>" for number in range(rows - len(tokenizer) + more_tokens)])
    if not template:
        tokenizer.chat_template = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {"path": str(folder), "dtype": "float32"}


def test_messages_for_a_model_without_a_chat_template_say_so(tmp_path: Path) -> None:
    model = _saved(tmp_path / "model", template=False, more_tokens=0)
    outcome, _ = _run(tmp_path, 12, 0, {"conversational": True}, model)
    assert (outcome.outcome, outcome.phase) == ("crashed", "data")
    assert "the model's tokenizer has no chat template" in str(outcome.cause)


def test_tokens_that_the_model_does_not_embed_are_told(tmp_path: Path) -> None:
    model = _saved(tmp_path / "model", template=True, more_tokens=1)
    outcome, notes = _run(tmp_path, 12, 0, {}, model)
    assert outcome.outcome == "ok"  # no row holds the one
    assert notes == [
        "the tokenizer has 1,025 tokens and the model embeds 1,024: a row that holds one of the others ends the "
        "training (index out of range)"
    ]
