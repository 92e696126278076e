"""Tokens are counted to the token: against an independent count of what the collator made, on real TRL trainers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.measure import Recorder, attach
from harness.methods import METHODS
from harness.records.events import Event, read_events

# TRL warns of its own deprecated option where it is asked for; the metrics-only forward it adds must not be counted.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*label_smoothing_factor:FutureWarning")]

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
ROWS = 22  # not a multiple of the batch: the last batch and the last accumulation are short
MODEL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}


@dataclass
class Rows:
    """Stands for `harness.data.Prepared`."""

    train: Any
    eval: Any


def _sentence(dice: random.Random, most: int) -> str:
    return " ".join(dice.choice(WORDS) for _ in range(dice.randint(1, most)))


def _rows(kind: str, count: int = ROWS) -> Any:
    from datasets import Dataset

    dice = random.Random(kind)
    if kind == "language_modeling":
        rows = [{"text": _sentence(dice, 12)} for _ in range(count)]
    elif kind == "prompt_completion":
        rows = [{"prompt": _sentence(dice, 9) + "?", "completion": " " + _sentence(dice, 5)} for _ in range(count)]
    else:
        rows = [
            {
                "prompt": _sentence(dice, 9) + "?",
                "chosen": " " + _sentence(dice, 6),
                "rejected": " " + _sentence(dice, 3),
            }
            for _ in range(count)
        ]
    return Dataset.from_list(rows)


def _train(
    folder: Path, method: str, kind: str, config: Mapping[str, Any], lora: bool = False
) -> tuple[list[Event], list[dict[str, Any]], Any]:
    """Trains two epochs; gives the step events, every collated training batch as lists, and the trainer."""
    from peft import LoraConfig

    from harness.models.load import load

    model, tokenizer = load({"shape": "tiny", "overrides": MODEL}, root=folder, device="cpu")
    defaults = {
        "output_dir": str(folder / "out"),
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "gradient_checkpointing": False,
        "max_length": 64,
        "eval_strategy": "epoch",
    }
    trainer = METHODS[method].build(
        model=model,
        tokenizer=tokenizer,
        prepared=Rows(_rows(kind), _rows(kind, 6)),
        config={**defaults, **config},
        lora=LoraConfig(r=2, task_type="CAUSAL_LM") if lora else None,
    )
    batches: list[dict[str, Any]] = []
    kept = batches
    collate, evaluate = trainer.data_collator, trainer.evaluate

    def collated(rows: Any) -> Any:
        batch = collate(rows)
        kept.append({name: value.tolist() for name, value in batch.items() if hasattr(value, "tolist")})
        return batch

    def evaluated(*args: Any, **kwargs: Any) -> Any:
        nonlocal kept
        kept = []
        try:
            return evaluate(*args, **kwargs)
        finally:
            kept = batches

    trainer.data_collator, trainer.evaluate = collated, evaluated
    with Recorder(folder / "events.jsonl") as recorder:
        attach(trainer, recorder, METHODS[method], 0)
        trainer.train()
    events = list(read_events(folder / "events.jsonl"))
    return [event for event in events if event["kind"] == "step"], batches, trainer


def _sum(steps: list[Event], name: str) -> int:
    return sum(int(step[name]) for step in steps)


def _flat(rows: list[list[int]]) -> list[int]:
    return [value for row in rows for value in row]


def _shifted(rows: list[list[int]]) -> int:
    return sum(label != -100 for row in rows for label in row[1:])


SFT: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("language_modeling", {}),
    "completion": ("prompt_completion", {}),
    "whole": ("prompt_completion", {"completion_only_loss": False}),
    "packed": ("prompt_completion", {"packing": True, "max_length": 48}),
    "wrapped": ("language_modeling", {"packing": True, "packing_strategy": "wrapped", "max_length": 48}),
    "padding_free": ("prompt_completion", {"padding_free": True, "max_length": None}),
    "padding_free_padded": ("prompt_completion", {"padding_free": True, "max_length": None, "pad_to_multiple_of": 32}),
    "accumulated": ("prompt_completion", {"gradient_accumulation_steps": 3}),
    "smoothed": ("prompt_completion", {"label_smoothing_factor": 0.1}),
}


@pytest.mark.parametrize("name", SFT)
def test_sft_counts_equal_what_was_collated(name: str, tmp_path: Path) -> None:
    kind, config = SFT[name]
    steps, batches, trainer = _train(tmp_path, "sft", kind, config)
    rows = trainer.train_dataset
    assert batches
    assert steps
    assert _sum(steps, "real_tokens") == 2 * sum(len(ids) for ids in rows["input_ids"])
    assert _sum(steps, "padded_tokens") == sum(len(_flat(batch["input_ids"])) for batch in batches)
    assert _sum(steps, "loss_tokens") == sum(_shifted(batch["labels"]) for batch in batches)
    assert _sum(steps, "reference_tokens") == 0
    documents = sum(len(lengths) for lengths in rows["seq_lengths"]) if name == "packed" else len(rows)
    if name != "padding_free_padded":  # pad positions look like documents of one token there
        assert _sum(steps, "samples") == 2 * documents
    if name in ("plain", "completion"):
        assert _sum(steps, "padded_tokens") > _sum(steps, "real_tokens")
    if name == "completion":
        assert _sum(steps, "loss_tokens") < _sum(steps, "real_tokens") // 2


@pytest.mark.parametrize("accumulation", [1, 3])
def test_accumulated_steps_are_optimizer_steps(accumulation: int, tmp_path: Path) -> None:
    steps, batches, trainer = _train(
        tmp_path, "sft", "prompt_completion", {"gradient_accumulation_steps": accumulation}
    )
    assert len(batches) == 12
    assert len(steps) == trainer.state.global_step == (12 if accumulation == 1 else 4)
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_dpo_counts_equal_what_was_collated(lora: bool, accumulation: int, tmp_path: Path) -> None:
    config = {"gradient_accumulation_steps": accumulation}
    steps, batches, trainer = _train(tmp_path, "dpo", "preference", config, lora)
    real = sum(sum(_flat(batch["attention_mask"])) for batch in batches)
    rows = trainer.train_dataset
    assert real == 2 * sum(
        2 * len(prompt) + len(chosen) + len(rejected)
        for prompt, chosen, rejected in zip(rows["prompt_ids"], rows["chosen_ids"], rows["rejected_ids"], strict=True)
    )
    assert _sum(steps, "real_tokens") == real
    assert _sum(steps, "reference_tokens") == real
    assert _sum(steps, "padded_tokens") == sum(len(_flat(batch["input_ids"])) for batch in batches)
    assert _sum(steps, "loss_tokens") == 2 * sum(len(ids) for ids in [*rows["chosen_ids"], *rows["rejected_ids"]])
    assert _sum(steps, "samples") == 2 * ROWS


def test_dpo_with_precomputed_reference_forwards_none_in_its_steps(tmp_path: Path) -> None:
    steps, batches, _ = _train(tmp_path, "dpo", "preference", {"precompute_ref_log_probs": True})
    assert _sum(steps, "real_tokens") == sum(sum(_flat(batch["attention_mask"])) for batch in batches)
    assert _sum(steps, "reference_tokens") == 0


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_orpo_counts_equal_what_was_collated(lora: bool, accumulation: int, tmp_path: Path) -> None:
    config = {"gradient_accumulation_steps": accumulation}
    steps, batches, _ = _train(tmp_path, "orpo", "preference", config, lora)
    real = sum(
        sum(_flat(batch["chosen_attention_mask"])) + sum(_flat(batch["rejected_attention_mask"])) for batch in batches
    )
    padded = sum(
        2 * len(batch["chosen_input_ids"]) * max(len(batch["chosen_input_ids"][0]), len(batch["rejected_input_ids"][0]))
        for batch in batches
    )
    loss = sum(
        sum(sum(row) - 1 for row in batch["chosen_attention_mask"]) + _shifted(batch["rejected_labels"])
        for batch in batches
    )
    assert _sum(steps, "real_tokens") == real
    assert _sum(steps, "padded_tokens") == padded
    assert _sum(steps, "loss_tokens") == loss
    assert _sum(steps, "reference_tokens") == 0
    assert _sum(steps, "samples") == 2 * ROWS
