"""Ctrl-C: once stops cleanly, twice stops now, three times raises wherever the program is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Counts interrupts while it is entered, and puts the old handlers back after.

    Outside the main thread, where Python allows no handlers, it counts nothing. A signal that was
    ignored before (SIGHUP under nohup) stays ignored.
    """

    def __init__(self) -> None:
        self.count = 0
        self.name: str | None = None
        self._old: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._old[number] = signal.signal(number, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.name = signal.Signals(number).name
        if self.count >= 3:
            raise KeyboardInterrupt

    @property
    def stop(self) -> bool:
        """Whether the run is to end after stopping the running trial cleanly."""
        return self.count >= 1

    @property
    def now(self) -> bool:
        """Whether the running trial is to be killed."""
        return self.count >= 2
