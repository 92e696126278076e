"""The largest batch that a configuration lets a model see: its rows, their length, and whether attention masks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.models.architecture import Architecture, Unknown
from harness.models.memory.activations import Batch

PAIRS = {"sft": 1, "dpo": 2, "orpo": 2}
"""Rows that one sample brings into the batch, by the methods that are known."""


def largest(method: str, arch: Architecture, said: Mapping[str, Any]) -> Batch:
    """The largest batch. Padding-free lays its rows into one; packed rows of whole length need no mask otherwise.

    Raises:
        Unknown: nothing says how long a row is, or TRL refuses what is asked.
    """
    length, packing = said["max_length"], said["packing"]
    if method == "orpo" and length is None:
        length = 512  # ORPOTrainer's own
    if method == "sft" and said["padding_free"] and not packing and length is not None:
        raise Unknown("TRL refuses train.padding_free without packing unless train.max_length is null")
    rows = int(said["per_device_train_batch_size"] or 8) * PAIRS[method]
    in_one_row = method == "sft" and (said["padding_free"] or (packing and said["packing_strategy"] != "wrapped"))
    multiple = _multiple(said["pad_to_multiple_of"])
    filled = isinstance(length, int) and length % multiple > 0  # packed rows get padding too then
    ragged = filled or (not packing and (rows > 1 or multiple > 1))
    if said["forwarded"]:
        rows, length = said["forwarded"]
        return Batch(rows=rows, length=length, mask=bool(in_one_row) or ragged or slides(arch, length))
    if length is None:
        if packing:
            raise Unknown("train.max_length is null: nothing says how long a packed row is")
        longest = said["longest"] or [arch.positions]
    elif not isinstance(length, int) or length < 1:
        raise Unknown(f"train.max_length is {length!r}")
    else:
        longest = [length]
    if in_one_row:
        return Batch(rows=1, length=_padded(_together(rows, longest), multiple), mask=True)
    padded = _padded(longest[0], multiple)
    return Batch(rows=rows, length=padded, mask=ragged or slides(arch, padded))


def _multiple(said: Any) -> int:
    """What rows are padded to a multiple of, 1 for nothing; TRL's "auto" pads on no device that has CUDA."""
    text = str(said or 1).lower()
    return max(1, int(text)) if text.isdecimal() else 1


def _padded(length: int, multiple: int) -> int:
    """A length up to the next multiple of `pad_to_multiple_of`: collators pad what was cut before."""
    return -(-length // multiple) * multiple


def _together(rows: int, longest: Sequence[int]) -> int:
    """The longest rows, one after the other. Of fewer lengths than rows the last stands for the rest."""
    return sum([*longest[:rows], *[longest[-1]] * (rows - len(longest))])


def slides(arch: Architecture, length: int) -> bool:
    """Whether a sliding window acts on rows of this length, which gives attention a mask (`masking_utils.py`)."""
    return arch.window is not None and arch.windowed > 0 and length >= arch.window


def is_uncut(method: str, said: Mapping[str, Any]) -> bool:
    """Whether nothing cuts the rows; ORPO's trainer has a length of its own."""
    return said["max_length"] is None and method != "orpo"
