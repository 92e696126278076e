"""Made-up training: events that look like a trial's, from its spec alone and the same every time.

Nothing here says anything about TRL. It lets every other room be tried without training, and says so in a note.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

from harness.records.events import Event
from harness.records.fingerprint import of_value
from harness.records.spec import Spec

NOTE = "made up by the debug engine: nothing was trained, and no figure here means anything"

_DEFAULT_STEPS = 20
_EPOCHS = 4
_TOKENS_PER_SECOND = 40_000.0
_PARAMETERS = 1_000_000
_MIB = 2**20


class MadeUp:
    """The events of one trial; `t` is a made-up clock, seconds since the attempt's start.

    `slowness` multiplies how long its steps take.
    """

    def __init__(self, spec: Spec, slowness: float = 1.0) -> None:
        self._slowness = slowness
        self.steps = _integer(spec.train, "max_steps", _DEFAULT_STEPS)
        self.t = 0.0
        self._spec = spec
        self._random = random.Random(of_value([spec.cell_id, spec.seed]))
        self._batch = _integer(spec.train, "per_device_train_batch_size", 8) * _integer(
            spec.train, "gradient_accumulation_steps", 1
        )
        self._length = _integer(spec.train, "max_length", 1024)
        self._preference = spec.method not in (None, "sft")
        self._ease = 1 + self._random.uniform(-0.1, 0.1)  # replicates differ a little

    def start(self) -> Iterator[Event]:
        """Everything up to the first optimizer step."""
        yield self._event(0.0, kind="note", level="warning", text=NOTE)
        for name, seconds in (("import", 0.02), ("data", 0.2), ("model", 0.1), ("trainer", 0.1)):
            yield self.phase(name, "start")
            yield self.phase(name, "end", seconds * self._ease)
        trainable = _PARAMETERS // 50 if self._spec.lora else _PARAMETERS
        active = {
            "engine": "debug",
            "max_steps": self.steps,
            "trainable_parameters": trainable,
            "total_parameters": _PARAMETERS,
        }
        yield self._event(0.0, kind="active", values=active)

    def phase(self, name: str, edge: str, seconds: float = 0.0) -> Event:
        """One edge of a phase, `seconds` after the last event."""
        return self._event(seconds, kind="phase", name=name, edge=edge)

    def step(self, number: int, *, loss: float | None = None) -> Iterator[Event]:
        """Optimizer step `number` (from 1): its tokens and time, TRL's log, memory. `loss` replaces the made-up one."""
        rows = self._batch * (2 if self._preference else 1)
        padded = rows * self._length
        share = 1.0 if self._spec.train.get("packing") else self._random.uniform(0.55, 0.7)
        work = (1.5 if self._spec.method == "dpo" else 1.0) * (0.8 if self._spec.lora else 1.0) * self._ease
        wall = padded / _TOKENS_PER_SECOND * work * self._random.uniform(0.98, 1.02) * self._slowness
        yield self._event(
            wall,
            kind="step",
            step=number,
            wall_s=wall,
            data_s=wall * 0.02,
            real_tokens=round(padded * share),
            padded_tokens=padded,
            loss_tokens=round(padded * share / 2),
            reference_tokens=round(padded * share) if self._spec.method == "dpo" else 0,
            samples=self._batch,
            measured=number > self._spec.warmup_steps,
        )
        yield self._event(0.0, kind="log", step=number, values=self._log(number, loss))
        held = (300 if self._spec.lora else 400) * _MIB + self._random.randrange(8 * _MIB)
        yield self._event(0.0, kind="memory", step=number, values={"host_uss": held, "host_uss_peak": held})

    def saves_at(self, number: int) -> bool:
        """Whether weights are saved after optimizer step `number`, which is not the last; there are four epochs."""
        every = self._spec.save_every
        if every is None or number >= self.steps:
            return False
        steps = self.steps / _EPOCHS if isinstance(every, str) else self.steps * every if every < 1 else every
        return number % max(1, math.ceil(steps)) == 0

    def _log(self, number: int, loss: float | None) -> dict[str, float]:
        done = number / max(1, self.steps)
        fall = math.exp(-4 * done) * self._ease + self._random.uniform(-0.02, 0.02)
        made_up = 0.3 + 0.39 * fall if self._spec.method == "dpo" else 1.2 + 3.0 * fall
        values = {
            "loss": made_up if loss is None else loss,
            "grad_norm": 0.5 + fall,
            "learning_rate": _number(self._spec.train, "learning_rate", 2e-5) * (1 - done),
        }
        if self._preference:
            margin = 1.5 * (1 - math.exp(-3 * done)) + self._random.uniform(-0.05, 0.05)
            values |= {
                "rewards/chosen": margin / 2,
                "rewards/rejected": -margin / 2,
                "rewards/margins": margin,
                "rewards/accuracies": min(1.0, 0.5 + margin / 3),
            }
        return values

    def _event(self, seconds: float, **fields: Any) -> Event:
        self.t += seconds
        return {"t": round(self.t, 6), **fields}


def _integer(values: Mapping[str, Any], name: str, default: int) -> int:
    value = values.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


def _number(values: Mapping[str, Any], name: str, default: float) -> float:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) else default
