"""Rows that a trainer drops in silence (`max_length` cuts off all of them that carries loss), or cannot take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.errors import DataError

_AT_ONCE = 1000
"""Rows that are looked at together."""


def check_rows(prepared: Any, trainer: Any) -> Iterator[str]:
    """A sentence for each set of rows that the trainer has fewer of than it was given.

    Packed rows hold several of those given, so that their number says nothing.

    Raises:
        DataError: no row is left to train on.
    """
    if not len(trainer.train_dataset):
        raise DataError.of(
            f"no row is left to train on: train.max_length ({trainer.args.max_length}) cuts off all that carries loss",
            why=f"TRL dropped each of the {len(prepared.train)} rows",
            hint="raise train.max_length",
        )
    if _packed(trainer.args, "packing"):
        _check_loss(trainer)
    yield from _answerless(trainer)
    sets = [("training", prepared.train, trainer.train_dataset, "packing")]
    if prepared.eval is not None:
        sets.append(("evaluation", prepared.eval, trainer.eval_dataset, "eval_packing"))
    for name, given, left, packing in sets:
        gone = len(given) - len(left)
        if gone > 0 and not _packed(trainer.args, packing):
            yield (
                f"TRL dropped {gone} of {len(given)} rows for {name}: "
                f"train.max_length ({trainer.args.max_length}) cuts off all of them that carries loss"
            )


def _check_loss(trainer: Any) -> None:
    """Refuses packed rows of which no position carries loss: TRL looks for such rows only where it does not pack.

    Raises:
        DataError: training on them would move nothing, at a loss of 0.
    """
    import pyarrow.compute as pc

    rows = trainer.train_dataset
    if "labels" not in rows.column_names:
        return
    labels = rows.select_columns(["labels"]).with_format("arrow")
    for begin in range(0, len(rows), _AT_ONCE):  # the first rows tell, unless there is nothing to find
        values = pc.list_flatten(labels[begin : begin + _AT_ONCE]["labels"])
        if pc.any(pc.not_equal(values, -100)).as_py():
            return
    raise DataError.of(
        f"no position carries loss: train.max_length ({trainer.args.max_length}) cuts off all that does",
        why="TRL packs what is left of each row, and would train on it at a loss of 0",
        hint="raise train.max_length",
    )


def _answerless(trainer: Any) -> Iterator[str]:
    """A sentence where ORPO's trainer kept pairs whose prompt fills `max_length`; that of DPO drops them.

    Raises:
        DataError: no pair has an answer left.
    """
    columns = ("prompt_input_ids", "chosen_input_ids", "rejected_input_ids")
    if not set(columns) <= set(trainer.train_dataset.column_names):
        return
    import pyarrow.compute as pc

    table = trainer.train_dataset.select_columns(list(columns)).with_format("arrow")[:]
    prompt, *answered = (pc.list_value_length(table[name]) for name in columns)
    bare = pc.or_(*(pc.less_equal(whole, prompt) for whole in answered))
    lost, count = int(pc.sum(bare).as_py() or 0), len(trainer.train_dataset)
    length = trainer.args.max_length
    if lost == count:
        raise DataError.of(
            f"no pair has an answer left: prompts fill train.max_length ({length})",
            why=f"the loss of each of the {count} is 0 ÷ 0",
            hint="raise train.max_length",
        )
    if lost:
        yield (
            f"{lost} of {count} pairs for training have no answer left: prompts fill train.max_length ({length}); "
            "a batch with one of them has no number as its loss"
        )


def check_steps(trainer: Any) -> None:
    """Refuses a training that made no step: it would pass for one that learned nothing.

    Raises:
        DataError: the trainer found no whole batch.
    """
    if trainer.state.global_step == 0:
        rows, size = len(trainer.train_dataset), trainer.args.per_device_train_batch_size
        raise DataError.of(
            f"no step was made: {rows} rows are no batch of {size}",
            why="train.dataloader_drop_last leaves out a batch that is not whole",
            hint="lower train.per_device_train_batch_size, or take train.dataloader_drop_last out",
        )


def beyond_embedding(model: Any, tokenizer: Any) -> Iterator[str]:
    """A sentence where the tokenizer knows tokens that the model does not."""
    known, embedded = len(tokenizer), model.get_input_embeddings().weight.shape[0]
    if known > embedded:
        yield (
            f"the tokenizer has {known:,} tokens and the model embeds {embedded:,}: "
            "a row that holds one of the others ends the training (index out of range)"
        )


def _packed(args: Any, name: str) -> bool:
    """Whether rows are packed; `eval_packing` follows `packing` where it is not set."""
    said = getattr(args, name, None)
    return bool(getattr(args, "packing", False) if said is None else said)
