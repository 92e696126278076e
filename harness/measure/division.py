"""Which CUDA device trains and which scores, where a process may use several.

A trial is trained by one process on one device. Left with several, Hugging Face's trainer would spread every batch over
all of them (`DataParallel`): their number would multiply the batch, and a suite would train otherwise elsewhere.
So a worker sees one device, and another is free for scoring meanwhile. Asks NVML alone, which makes no CUDA context.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from harness.measure.nvml import Gpu, NvmlError, open_nvml, visible
from harness.measure.processors import usable

VARIABLE = "CUDA_VISIBLE_DEVICES"

CORES = 8
"""Fewer would be short for both: a training keeps one or two busy, with what loads its data and samples its device; a
scoring process keeps several busy while it imports and makes its engine. Of two cores it took more than half."""

Wanted = Literal["auto", "follow"] | int
"""Where to score: on a device of its own where there is one, after training, or on this device (counted as nvidia-smi
does, among those that may be used)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Division:
    """What CUDA_VISIBLE_DEVICES is to be for trials and for scoring beside them; None leaves it as it is.

    Scoring follows training where `scoring` is None; `why` says so where something else was asked for, or could be had.
    """

    training: str | None = None
    scoring: str | None = None
    scoring_name: str = ""
    why: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shown:
    """Devices that may be used. `gpus` is empty where NVML does not tell which of its devices they are.

    `first` is what CUDA_VISIBLE_DEVICES calls the one that CUDA counts first.
    """

    count: int
    first: str = ""
    gpus: Sequence[Gpu] = ()
    made_up: bool = False

    @property
    def alike(self) -> bool:
        return len({gpu.name for gpu in self.gpus}) == 1

    @property
    def parts(self) -> bool:
        """Whether they are parts of a device: CUDA shows a process one of them anyway."""
        return any(gpu.uuid.startswith("MIG-") for gpu in self.gpus)


def training_device(environ: Mapping[str, str] = os.environ) -> str | None:
    """What a trial's CUDA_VISIBLE_DEVICES is to be, so that it sees one device; None where it does already."""
    return divide("follow", environ).training


def divide(wanted: Wanted, environ: Mapping[str, str] = os.environ) -> Division:
    """Which device trains and which scores. Says nothing where there is one device or none, and nobody asked."""
    shown = _shown(environ)
    if shown is None or shown.count < 2 or shown.parts:
        why = None if isinstance(wanted, str) else _without(wanted, shown)
        return Division(why=why)
    alone = Division(training=shown.first)
    if wanted == "follow":
        return alone
    if (obstacle := _obstacle(wanted, shown)) is not None:
        return Division(training=alone.training, why=obstacle)
    scoring = shown.gpus[-1 if wanted == "auto" else wanted]
    training = next(gpu for gpu in shown.gpus if gpu is not scoring)
    return Division(training=training.uuid, scoring=scoring.uuid, scoring_name=scoring.name)


def _without(wanted: int, shown: _Shown | None) -> str:
    count = 0 if shown is None else shown.count
    if shown is not None and shown.parts:
        return f"score.device is {wanted}, and the devices are parts of one (MIG), which shares its power among them"
    return f"score.device is {wanted}, and this machine shows {count} device{'' if count == 1 else 's'}"


def _obstacle(wanted: Wanted, shown: _Shown) -> str | None:
    """Why nothing can be scored beside the training although there are several devices."""
    if not shown.gpus:
        return (
            f"{VARIABLE} names devices by CUDA's numbers, and NVML does not tell which those are; name them by UUID "
            "(nvidia-smi -L), or set CUDA_DEVICE_ORDER=PCI_BUS_ID"
        )
    if not shown.made_up and cpu_build():
        return "torch is a build for the CPU here"
    if isinstance(wanted, int):
        return None if wanted < shown.count else _without(wanted, shown)
    if not shown.made_up and (cores := len(usable())) < CORES:
        return f"with {cores} cores, scoring would take some from the training (score.device: a number does it anyway)"
    if shown.alike:
        return None
    names = ", ".join(dict.fromkeys(gpu.name for gpu in shown.gpus))
    return f"the devices differ ({names}), and nobody said which is for scoring (score.device: a number)"


def _shown(environ: Mapping[str, str]) -> _Shown | None:
    try:
        nvml = open_nvml(environ)
        gpus = list(nvml.gpus())
    except NvmlError:
        return None
    setting = environ.get(VARIABLE)
    made_up, ordered = nvml.made_up is not None, environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    entries = [] if setting is None else [entry.strip() for entry in setting.split(",")]
    if not entries:
        first = "0" if _differ(gpus) and not ordered else gpus[0].uuid if gpus else ""
        return _Shown(count=len(gpus), first=first, gpus=gpus, made_up=made_up)
    if ordered or len(gpus) == 1 or not any(entry.isdigit() for entry in entries):
        found = visible(gpus, environ)
        return _Shown(count=len(found), first=found[0].uuid if found else "", gpus=found, made_up=made_up)
    if sorted(entries) != sorted(str(number) for number in range(len(gpus))):
        return _Shown(count=len(entries), first=entries[0], made_up=made_up)
    # All of them, by CUDA's numbers: which is which does not matter where they are alike.
    if _differ(gpus):
        return _Shown(count=len(gpus), first=entries[0], gpus=gpus, made_up=made_up)
    gpus = [gpus[int(entry)] for entry in entries]
    return _Shown(count=len(gpus), first=gpus[0].uuid, gpus=gpus, made_up=made_up)


def _differ(gpus: Sequence[Gpu]) -> bool:
    return len({gpu.name for gpu in gpus}) > 1


def cpu_build() -> bool:
    """Whether the installed torch knows no device but the processor."""
    try:
        return "+cpu" in metadata.version("torch")
    except metadata.PackageNotFoundError:
        return False
