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


class Recorder:
    """The event log of one attempt.

    Events are kept in memory and appended to the file at most once a second, at the edges of phases and at the end:
    a killed worker loses a second at most. `before_flush` callbacks may complete the buffered events first (token
    counts that still lie on the device); `on_phase_end` callbacks run when a phase ends, before the end is recorded.

    Times are seconds since the recorder was made, by a clock that never goes back.
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
        self._clock = clock
        self._redact = redact
        self._started = clock()
        self._flushed = 0.0
        self._buffer: list[Event] = []
        self._phases: list[str] = []
        self.before_flush: list[Callable[[], None]] = []
        self.on_phase_end: list[Callable[[str], None]] = []

    def now(self) -> float:
        """Seconds since the attempt's start."""
        return self._clock() - self._started

    def add(self, kind: str, /, **fields: Any) -> Event:
        """Records one event and returns it; the caller may complete its fields until the next flush."""
        return self.add_event({"kind": kind, **fields})

    def add_event(self, event: Event) -> Event:
        """The same for an event that was made elsewhere; its time is set here."""
        now = self.now()
        event["t"] = round(now, 6)
        self._buffer.append(event)
        if now - self._flushed >= FLUSH_SECONDS:
            self.flush()
        return event

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
        self._phases.append(name)
        self.add("phase", name=name, edge="start")
        self.flush()

    def end(self, name: str) -> None:
        """Closes the innermost phase of that name; without one it does nothing."""
        if name not in self._phases:
            return
        self._tell_phase_end(name)
        del self._phases[len(self._phases) - 1 - self._phases[::-1].index(name)]
        self.add("phase", name=name, edge="end")
        self.flush()

    def _tell_phase_end(self, name: str) -> None:
        for callback in self.on_phase_end:
            callback(name)

    def flush(self) -> None:
        """Appends what is buffered to the file."""
        for callback in self.before_flush:
            callback()
        if self._buffer:
            text = "".join(encode(event) for event in self._buffer)
            self._buffer.clear()
            self._file.write(self._redact(text) if self._redact else text)
            self._file.flush()
        self._flushed = self.now()

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
