"""The running attempt's latest figures, read from its events as they are appended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.records.events import Event
from harness.records.plan import Trial
from harness.records.progress import Live


class Tail:
    """Reads what was appended to one events.jsonl since the last look, whole lines only.

    `tokens_per_second` is Σ real tokens ÷ Σ wall seconds of the measured steps so far, the same
    definition as the metric's; None during warm-up.
    """

    def __init__(self, path: Path, max_steps: int | None = None) -> None:
        self.step: int | None = None
        self.max_steps = max_steps
        self.loss: float | None = None
        self.host_memory: int | None = None
        self._path = path
        self._offset = 0
        self._pending = b""
        self._phases: list[str] = []
        self._last_phase: str | None = None
        self._tokens = 0.0
        self._seconds = 0.0

    @property
    def phase(self) -> str | None:
        """The innermost open phase, else the last one begun (as `harness.records.events.last_phase`)."""
        return self._phases[-1] if self._phases else self._last_phase

    @property
    def tokens_per_second(self) -> float | None:
        return self._tokens / self._seconds if self._seconds > 0 else None

    def read(self) -> bool:
        """Takes in what is new; False when nothing is."""
        try:
            with self._path.open("rb") as handle:
                handle.seek(self._offset)
                chunk = handle.read()
        except OSError:
            return False
        if not chunk:
            return False
        self._offset += len(chunk)
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a damaged line is judged by who reads the file for good
            if isinstance(event, dict):
                self._take(event)
        return True

    def live(self, trial: Trial, attempt: int, elapsed_s: float) -> Live:
        """The figures as the observer gets them; before the first event the phase is `import`."""
        return Live(
            trial=trial,
            attempt=attempt,
            phase=self.phase or "import",
            step=self.step,
            max_steps=self.max_steps,
            tokens_per_second=self.tokens_per_second,
            loss=self.loss,
            host_memory=self.host_memory,
            elapsed_s=elapsed_s,
        )

    def _take(self, event: Event) -> None:
        values = event.get("values")
        match event.get("kind"):
            case "phase":
                self._take_phase(str(event.get("name")), event.get("edge") == "start")
            case "step":
                self.step = _integer(event.get("step")) or self.step
                if event.get("measured"):
                    self._tokens += _number(event.get("real_tokens")) or 0.0
                    self._seconds += _number(event.get("wall_s")) or 0.0
            case "log" if isinstance(values, Mapping):
                self.loss = _number(values.get("loss")) if "loss" in values else self.loss
            case "memory" if isinstance(values, Mapping):
                self.host_memory = _integer(values.get("host_uss")) or self.host_memory
            case "active" if isinstance(values, Mapping):
                self.max_steps = _integer(values.get("max_steps")) or self.max_steps

    def _take_phase(self, name: str, start: bool) -> None:
        if start:
            self._phases.append(name)
            self._last_phase = name
        elif name in self._phases:
            del self._phases[len(self._phases) - 1 - self._phases[::-1].index(name)]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _integer(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None
