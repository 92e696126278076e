"""Losses and reward margins, as the trainer logged them."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.summarise.numbers import mean, number
from harness.records.events import Event


def figures(events: Sequence[Event]) -> dict[str, float]:
    """First and final values of the trainer's own curves."""
    return _curves([event for event in events if event.get("kind") == "log"])


def _curves(logs: Sequence[Event]) -> dict[str, float]:
    found: dict[str, float] = {}
    losses = _series(logs, "loss")
    if losses:
        found["final_loss"] = mean(losses[-_tenth(losses) :])
    evals = _series(logs, "eval_loss")
    if evals:
        found["final_eval_loss"] = evals[-1]
    margins = _series(logs, "rewards/margins")
    if margins:
        found["first_reward_margin"] = mean(margins[: _tenth(margins)])
        found["final_reward_margin"] = mean(margins[-_tenth(margins) :])
    return found


def _series(logs: Sequence[Event], name: str) -> list[float]:
    return [number(log["values"][name]) for log in logs if name in log.get("values", {})]


def _tenth(values: Sequence[float]) -> int:
    return max(1, len(values) // 10)
