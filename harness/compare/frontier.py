"""What fits: short trials judged by a limit of memory, the edge between those that fit and those that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.records.outcome import Outcome
from harness.records.units import format_size

DEVICE = ("peak_device_memory", "peak_reserved", "peak_allocated")
"""Peaks of a device, what counts most first: all that the trial takes of it, what torch reserves, what it allocates."""
HOST = "peak_host_memory"
_NEARLY = 0.9
"""Share of the limit above which running out is told as reaching it: devices have less than they are sold as."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """One value that was tried. `fits` is None where the trial ended in a way that says nothing about memory.

    `peak` bytes by `metric`; `positions` of the batches of a step, padding included; `predicted` bytes of a device.
    `needed`: what an `oom` held and asked for, bytes at least. `disturbed`: why it is not to be trusted. `environment`:
    its hash.
    """

    value: int
    trial: str  # id
    outcome: str
    fits: bool | None
    cause: str | None = None
    metric: str | None = None
    peak: float | None = None
    positions: float | None = None
    tokens_per_second: float | None = None
    predicted: int | None = None
    needed: float | None = None
    disturbed: Sequence[str] = ()
    environment: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Frontier:
    """What is known of one cell. `largest` fits and `fails` is the smallest that does not; `stopped` says why no more.

    `alike`: cells that differ from it in nothing but the axis, for which the same holds.
    """

    cell: str
    alike: Sequence[str]
    axis: str
    limit: int
    highest: int  # the largest value that might have been tried
    probes: Sequence[Probe]  # by value
    largest: int | None
    fails: int | None
    stopped: str | None = None

    @property
    def sentence(self) -> str:
        """The answer in one line."""
        return f"{self.cell}: {_sentence(self)}"


def judge(
    value: int,
    trial: str,
    outcome: Outcome,
    limit: int,
    predicted: int | None,
    host: int | None = None,
    unfilled: str | None = None,
) -> Probe:
    """Whether a trial fits: it ended ok, its peak within the limit. `oom` does not fit; other ends say nothing.

    `host`: what it may hold of the host's memory, `limits.host_memory` in bytes. A trial that ran before that was set,
    or whose peak was too short for who watches it, ended ok all the same and does not fit. `unfilled`: why its batches
    were smaller than asked, so that a peak within the limit says nothing.
    """
    metric, peak = peak_of(outcome.summary)
    on_device = metric in DEVICE
    fits: bool | None = None
    cause = outcome.cause
    if outcome.outcome == "oom":
        fits = False
    elif outcome.outcome == "ok" and host is not None and (held := outcome.summary.get(HOST, 0.0)) > host:
        fits = False
        cause = f"{format_size(held)} of the host, above limits.host_memory"
    elif outcome.outcome == "ok" and peak is not None and peak <= limit and unfilled is not None:
        cause = unfilled
    elif outcome.outcome == "ok" and peak is not None:
        fits = peak <= limit
    elif outcome.outcome == "ok":
        cause = "its memory was not measured"
    steps = outcome.summary.get("measured_steps")
    padded = outcome.summary.get("padded_tokens")
    return Probe(
        value=value,
        trial=trial,
        outcome=outcome.outcome,
        fits=fits,
        cause=cause,
        metric=metric,
        peak=peak,
        positions=padded / steps if padded is not None and steps else None,
        tokens_per_second=outcome.summary.get("tokens_per_second"),
        predicted=predicted if on_device else None,
        needed=_needed(outcome, peak),
        disturbed=outcome.disturbed,
        environment=outcome.environment,
    )


def peak_of(summary: Mapping[str, float]) -> tuple[str | None, float | None]:
    """The peak that is held against the limit, and its metric: the device's where the trial used one, else the host's.

    NVML has no peak and is sampled, so what torch reserved at most counts where it is more.
    """
    if not summary.get("peak_allocated") and not summary.get("peak_reserved"):
        return (HOST, summary[HOST]) if HOST in summary else (None, None)
    metric = next(name for name in DEVICE if name in summary)
    return metric, max(summary[name] for name in DEVICE if name in summary)


def _needed(outcome: Outcome, peak: float | None) -> float | None:
    if outcome.outcome != "oom":
        return None
    told = outcome.facts.get("oom") or {}
    held = max(peak or 0.0, told.get("in_use", 0.0), told.get("reserved", 0.0))
    return held + told.get("requested_bytes", 0.0) if held else None


def _sentence(found: Frontier) -> str:
    limit = format_size(found.limit)
    if found.stopped is not None:
        so_far = f"; {found.largest} fits" if found.largest is not None else ""
        return f"not decided: {found.stopped}{so_far}"
    if found.largest is None:
        return f"{found.fails}, the smallest that may be tried, does not fit in {limit}{_taken(found, found.fails)}"
    fits = f"fits in {limit}{_taken(found, found.largest)}"
    if found.fails is None:
        return f"{found.largest}, the largest that may be tried, {fits}"
    return f"{found.largest} {fits}; {found.fails} does not{_taken(found, found.fails)}"


def _taken(found: Frontier, value: int | None) -> str:
    probe = next((probe for probe in found.probes if probe.value == value), None)
    if probe is None:
        return ""
    if probe.outcome == "oom":
        early = probe.needed is not None and probe.needed <= found.limit * _NEARLY
        return f" (oom at {format_size(probe.needed or 0)}: it could have no more)" if early else " (oom)"
    if not probe.fits and probe.peak is not None and probe.peak <= found.limit:
        return f" ({probe.cause})"
    if probe.peak is None:
        return ""
    told = format_size(probe.peak)
    if probe.peak > found.limit and told == format_size(found.limit):  # rounded it would contradict itself
        told = f"{format_size(probe.peak - found.limit)} more"
    return f" ({told})"
