"""Whether a ceiling was measured alone: others on the processor, or on the GPU, make it too low."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from harness.measure.load import between, reading_or_none
from harness.measure.nvml import Gpu, NvmlError, bare, named, open_nvml, visible
from harness.measure.sampling.others import Others
from harness.measure.summarise import device, load

_PROC = Path("/proc")


class Watch(Protocol):
    """Made before a device is measured, asked when it has been; `look` is called in between, while it is in use."""

    def look(self) -> None:
        """Notes who is there now; at no time that counts."""

    def reasons(self) -> list[str]:
        """What disturbed the measurement; empty where nothing did, or nobody can tell."""


class Cores:
    """The processor's, by what its cores did from first to last."""

    def __init__(self, proc: Path = _PROC) -> None:
        self._proc = proc
        self._begin = reading_or_none(proc)

    def look(self) -> None:
        """Nothing: the kernel counts."""

    def reasons(self) -> list[str]:
        begin, end = self._begin, reading_or_none(self._proc)
        if begin is None or end is None:
            return []
        return load.disturbed([{"kind": "host", "values": between(begin, end)}])


class OnGpu:
    """One GPU's, by who NVML lists on it. Made before this process uses the GPU; says nothing where NVML does not."""

    def __init__(self, gpu: Gpu, proc: Path = _PROC) -> None:
        self._gpu = gpu
        self._before: float = 0.0
        self._most: tuple[int, float] = (0, 0.0)
        listed: list[int] = []
        with suppress(NvmlError):
            self._before = gpu.read("memory")["memory_used"]
        with suppress(NvmlError):
            listed = list(gpu.processes())
        self._others = Others(worker=os.getpid(), before=listed, proc=proc)

    def look(self) -> None:
        with suppress(NvmlError):
            found = self._others.of(self._gpu.processes(), in_use=True) or {}
            self._most = max(self._most, (int(found.get("others", 0)), found.get("others_memory", 0.0)))

    def reasons(self) -> list[str]:
        return device.shared(*self._most, self._before)


def on_gpus() -> dict[str, OnGpu]:
    """A watch over each GPU that CUDA shows this process, by its bare UUID; none where NVML does not answer.

    To be asked before this process uses CUDA: torch tells a GPU's UUID only when it does, and whoever is listed by then
    counts as somebody else.
    """
    try:
        return {bare(gpu.uuid): OnGpu(gpu) for gpu in visible(open_nvml().gpus())}
    except NvmlError:
        return {}


def over(watches: Mapping[str, OnGpu], uuid: str) -> OnGpu | None:
    """The watch over the GPU of torch's UUID."""
    found = named(uuid, list(watches))
    return None if found is None else watches[found]
