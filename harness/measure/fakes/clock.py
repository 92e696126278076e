"""A clock that goes as told, so that tests know every time to the last digit and wait for none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class FakeClock:
    """Seconds by call; `sleep` advances it, by a negative number too, as a clock that is set back does."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
