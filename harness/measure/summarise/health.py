"""Spikes of the loss and the highest gradient norm; and what a divergence leaves to be told in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.measure import health
from harness.measure.divergence import FINDING as DIVERGED
from harness.measure.spikes import FEWEST, spikes
from harness.records.events import Event

_OF_DIVERGENCE = ("of", "step", "text", "value", "limit")


def figures(events: Sequence[Event]) -> dict[str, float]:
    """`loss_spikes` where there are logs enough to tell; `max_grad_norm` of the finite norms after warm-up."""
    training = health.read(events)
    found: dict[str, float] = {}
    losses = training.of("loss")
    if len(losses) > FEWEST:
        found["loss_spikes"] = len(spikes(losses))
    norms = [point.value for point in training.of("grad_norm") if point.step > training.warmup]
    if norms:
        found["max_grad_norm"] = max(norms)
    return found


def facts(events: Sequence[Event]) -> dict[str, Any]:
    """`diverged`: what became of which figure (`of`) at which step, whether or not that ended the training."""
    for event in events:
        if event.get("kind") == "finding" and event.get("name") == DIVERGED:
            return {"diverged": {name: event[name] for name in _OF_DIVERGENCE if name in event}}
    return {}
