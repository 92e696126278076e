"""Energy, power, clocks, temperature and utilization of the devices over the measured window, and what disturbed it.

A figure needs its device to have answered all through the window: over a time without an answer a sum would be too
small and a mean would be of something else, so it is absent. So it is where the clock went back: samples and steps are
then no longer on the same clock.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from harness.measure.summarise.numbers import number
from harness.measure.summarise.spans import Span, length, measured_spans, overlap, went_back
from harness.measure.summarise.window import measured
from harness.records.events import Event
from harness.records.units import format_size

THROTTLED = ("hw_slowdown", "hw_thermal", "sw_thermal", "hw_power_brake")
"""Reasons that make a window disturbed: the device was made slower than its settings by heat or by its power supply.

Not among them: the power cap, which belongs to the device (a training that draws its full power is always there), and
clocks that somebody set, which are the same for every trial.
"""

THROTTLED_SHARE = 0.01
THROTTLED_S = 0.2
"""Least share of the window, and least time: `hw_slowdown` may be reported for a moment when clocks change (nvml.h)."""

TAKEN = 2 * 2**30
"""Bytes in use before the trial that tell of others although NVML names nobody; a driver alone takes below 1 GiB."""

ITS_OWN = 256 * 2**20
"""Bytes by which a device's memory moves of itself: less than an idle CUDA context takes."""

_HOLE_S = 1.0
_WINDOW = "in the measured window"
_MEANS = {"utilization": "mean_device_utilization", "sm_clock": "mean_sm_clock"}


@dataclass(frozen=True, slots=True)
class _Device:
    """One device's samples in order of time; `hz` as asked for.

    `before`: bytes in use before the trial; `since`: its peak is looked for from this line on.
    """

    hz: float
    before: float | None
    since: int
    owned: bool  # NVML listed whose the memory was that was used before
    lines: tuple[Event, ...]
    times: tuple[float, ...]
    by_power: float  # until then energy is integrated power
    made_up: str | None


def figures(events: Sequence[Event]) -> dict[str, float]:
    """Figures over all devices that the trial trains on: sums of energy and power, means, the highest temperature."""
    devices = _devices(events)
    if not devices:
        return {}
    found = _peak_memory(events, devices)
    spans = measured_spans(events)
    if not spans or went_back(events) is not None:
        return found
    found |= _energy(events, devices, spans)
    for name, public in _MEANS.items():
        means = [_mean(device, name, spans) for device in devices]
        known = [mean for mean in means if mean is not None]
        if len(known) == len(devices):
            found[public] = sum(known) / len(known)
    hottest = [_greatest(device, "temperature", spans) for device in devices]
    if None not in hottest:
        found["max_temperature"] = max(value for value in hottest if value is not None)
    return found


def facts(events: Sequence[Event]) -> dict[str, Any]:
    """`sampling`: how the device was sampled. `throttle`: why clocks were low, with the share of the window."""
    devices = _devices(events)
    if not devices:
        return {}
    sampling: dict[str, Any] = {"hz": devices[0].hz, "devices": len(devices)}
    made_up = next((device.made_up for device in devices if device.made_up), None)
    if made_up:
        sampling["made_up"] = made_up
    spans = measured_spans(events) if went_back(events) is None else []
    if any(device.by_power > (spans[0][0] if spans else 0.0) for device in devices):
        sampling["energy_from"] = "power"
    reasons = {
        reason: round(seconds / length(spans), 4) for reason, seconds in _throttled(devices, spans).items() if seconds
    }
    return {"sampling": sampling, **({"throttle": reasons} if reasons else {})}


def disturbed(events: Sequence[Event]) -> list[str]:
    """Throttling by heat or power supply, and others on the device, within the measured window.

    Where the clock went back nobody knows which samples are of the window: others count whenever they were there.
    """
    devices, spans = _devices(events), measured_spans(events)
    if not spans:
        return []
    if went_back(events) is not None:
        return _sharing(devices, [(0.0, math.inf)], "during the trial")
    return [*_throttling(devices, spans), *_sharing(devices, spans)]


def _devices(events: Sequence[Event]) -> list[_Device]:
    """By the opening event that each device's samples begin with."""
    openings: dict[str, Event] = {}
    lines: dict[str, list[Event]] = {}
    by_power: dict[str, float] = {}
    trains = _trains(events)
    for event in events:
        if event.get("kind") != "device" or not isinstance(event.get("values"), Mapping):
            continue
        uuid = str(event.get("device"))
        if "hz" in event:
            openings[uuid] = event
        elif "energy_from" in event:
            by_power[uuid] = math.inf if event["energy_from"] == "power" else number(event.get("t"))
        else:
            lines.setdefault(uuid, []).append(event)
    rest = {uuid: _at_rest(opening, lines.get(uuid, ()), trains) for uuid, opening in openings.items()}
    return [
        _Device(
            hz=number(opening["hz"]),
            before=rest[uuid][0],
            since=rest[uuid][1],
            owned=bool(opening.get("owners")),
            lines=tuple(lines.get(uuid, ())),
            times=tuple(number(line.get("t")) for line in lines.get(uuid, ())),
            by_power=by_power.get(uuid, -math.inf),
            made_up=opening.get("made_up"),
        )
        for uuid, opening in openings.items()
    ]


def _trains(events: Sequence[Event]) -> float:
    """When training began; infinity where it did not."""
    phases = (event for event in events if event.get("kind") == "phase" and event.get("name") == "train")
    return next((number(event.get("t")) for event in phases if event.get("edge") == "start"), math.inf)


def _at_rest(opening: Event, lines: Sequence[Event], until: float) -> tuple[float | None, int]:
    """Bytes that were in use before the trial, and the line from which on more than that is the trial's.

    The driver may give back only now what a process held that has ended, as the trial before: what falls before
    anything rises is no trial's. Nothing is looked for from `until` on.
    """
    before, since = opening["values"].get("memory_before"), 0
    for place, line in enumerate(lines if before is not None else ()):
        used = line["values"].get("memory_used")
        if number(line.get("t")) >= until or (used is not None and used > before + ITS_OWN):
            break
        if used is not None and used < before:
            before, since = used, place
    return before, since


def _peak_memory(events: Sequence[Event], devices: Sequence[_Device]) -> dict[str, float]:
    """The samples' highest less what was used before, or the worker's own highest where that is higher.

    Not a number, and so left out, where a device or its sampler fell silent before the attempt was over, or spoke only
    after training began: its peak may lie in the silence; or where one of several does not tell: it may be the fullest.
    """
    seen = [
        number(event["values"]["device_used"])
        for event in events
        if event.get("kind") == "memory" and "device_used" in event.get("values", {})
    ]
    over = max((number(event.get("t")) for event in events if event.get("kind") in ("step", "phase")), default=0.0)
    for device in devices:
        known = [(t, line["values"]["memory_used"]) for t, line in _having(device, "memory_used")]
        if not known or device.before is None:
            if len(devices) > 1:
                return {"peak_device_memory": math.nan}
            continue  # the worker's own highest is of this very device
        answered = [min(known[0][0], _trains(events)), *(t for t, value in known if value is not None)]
        silent = known[-1][1] is None or over - answered[-1] > _hole(device, answered[-1])
        if silent or any(b - a > _hole(device, b) for a, b in pairwise(answered)):
            return {"peak_device_memory": math.nan}
        begins = device.times[device.since]
        peak = max((value for t, value in known if value is not None and t >= begins), default=device.before)
        seen.append(max(0.0, peak - device.before))
    return {"peak_device_memory": max(seen)} if seen else {}


def _energy(events: Sequence[Event], devices: Sequence[_Device], spans: Sequence[Span]) -> dict[str, float]:
    """Energy by the counter's difference; where there is no energy, mean power alone by its samples."""
    used = [_increase(device, "energy", spans) for device in devices]
    energy = sum(joules for joules in used if joules is not None)
    if all(used):  # a counter that stands still tells nothing: even an idle device takes power
        found = {"energy": energy, "mean_power": energy / length(spans)}
        tokens = [number(step.get("real_tokens")) for step in measured(events)]
        if all(count >= 0 for count in tokens) and sum(tokens) > 0:
            found["energy_per_token"] = energy / sum(tokens)
        return found
    power = [_mean(device, "power", spans) for device in devices]
    return {} if None in power else {"mean_power": sum(watts for watts in power if watts is not None)}


def _increase(device: _Device, name: str, spans: Sequence[Span]) -> float | None:
    """By how much a counter rose within the spans; it is taken to rise evenly between two samples."""
    total = 0.0
    for begin, end in spans:
        if not _answers(device, name, begin, end):
            return None
        first, last = bisect_right(device.times, begin) - 1, bisect_left(device.times, end)
        counted = [number(line["values"][name]) for line in device.lines[first : last + 1]]
        if any(after < before for before, after in pairwise(counted)):
            return None  # it started anew in between
        total += _at(device, name, end) - _at(device, name, begin)
    return total


def _at(device: _Device, name: str, t: float) -> float:
    after = bisect_left(device.times, t)
    t1, v1 = device.times[after], number(device.lines[after]["values"][name])
    if t1 == t:
        return v1
    t0, v0 = device.times[after - 1], number(device.lines[after - 1]["values"][name])
    return v0 + (v1 - v0) * (t - t0) / (t1 - t0)


def _mean(device: _Device, name: str, spans: Sequence[Span]) -> float | None:
    """Mean over the spans; a sample stands for the time since the one before."""
    if not all(_answers(device, name, begin, end) for begin, end in spans):
        return None
    weighted = [(seconds, number(line["values"][name])) for seconds, line in _within(device, spans)]
    seconds = sum(seconds for seconds, _ in weighted)
    return sum(seconds * value for seconds, value in weighted) / seconds if seconds else None


def _greatest(device: _Device, name: str, spans: Sequence[Span]) -> float | None:
    if not all(_answers(device, name, begin, end) for begin, end in spans):
        return None
    return max((number(line["values"][name]) for _, line in _within(device, spans)), default=None)


def _answers(device: _Device, name: str, begin: float, end: float) -> bool:
    """Whether the device told this from before `begin` to after `end`, without a hole."""
    first, last = bisect_right(device.times, begin) - 1, bisect_left(device.times, end)
    if first < 0 or last >= len(device.times):
        return False
    if any(line["values"].get(name) is None for line in device.lines[first : last + 1]):
        return False
    return all(
        device.times[place] - device.times[place - 1] <= _hole(device, device.times[place])
        for place in range(first + 1, last + 1)
    )


def _hole(device: _Device, t: float) -> float:
    """The longest time that may lie before the line of `t`, which may stand for many samples; 0 right after a hole."""
    line = device.lines[bisect_left(device.times, t)]
    if number(line.get("silent", 0)) > max(_HOLE_S, 5 / device.hz):
        return 0.0
    return max(_HOLE_S, 5 / device.hz, 2.5 * number(line.get("samples", 1)) / device.hz)


def _having(device: _Device, name: str) -> list[tuple[float, Event]]:
    return [(t, line) for t, line in zip(device.times, device.lines, strict=True) if name in line["values"]]


def _within(device: _Device, spans: Sequence[Span]) -> list[tuple[float, Event]]:
    """Lines that stand for a part of the spans, with its seconds; the first after a hole for no more than a sample."""
    found: list[tuple[float, Event]] = []
    for place in range(1, len(device.times)):
        begin, end = device.times[place - 1], device.times[place]
        if end - begin > _hole(device, end):
            begin = end - 1 / device.hz
        if (seconds := overlap(spans, begin, end)) > 0:
            found.append((seconds, device.lines[place]))
    return found


def _throttled(devices: Sequence[_Device], spans: Sequence[Span]) -> dict[str, float]:
    """Seconds of the window for which each reason held, on the device where it held longest."""
    found: dict[str, float] = {}
    for device in devices:
        held: dict[str, float] = {}
        for seconds, line in _within(device, spans):
            for name, share in line["values"].items():
                if name.startswith("throttle_"):
                    reason = name.removeprefix("throttle_")
                    held[reason] = held.get(reason, 0.0) + seconds * number(share)
        found |= {reason: max(seconds, found.get(reason, 0.0)) for reason, seconds in held.items()}
    return found


def _throttling(devices: Sequence[_Device], spans: Sequence[Span]) -> list[str]:
    window = length(spans)
    held = {
        reason: seconds
        for reason, seconds in _throttled(devices, spans).items()
        if reason in THROTTLED and seconds >= max(THROTTLED_S, THROTTLED_SHARE * window)
    }
    if not held:
        return []
    said = ", ".join(f"{reason} {seconds / window:.0%}" for reason, seconds in sorted(held.items()))
    return [f"the device was throttled in the measured window ({said} of it)"]


def _sharing(devices: Sequence[_Device], spans: Sequence[Span], when: str = _WINDOW) -> list[str]:
    others, memory = 0, 0.0
    for device in devices:
        for _, line in _within(device, spans):
            others = max(others, math.ceil(number(line["values"].get("others", 0))))
            memory = max(memory, number(line["values"].get("others_memory", 0)))
    nobodys = max((device.before or 0 for device in devices if not device.owned), default=0)
    back = max((_given_back(device) for device in devices), default=0.0)
    if (found := shared(others, memory, nobodys, when)) or back <= ITS_OWN:
        return found
    return [f"{format_size(back)} that others held of the device were given back while it trained: its peak is too low"]


def _given_back(device: _Device) -> float:
    """By how many bytes less was in use at some time than before the trial: somebody else's, whom the peak misses."""
    used = [line["values"].get("memory_used") for line in device.lines[device.since :]]
    return (device.before or 0.0) - min((value for value in used if value is not None), default=math.inf)


def shared(others: int, memory: float, before: float, when: str = _WINDOW) -> list[str]:
    """What tells of others on a device: their number, the bytes they hold, and those in use before one's own."""
    if others:
        who = "another process was" if others == 1 else f"{others} other processes were"
        held = f", holding {format_size(memory)}" if memory else ""
        return [f"{who} on the device {when}{held}"]
    if before > TAKEN:
        return [f"{format_size(before)} of the device were in use beforehand, by nobody that NVML lists"]
    return []
