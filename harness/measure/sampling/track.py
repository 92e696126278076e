"""What one device tells over time: its samples, what it never tells, and where it stopped answering."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.measure.nvml import NAMES, Gpu, NvmlError, identity
from harness.measure.sampling.others import Others
from harness.measure.sampling.thinning import Thinned
from harness.records.events import Event

PROCESSES_S = 1.0
"""How often the list of processes is read: it costs more than everything else together, and changes slowly."""

AT_MARKS_S = 0.1
"""And where a stretch begins or ends, unless it was read just before: who left is not to count in what follows."""

HOLE_S = 1.0
"""A time without samples that is longer than this is a hole, over which nothing is integrated."""

_NEVER, _FOR_A_TIME = "does not tell its {its}", "did not tell its {its} for a time"
_SO_FAR = "could not be asked for its {its} from the start"


@dataclass
class Track:
    """Samples one device; `write` takes events as they are complete.

    A value that could not be read although it was read before, or can be in principle, is None in its sample. What this
    device never tells is left out of all samples. Either is noted once.
    """

    gpu: Gpu
    others: Others
    write: Callable[[Event], None]
    before_known: bool = True  # what was in use of its memory
    in_use: bool = False
    lost: bool = False
    _thinned: Thinned = field(default_factory=Thinned)
    _never: set[str] = field(default_factory=set)
    _told: set[str] = field(default_factory=set)
    _said: set[str] = field(default_factory=set)
    _sources: set[str] = field(default_factory=set)  # of energy, where it is not the counter all along
    _unsaid: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _energy: _Energy = field(default_factory=lambda: _Energy())
    _counter: float | None = None
    _moved: float = 0.0
    _processes_at: float = -math.inf
    _found: dict[str, float] = field(default_factory=dict)
    _at: float | None = None
    _silent: dict[str, float] = field(default_factory=dict)  # of the next line

    def sample(self, t: float) -> None:
        """Reads everything once; `t` is seconds since the attempt's start."""
        if self.lost:
            return
        self._mark_silence(t)
        values: dict[str, float | None] = {}
        for what, names in NAMES.items():
            if what not in self._never and not self.lost:
                values |= self._read(what, names, t)
        if self.lost:
            values = {name: None for names in NAMES.values() for name in names}
        else:
            self._add_energy(t, values)
            values |= self._others(t)
            if not self.before_known and values.get("memory_used") is not None:
                text = f"what was in use of {self.gpu.name} before the trial is not known: its samples tell no peak"
                self._note(t, "before", text)
        self._say_unread(t)
        for line in self._thinned.add(t, values):
            self._write(line)

    def _mark_silence(self, t: float) -> None:
        """A line ends before a hole, and the next says so: where a line stands for many samples, times do not tell."""
        if self._at is not None and t - self._at > HOLE_S:
            self.finish()
            self._silent = {"silent": round(t - self._at, 6)}
        self._at = t

    def relist(self, t: float) -> None:
        """The list of processes is read with the next sample, be it due or not."""
        if t - self._processes_at >= AT_MARKS_S:
            self._processes_at = -math.inf

    def finish(self) -> None:
        """Writes what is held."""
        for line in self._thinned.flush():
            self._write(line)

    def _read(self, what: str, names: tuple[str, ...], t: float) -> dict[str, float | None]:
        try:
            found = dict(self.gpu.read(what))
        except NvmlError as error:
            return self._unread(what, names, t, error)
        self._told.add(what)
        return {**found}

    def _unread(self, what: str, names: tuple[str, ...], t: float, error: NvmlError) -> dict[str, float | None]:
        if error.lost:
            self.lost = True
            self._note(
                t, "lost", f"the device {self.gpu.name} is lost ({error}): nothing of it is measured from here on"
            )
            return {}
        never = error.unsupported and what not in self._told
        if never:
            self._never.add(what)
        if what not in self._said:
            self._said.add(what)
            how = _NEVER if never else _FOR_A_TIME if what in self._told else _SO_FAR
            self._unsaid.setdefault((how, str(error)), []).append(what)
        return {} if never else dict.fromkeys(names, None)

    def _say_unread(self, t: float) -> None:
        """One note for all that failed in the same way in this sample: a driver that falls silent is one event."""
        for (how, why), failed in self._unsaid.items():
            its = f"{', '.join(failed[:-1])} and {failed[-1]}" if len(failed) > 1 else failed[0]
            text = f"{self.gpu.name} {how.format(its=its)} ({why})"
            self._write_note(t, text, "info" if how == _NEVER else "warning")
        self._unsaid.clear()

    def _add_energy(self, t: float, values: dict[str, float | None]) -> None:
        """By the counter, and by power as long as that has not answered: there is none, or it fails from the start."""
        counter, power = values.get("energy"), values.get("power")
        if counter is not None and "power" in self._sources and "counter" not in self._sources:
            text = f"the energy counter of {self.gpu.name} answers: energy is its rise from here on"
            self._take_from(t, "counter", text)
            values["energy"] = None  # what was integrated so far cannot be joined to it
        elif "energy" in self._told:
            values["energy"] = self._energy.by_counter(counter)
            if counter is not None and values["energy"] is None:
                self._note(t, "restart", f"the energy counter of {self.gpu.name} started anew")
            if counter != self._counter or counter is None:
                self._counter, self._moved = counter, t
            elif t - self._moved > HOLE_S:  # it moves every 20 to 100 ms
                values["energy"] = None  # what is used meanwhile is not in it
                self._note(t, "still", f"the energy counter of {self.gpu.name} stands still: it gives no energy")
        elif "power" not in self._never:
            if power is not None and "power" not in self._sources:
                self._take_from(t, "power", f"energy of {self.gpu.name} is its power, integrated over the samples")
            values["energy"] = self._energy.by_power(t, power)

    def _take_from(self, t: float, source: str, text: str) -> None:
        self._sources.add(source)
        at, device = round(t, 6), identity(self.gpu.uuid)
        self.write({"t": at, "kind": "device", "device": device, "energy_from": source, "values": {}})
        self._write_note(t, text, "info")

    def _others(self, t: float) -> dict[str, float]:
        if "processes" in self._never:
            return {}
        if t - self._processes_at >= PROCESSES_S:
            self._processes_at = t
            try:
                found = self.others.of(self.gpu.processes(), in_use=self.in_use)
            except NvmlError as error:
                self._unread("processes", (), t, error)
                found = None
            else:
                self._told.add("processes")
                if found is None:
                    text = f"NVML lists no processes on {self.gpu.name}: others that use it may not be seen"
                    self._note(t, "blind", text, "info")
            self._found = found or {}
        return self._found

    def _note(self, t: float, key: str, text: str, level: str = "warning") -> None:
        if key not in self._said:
            self._said.add(key)
            self._write_note(t, text, level)

    def _write_note(self, t: float, text: str, level: str) -> None:
        self.write({"t": round(t, 6), "kind": "note", "level": level, "text": text})

    def _write(self, line: dict[str, Any]) -> None:
        silent, self._silent = self._silent, {}
        self.write({"t": line.pop("t"), "kind": "device", "device": identity(self.gpu.uuid), **silent, **line})


@dataclass
class _Energy:
    """J since the first sample; None where what came before cannot be joined to what comes now."""

    _first: float | None = None
    _last: float | None = None
    _joules: float = 0.0
    _at: float | None = None
    _power: float | None = None

    def by_counter(self, counter: float | None) -> float | None:
        if counter is None:
            return None
        if self._last is not None and counter < self._last:
            self._first = self._last = None  # the driver was loaded anew: what was before is not in it
            return None
        self._first = counter if self._first is None else self._first
        self._last = counter
        return counter - self._first

    def by_power(self, t: float, power: float | None) -> float | None:
        """Trapezoids between samples that are no hole apart."""
        at, before = self._at, self._power
        self._at, self._power = t, power
        if power is None:
            return None
        if at is None:
            return self._joules
        if before is None or t - at > HOLE_S:
            return None
        self._joules += (before + power) / 2 * (t - at)
        return self._joules
