"""The process that samples devices beside a worker.

    python -m harness.measure.sampler --log device.jsonl --origin SECONDS --hz N --parent PID

It imports no training stack. `--origin` is the attempt's start on the system-wide monotonic clock, so that its times
and the worker's are the same. The worker writes JSON lines to its stdin:

    {"before": {uuid: {"memory_before": bytes, "processes": [pid, …]}}}    first: what was there before the trial
    {"use": [uuid, …]}                                                     the devices it trains on, once it knows
    {"training": t}                                                        it began, t seconds after the attempt did
    {"now": true}                                                          sample at once: a stretch begins or ends here

It ends with the end of stdin, after a last sample. Until a device is known to be used, what is sampled of it is held;
of one that never is, nothing is written. The kernel ends this process when the worker ends, however that comes.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from harness.measure.nvml import Gpu, Nvml, NvmlError, identity, open_nvml, visible
from harness.measure.sampling.others import Others
from harness.measure.sampling.track import HOLE_S, Track
from harness.records.events import Event, encode

FLUSH_S = 1.0
_PR_SET_PDEATHSIG = 1


@dataclass
class Sampler:
    """Samples every visible device and writes those that are used."""

    log: Path
    hz: float
    worker: int
    made_up: str | None = None
    tracks: dict[str, Track] = field(default_factory=dict)
    _held: dict[str, list[Event]] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)
    _buffer: list[str] = field(default_factory=list)
    _file: TextIO | None = None
    _flushed: float = 0.0
    _last: float | None = None
    _stalled: bool = False

    def begin(self, gpus: Sequence[Gpu], before: Mapping[str, Mapping[str, Any]], origin: float) -> None:
        """Makes a track for each device; `origin` lets the times of several processes be put on one clock."""
        for gpu in gpus:
            then = before.get(gpu.uuid, {})
            held = self._held.setdefault(gpu.uuid, [])
            others = Others(worker=self.worker, before=then.get("processes", ()))
            self.tracks[gpu.uuid] = Track(
                gpu=gpu, others=others, write=self._writer(gpu.uuid), before_known="memory_before" in then
            )
            opening = {
                "t": 0.0,
                "kind": "device",
                "device": identity(gpu.uuid),
                "name": gpu.name,
                "hz": self.hz,
                "origin": origin,
            }
            if self.made_up:
                opening["made_up"] = self.made_up
            if then.get("processes"):
                opening["owners"] = len(then["processes"])
            held.append({**opening, "values": {key: then[key] for key in ("memory_before",) if key in then}})

    def use(self, uuids: Sequence[str]) -> None:
        """These are what the worker trains on: from here on, and from the beginning, they are written."""
        for uuid in uuids:
            if uuid in self.tracks:
                if self.made_up and not self._used:
                    text = f"NVML is made up by {self.made_up}: no figure of the device means anything"
                    self._buffer.append(encode({"t": 0.0, "kind": "note", "level": "warning", "text": text}))
                self.tracks[uuid].in_use = True
                self._used.add(uuid)
                self._buffer += [encode(event) for event in self._held.pop(uuid, [])]

    def tick(self, t: float) -> None:
        """One sample of everything."""
        if self._last is not None:
            self._say_stalled(t, t - self._last)
        self._last = t
        for uuid, track in self.tracks.items():
            if uuid in self._used or not self._used:
                track.sample(t)
        if t - self._flushed >= FLUSH_S:
            self.flush(t)

    def training(self, t: float, began: float) -> None:
        """It began then, and the first sample is still to come if this process came up late."""
        if self._last is None or self._last > began:
            self._say_stalled(t, t - began)

    def _say_stalled(self, t: float, seconds: float) -> None:
        if self._stalled or seconds <= max(HOLE_S, 5 / self.hz):
            return
        self._stalled = True  # further ones show in what figures are absent; a note for each would hide others
        text = f"the device was not sampled for {seconds:.1f} s: the machine was too busy, or its driver slow to answer"
        self._buffer.append(encode({"t": round(t, 6), "kind": "note", "level": "warning", "text": text}))

    def mark(self, t: float) -> None:
        """One more sample, and a line that ends with it: figures are made of what lies between two such moments.

        It is written at once: where several processes train, the main one may read this file before its end is there.
        """
        for track in self.tracks.values():
            track.finish()  # what is held is of the stretch before: whoever left in it is not to count in the next
            track.relist(t)
        self.tick(t)
        for track in self.tracks.values():
            track.finish()
        self.flush(t)

    def end(self, t: float) -> None:
        """The last sample, and everything to the file."""
        self.mark(t)
        if self._file is not None:
            self._file.close()

    def flush(self, t: float) -> None:
        """Appends what is complete to the file, which is made once there is a device to write of."""
        self._flushed = t
        if not self._used or not self._buffer:
            return
        if self._file is None:
            self._file = self.log.open("a", encoding="utf-8")
        self._file.write("".join(self._buffer))
        self._file.flush()
        self._buffer.clear()

    @property
    def over(self) -> bool:
        """Whether every device that the worker uses is lost."""
        return bool(self._used) and all(self.tracks[uuid].lost for uuid in self._used)

    def _writer(self, uuid: str) -> Callable[[Event], None]:
        def write(event: Event) -> None:
            if uuid in self._held:
                self._held[uuid].append(event)
            else:
                self._buffer.append(encode(event))

        return write


class Orders:
    """What the worker writes to this process's stdin."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pending = b""
        self.ended = False

    def within(self, seconds: float) -> list[dict[str, Any]]:
        """The orders that come within the time; returns with the first of them."""
        if not select.select([self._descriptor], [], [], max(0.0, seconds))[0]:
            return []
        chunk = os.read(self._descriptor, 65536)
        self.ended = self.ended or not chunk
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        return [json.loads(line) for line in lines if line.strip()]


def sample_until_told(sampler: Sampler, nvml: Nvml, orders: Orders, origin: float, hz: float) -> None:
    """Samples at `hz` until the worker closes the pipe or ends, or every device is lost."""
    gpus = visible(nvml.gpus())
    began = False
    due = time.monotonic()
    while not orders.ended:
        for order in orders.within(due - time.monotonic()):
            if "before" in order and not began:
                sampler.begin(gpus, order["before"], origin)
                began = True
            sampler.use(order.get("use", ()))
            if began and "training" in order:
                sampler.training(time.monotonic() - origin, order["training"])
            if began and "now" in order:
                sampler.mark(time.monotonic() - origin)
        now = time.monotonic()
        if began and not orders.ended and now >= due:
            sampler.tick(now - origin)
            if sampler.over:
                break
        if now >= due:
            due += 1 / hz
            due = max(due, now)  # late: the samples that were missed are not made up for
    sampler.end(time.monotonic() - origin)


def die_with_parent(parent: int) -> None:
    """The kernel kills this process when the thread that started it ends; exits at once if it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def main(argv: Sequence[str] | None = None) -> int:
    """Samples; 0 at its end, 1 when NVML does not answer here."""
    parser = argparse.ArgumentParser(prog="python -m harness.measure.sampler", description="Samples devices.")
    parser.add_argument("--log", type=Path, required=True, help="file that events are appended to")
    parser.add_argument("--origin", type=float, required=True, help="the attempt's start, monotonic seconds")
    parser.add_argument("--hz", type=float, default=10.0, help="samples per second")
    parser.add_argument("--parent", type=int, required=True, help="process id of the worker")
    options = parser.parse_args(argv)
    die_with_parent(options.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the worker's to judge
    try:
        nvml = open_nvml()
        sampler = Sampler(log=options.log, hz=options.hz, worker=options.parent, made_up=nvml.made_up)
        sample_until_told(sampler, nvml, Orders(sys.stdin.fileno()), options.origin, options.hz)
    except NvmlError as error:
        print(f"the device is not sampled: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
