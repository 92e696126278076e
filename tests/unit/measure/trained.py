"""Real TRL trainings under the probes, beside an independent record of what their data loaders handed out."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.measure import Recorder, attach
from harness.methods import METHODS
from harness.records.events import Event, read_events

Batch = dict[str, Any]  # what a collator made, tensors as lists

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
ROWS = 22  # not a multiple of the batch: the last batch and the last accumulation are short
MODEL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
DEFAULTS = {
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


@dataclass
class Rows:
    """Stands for `harness.data.Prepared`."""

    train: Any
    eval: Any


@dataclass
class Trained:
    """A finished training: its step events, all events, the batches it trained on, and the trainer."""

    steps: list[Event]
    events: list[Event]
    batches: list[Batch]
    trainer: Any

    def sum(self, name: str) -> int:
        """The counter's own figure over all steps."""
        return sum(int(step[name]) for step in self.steps)


def _sentence(dice: random.Random, most: int) -> str:
    return " ".join(dice.choice(WORDS) for _ in range(dice.randint(1, most)))


def _row(kind: str, dice: random.Random) -> dict[str, Any]:
    if kind == "language_modeling":
        return {"text": _sentence(dice, 12)}
    if kind == "conversation":
        turns = [("user", 9), ("assistant", 5), ("user", 4), ("assistant", 3)][: dice.choice([2, 4])]
        return {"messages": [{"role": role, "content": _sentence(dice, most)} for role, most in turns]}
    if kind == "prompt_completion":
        return {"prompt": _sentence(dice, 9) + "?", "completion": " " + _sentence(dice, 5)}
    chosen, rejected = " " + _sentence(dice, 6), " " + _sentence(dice, 3)
    return {"prompt": _sentence(dice, 9) + "?", "chosen": chosen, "rejected": rejected}


def make_rows(kind: str, count: int = ROWS) -> Any:
    """A made-up dataset of one TRL format; the same every time."""
    from datasets import Dataset

    dice = random.Random(kind)
    return Dataset.from_list([_row(kind, dice) for _ in range(count)])


class Loader:
    """A data loader that keeps a copy of every batch it hands out."""

    def __init__(self, inner: Any, batches: list[Batch]) -> None:
        self._inner = inner
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        for batch in self._inner:
            self._batches.append({name: value.tolist() for name, value in batch.items() if hasattr(value, "tolist")})
            yield batch

    def __len__(self) -> int:
        return len(self._inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def left_padded(collate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The collator with each row's padding moved from its right to its left."""

    def collated(rows: Any) -> Any:
        batch = collate(rows)
        for prefix in ("chosen_", "rejected_", ""):
            mask = batch.get(f"{prefix}attention_mask")
            if mask is None:
                continue
            for name, value in batch.items():
                belongs = name.startswith(prefix) and hasattr(value, "shape") and value.shape == mask.shape
                if belongs and name != f"{prefix}attention_mask":
                    batch[name] = _rolled(value, mask)
            batch[f"{prefix}attention_mask"] = _rolled(mask, mask)
        return batch

    return collated


def _rolled(value: Any, mask: Any) -> Any:
    import torch

    shifts = (mask.shape[1] - mask.sum(1)).tolist()
    return torch.stack([row.roll(int(shift)) for row, shift in zip(value, shifts, strict=True)])


def train(
    folder: Path,
    method: str,
    kind: str,
    config: Mapping[str, Any],
    *,
    lora: bool = False,
    left: bool = False,
    before: Callable[[Any], None] = lambda trainer: None,
    reference: str | None = None,
    rows: Any = None,
    adapter: Mapping[str, Any] | None = None,
) -> Trained:
    """Trains under the probes, on made-up rows of the `kind` or on `rows`.

    `left`: padding on the left; `before` may change the trainer before it is observed; `adapter`: more LoRA fields.
    """
    from peft import LoraConfig

    from harness.models.load import load

    model, tokenizer = load({"shape": "tiny", "overrides": MODEL}, root=folder, device="cpu")
    prepared = Rows(rows or make_rows(kind), make_rows(kind, 6))
    wanted = {**DEFAULTS, "output_dir": str(folder / "out"), **config}
    more: dict[str, Any] = {"reference": reference} if reference else {}
    added = LoraConfig(r=2, task_type="CAUSAL_LM", **(adapter or {})) if lora else None
    trainer = METHODS[method].build(
        model=model, tokenizer=tokenizer, prepared=prepared, config=wanted, lora=added, **more
    )
    batches: list[Batch] = []
    make = trainer.get_train_dataloader
    trainer.get_train_dataloader = lambda: Loader(make(), batches)
    if left:
        trainer.data_collator = left_padded(trainer.data_collator)
    before(trainer)
    with Recorder(folder / "events.jsonl") as recorder, _one_thread():
        attach(trainer, recorder, METHODS[method], 0)
        trainer.train()
    events = list(read_events(folder / "events.jsonl"))
    return Trained([event for event in events if event["kind"] == "step"], events, batches, trainer)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Models this small are fastest with one, and threads that wait for each other slow down whoever else runs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ones(rows: list[list[int]]) -> int:
    """The sum of a mask."""
    return sum(sum(row) for row in rows)


def size(rows: list[list[int]]) -> int:
    """All positions of a tensor."""
    return sum(len(row) for row in rows)


def labelled(rows: list[list[int]]) -> int:
    """Labels that carry loss once they are shifted by one."""
    return sum(label != -100 for row in rows for label in row[1:])
