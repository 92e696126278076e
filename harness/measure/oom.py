"""What an out-of-memory error says: how much was asked for, of how much, and who holds the rest."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_UNITS = {"bytes": 1, "byte": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_SIZE = r"(\d+(?:\.\d+)?) ?(bytes?|[KMGT]iB)"

# torch's CUDA allocator, as it says it since 2.1 and as it did before (the line in parentheses); 2.1 wrote "capacty".
_DEVICE: Mapping[str, str] = {
    "requested_bytes": rf"[Tt]ried to allocate {_SIZE}",
    "total": rf"total capac\w+ of {_SIZE}|{_SIZE} total capacity",
    "free": rf"of which {_SIZE} is free|{_SIZE} free;",
    "allowed": rf"{_SIZE} allowed",
    "in_use": rf"this process has {_SIZE} memory in use",
    "allocated": rf"{_SIZE} is allocated by PyTorch|{_SIZE} already allocated",
    "reserved_unused": rf"{_SIZE} is reserved by PyTorch but unallocated",
    "reserved": rf"{_SIZE} reserved in total by PyTorch",
}
_INDEX = re.compile(r"GPU (\d+)")
_OTHERS = re.compile(rf"Process \d+ has {_SIZE} memory in use")
# The host's: torch's CPU allocator, numpy, and what the system says of mmap and fork.
_HOST = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "Cannot allocate memory",
)
_HOST_ASKED = re.compile(rf"(?:tried to allocate|Unable to allocate) {_SIZE}")
# Libraries that allocate beside torch say it in their own words.
_DEVICE_WORDS = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",  # torch's own calls of the driver, as for expandable segments
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDA ran out of memory outside PyTorch's allocator",  # cuDNN's attention, which compiles kernels for new shapes
    "CUDA_ERROR_OUT_OF_MEMORY",
    "Triton Error [CUDA]: out of memory",
    "cudaErrorMemoryAllocation",
)
_ENOMEM = 12
# bitsandbytes ends the process by itself where a call of CUDA fails (CUDA_CHECK_RETURN, csrc/ops.cuh): no error of
# Python's ever comes of it, only this line of its log.
_LAST_WORDS = re.compile(r"Error out of memory at line \d+ in file \S+")


def details(error: BaseException) -> dict[str, Any] | None:
    """What an error tells of memory that ran out, bytes by name and `device` (`host`, `device`, `device 0`); else None.

    Names: requested_bytes, total, free, in_use (by this process), in_use_by_others, allocated and reserved (torch's),
    allowed (a limit on this process); those that the message has. An error that another was raised from counts.
    """
    found: BaseException | None = error
    while found is not None:
        told = _details(found)
        if told is not None:
            return told
        found = found.__cause__
    return None


def _details(error: BaseException) -> dict[str, Any] | None:
    text = str(error)
    # torch.OutOfMemoryError is a RuntimeError of that name; the CPU's allocator raises a plain RuntimeError.
    if type(error).__name__ == "OutOfMemoryError" or any(words in text for words in _DEVICE_WORDS):
        return _of_device(text)
    host = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == _ENOMEM)
    if host or any(words in text for words in _HOST):
        asked = _HOST_ASKED.search(text)
        return {"device": "host", **({"requested_bytes": size(*asked.groups())} if asked else {})}
    return None


def _of_device(text: str) -> dict[str, Any]:
    index = _INDEX.search(text)
    found: dict[str, Any] = {"device": f"device {index.group(1)}" if index else "device"}
    for name, pattern in _DEVICE.items():
        match = re.search(pattern, text)
        if match:
            number, unit = [part for part in match.groups() if part is not None]
            found[name] = size(number, unit)
    unused = found.pop("reserved_unused", None)
    if unused is not None and "allocated" in found:
        found["reserved"] = found["allocated"] + unused
    found |= _holders([size(*match.groups()) for match in _OTHERS.finditer(text)], found)
    # In containers the driver tells "not known" as 2^64 bytes.
    for name in ("in_use", "in_use_by_others"):
        if found.get(name, 0) > found.get("total", math.inf):
            del found[name]
    return found


def _holders(listed: Sequence[int], found: Mapping[str, int]) -> dict[str, int]:
    """Who holds what, by the processes that the message lists under numbers.

    torch knows itself among them by its own number. In a container it may be listed under the host's, as if it were
    another: then it is the one that holds what torch has reserved, and where that is not one alone, nothing is told.
    """
    if not listed or "in_use" in found or "reserved" not in found:
        return {"in_use_by_others": sum(listed)} if listed else {}
    own = [held for held in listed if held >= found["reserved"]]
    if len(own) != 1:
        return {}
    others = sum(listed) - own[0]
    return {"in_use": own[0], **({"in_use_by_others": others} if others else {})}


def size(number: str, unit: str) -> int:
    """Bytes of a size as torch writes it: "20.00 MiB", "512 bytes"."""
    return round(float(number) * _UNITS[unit.lower()])


def last_words(log: str) -> str | None:
    """What a library said that ended the process where the device's memory ran out; None where none did."""
    found = _LAST_WORDS.search(log)
    return found.group() if found else None


def in_words(told: Mapping[str, Any], phase: str | None) -> str:
    """One line: what ran out, where, what was asked for and what there was."""
    where = f" in {phase}" if phase else ""
    line = f"out of {'host' if told['device'] == 'host' else 'device'} memory{where}"
    if "requested_bytes" in told:
        line += f": {_shown(told['requested_bytes'])} more were asked for"
    if "free" in told and "total" in told:
        line += f", {_shown(told['free'])} of {_shown(told['total'])} were free"
    if "in_use_by_others" in told:
        line += f"; other processes held {_shown(told['in_use_by_others'])}"
    return line


def _shown(count: int) -> str:
    for unit, bytes_ in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= bytes_:
            return f"{count / bytes_:.2f} {unit}"
    return f"{count} bytes"
