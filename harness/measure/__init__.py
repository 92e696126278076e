"""Probes that live in the child: tokens, time, memory, curves, phases, device, environment. Importing this is light."""

from __future__ import annotations

from harness.measure.attach import PROBES, attach, start_probes
from harness.measure.divergence import Diverged
from harness.measure.recorder import Recorder
from harness.measure.summarise import summarise

__all__ = ["PROBES", "Diverged", "Recorder", "attach", "start_probes", "summarise"]
