"""Writes events.jsonl: buffered, so that measuring costs little, and flushed so that little is lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.records.events import Event, encode

FLUSH_SECONDS = 1.0
HOLD_SECONDS = 10.0
"""So long at most an event waits for figures that the device still owes."""

_WENT_BACK = {
    "name": "clock_stepped_back",
    "step": None,
    "level": "warning",
    "text": "the clock went back; times that span that moment are left out",
}


class Recorder:
    """The event log of one attempt.

    Events are kept in memory and appended to the file at most once a second, at the edges of phases and at the end:
    a killed worker loses a second at most. `before_flush` callbacks may complete the buffered events first (token
    counts that still lie on the device); one that fails is left out from then on, and a note says so, and where one is
    stopped all are. `on_phase_begin` and `on_phase_end` callbacks run right before that edge of a phase is recorded.

    Times are seconds since the recorder was made. Every measurement of the attempt reads `clock`: should the clock
    below it go back, it stands still instead, `steps_back` counts it, and a finding says so once.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.perf_counter,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._read_clock = clock
        self._redact = redact
        self._last = self._started = clock()
        self._flushed = self._lost = 0.0
        self._buffer: list[Event] = []
        self._held: dict[int, set[str]] = {}  # who owes an event figures, by its id
        self._phases: list[tuple[str, int]] = []  # the open ones, each with `steps_back` at its begin
        self._said_back = self._flushing = False
        self.steps_back = 0
        self.region: str | None = None  # the part of a step that is going on: forward, backward or optimizer
        self.before_flush: list[Callable[[], None]] = []
        self.on_phase_begin: list[Callable[[str], None]] = []
        self.on_phase_end: list[Callable[[str], None]] = []

    def clock(self) -> float:
        """Seconds by the attempt's clock, counted from no moment in particular; never less than when last read."""
        reading = self._read_clock()
        if reading < self._last:
            self._lost += self._last - reading
            self.steps_back += 1
        self._last = reading
        return reading + self._lost

    def now(self) -> float:
        """Seconds since the attempt's start."""
        return self.clock() - self._started

    @property
    def phase_now(self) -> str | None:
        """The innermost open phase."""
        return self._phases[-1][0] if self._phases else None

    def add(self, kind: str, /, **fields: Any) -> Event:
        """Records one event and returns it; the caller may complete its fields until the next flush."""
        return self.add_event({"kind": kind, **fields})

    def add_event(self, event: Event) -> Event:
        """The same for an event that was made elsewhere; its time is set here."""
        now = self.now()
        if self.steps_back and not self._said_back:
            self._said_back = True
            self._buffer.append({"kind": "finding", **_WENT_BACK, "t": round(now, 6)})
        event["t"] = round(now, 6)
        self._buffer.append(event)
        if now - self._flushed >= FLUSH_SECONDS:
            self.flush(whole=False)
        return event

    def hold(self, event: Event, by: str = "") -> None:
        """Keeps an event, and those after it, from being written until all who hold it let go.

        An edge of a phase writes it all the same, and so do ten seconds.
        """
        self._held.setdefault(id(event), set()).add(by)

    def release(self, event: Event, by: str = "") -> None:
        """The event has all that `by` owed it."""
        holders = self._held.get(id(event), set())
        holders.discard(by)
        if not holders:
            self._held.pop(id(event), None)

    def note(self, level: str, text: str) -> None:
        """Something a reader of the result should know; `level` is "info" or "warning"."""
        self.add("note", level=level, text=text)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A named stretch of the attempt. One that an exception leaves stays open in the record: it broke there."""
        self.begin(name)
        try:
            yield
        except BaseException:
            self._tell_phase_end(name)
            self.flush()
            raise
        self.end(name)

    def begin(self, name: str) -> None:
        """Opens a phase."""
        for callback in self.on_phase_begin:
            callback(name)
        self.region = None
        self.clock()  # what it shows only now happened before
        self._phases.append((name, self.steps_back))
        self.add("phase", name=name, edge="start")
        self.flush()

    def end(self, name: str) -> None:
        """Closes the innermost phase of that name; without one it does nothing."""
        place = next((at for at in range(len(self._phases) - 1, -1, -1) if self._phases[at][0] == name), None)
        if place is None:
            return
        self._tell_phase_end(name)
        self.region = None
        self.clock()
        _, steps_back = self._phases.pop(place)
        unsure = {"unsure": True} if self.steps_back != steps_back else {}  # how long it took is not known
        self.add("phase", name=name, edge="end", **unsure)
        self.flush()

    def _tell_phase_end(self, name: str) -> None:
        for callback in self.on_phase_end:
            callback(name)

    def flush(self, *, whole: bool = True) -> None:
        """Appends what is buffered to the file; unless `whole`, up to the first event that is held."""
        if self._flushing:
            return  # a callback recorded something; it is written with the rest
        self._flushing = True
        try:
            self._complete()
        finally:
            self._flushing = False
        ready = self._buffer if whole else self._buffer[: self._ready()]
        if ready:
            text = "".join(encode(event) for event in ready)
            for event in ready:
                self._held.pop(id(event), None)
            self._buffer = self._buffer[len(ready) :]
            self._file.write(self._redact(text) if self._redact else text)
            self._file.flush()
        self._flushed = self.now()

    def _complete(self) -> None:
        for callback in tuple(self.before_flush):
            try:
                callback()
            except Exception as error:  # a device that is lost must not take the log with it
                self.before_flush.remove(callback)
                self.note("warning", f"figures are missing from here on: {type(error).__name__}: {error}")
            except BaseException:  # stopped, perhaps while waiting for a device that hangs: nobody waits for it again
                self.before_flush.clear()
                raise

    def _ready(self) -> int:
        """How many of the buffered events can be written: those before the first that is held and not overdue."""
        if not self._held:
            return len(self._buffer)
        overdue = self.now() - HOLD_SECONDS
        waiting = (at for at, event in enumerate(self._buffer) if id(event) in self._held and event["t"] > overdue)
        return next(waiting, len(self._buffer))

    def close(self) -> None:
        """Writes the rest and closes the file."""
        if not self._file.closed:
            self.flush()
            self._file.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
